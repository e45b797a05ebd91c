// SPDX-License-Identifier: MIT
/*
 * names.c - the names of conflict copies
 *
 * Every member must come to the same name, so no locale and no library's calendar has a say.
 */
#include "core/names.h"

#define TEXT_MAX 160

static void text_add(char *to, size_t *len, const char *from)
{
	for (; *from && *len + 1 < TEXT_MAX; from++)
		to[(*len)++] = (*from == '/') ? '_' : *from;
	to[*len] = 0;
}

static void number_add(char *to, size_t *len, uint64_t n, int digits)
{
	char buf[24];
	size_t at = sizeof(buf) - 1;

	buf[at] = 0;
	for (int k = 0; k < digits || n > 0; k++, n /= 10)
		buf[--at] = (char)('0' + n % 10);
	text_add(to, len, buf + at);
}

/*
 * Days since 1970 to a civil date: years begin in March, so that the leap day ends one, and are
 * counted in eras of 400, each 146097 days.
 */
static void date_add(char *to, size_t *len, uint64_t days)
{
	uint64_t z = days + 719468; /* days since 1 March of year 0 */
	uint64_t era = z / 146097, day = z % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;
	uint64_t of_month = of_year - (153 * month + 2) / 5 + 1;
	bool spring = month < 10;

	number_add(to, len, year + era * 400 + (spring ? 0 : 1), 4);
	text_add(to, len, "-");
	number_add(to, len, spring ? month + 3 : month - 9, 2);
	text_add(to, len, "-");
	number_add(to, len, of_month, 2);
}

/* The longest start of stem within max bytes that does not cut a UTF-8 character in two. */
static size_t shortened(struct bytes stem, size_t max)
{
	size_t len = MIN(stem.len, max);

	if (len == stem.len)
		return len;
	size_t cut = len;
	while (cut > 0 && len - cut < 4 && (stem.at[cut] & 0xc0) == 0x80)
		cut--;
	return cut > 0 && (stem.at[cut] & 0xc0) != 0x80 ? cut : len;
}

static size_t suffixed(struct bytes name, const char *suffix, uint8_t *ret)
{
	size_t dot = name.len, suffix_len = strlen(suffix);

	for (size_t k = name.len; k > 1 && dot == name.len; k--)
		if (name.at[k - 1] == '.')
			dot = k - 1;
	bool blank = dot < name.len && memchr(name.at + dot, ' ', name.len - dot);
	if (blank || 1 + suffix_len + name.len - dot >= NAME_BYTES_MAX)
		dot = name.len;
	size_t ext_len = name.len - dot;
	size_t stem_len =
		shortened((struct bytes){name.at, dot}, NAME_BYTES_MAX - 1 - suffix_len - ext_len);
	size_t len = 0;
	memcpy(ret, name.at, stem_len);
	len += stem_len;
	ret[len++] = ' ';
	memcpy(ret + len, suffix, suffix_len);
	len += suffix_len;
	if (ext_len)
		memcpy(ret + len, name.at + dot, ext_len);
	return len + ext_len;
}

size_t names_conflict(struct bytes name, uint64_t t, const char *device, uint8_t *ret)
{
	char text[TEXT_MAX];
	size_t len = 0;
	uint64_t seconds = (t >> 16) / 1000;

	text_add(text, &len, "(conflict ");
	text_add(text, &len, device);
	text_add(text, &len, " ");
	date_add(text, &len, seconds / 86400);
	text_add(text, &len, " ");
	number_add(text, &len, seconds % 86400 / 3600, 2);
	number_add(text, &len, seconds % 3600 / 60, 2);
	number_add(text, &len, seconds % 60, 2);
	text_add(text, &len, ")");
	return suffixed(name, text, ret);
}

size_t names_further(struct bytes name, struct inode_id id, uint32_t try, uint8_t *ret)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t key[16];
	struct hash h;
	char text[TEXT_MAX];
	size_t len = 0, size = MIN(4 + (size_t)try, (size_t)2 * HASH_LEN);

	for (size_t k = 0; k < 16; k++)
		key[k] = (uint8_t)((k < 8 ? id.inc : id.op) >> (8 * (k % 8)));
	hash_blake(BYTES_OF(key), &h);
	for (; len < size; len++)
		text[len] = digits[(len % 2 ? h.b[len / 2] : h.b[len / 2] >> 4) & 15];
	text[len] = 0;
	if (try > 2 * HASH_LEN - 4) /* somebody took them all: count on */
		number_add(text, &len, try, 1);
	return suffixed(name, text, ret);
}

/* How many of the bytes at at, before end, are among set. */
static size_t span(const uint8_t *at, const uint8_t *end, const char *set)
{
	size_t n = 0;

	while (at + n < end && at[n] && strchr(set, at[n]))
		n++;
	return n;
}

/* Whether " YYYY-MM-DD HHMMSS)" ends at end; years may have more digits. */
static bool dated(const uint8_t *at, const uint8_t *end)
{
	static const char like[] = "-dd-dd dddddd)";
	const size_t len = sizeof(like) - 1;

	if ((size_t)(end - at) < len + 5)
		return false;
	for (size_t k = 0; k < len; k++) {
		const uint8_t c = end[(ptrdiff_t)k - (ptrdiff_t)len];
		if (like[k] == 'd' ? c < '0' || c > '9' : c != (uint8_t)like[k])
			return false;
	}
	const uint8_t *year = end - len;
	while (year > at && year[-1] >= '0' && year[-1] <= '9')
		year--;
	return (size_t)(end - len - year) >= 4 && year > at && year[-1] == ' ';
}

bool names_original(struct bytes name, uint8_t ret[NAME_BYTES_MAX], size_t *len)
{
	static const char mark[] = " (conflict ";
	const size_t mark_len = sizeof(mark) - 1;
	const uint8_t *end = name.at + name.len;

	for (size_t at = name.len; at > 0; at--) {
		const uint8_t *m = name.at + at - 1, *in = m + mark_len;
		if (at == 1 || (size_t)(end - m) < mark_len || memcmp(m, mark, mark_len) != 0)
			continue;
		const uint8_t *close = memchr(in, ')', (size_t)(end - in));
		while (close && !dated(in, close + 1))
			close = memchr(close + 1, ')', (size_t)(end - close - 1));
		if (!close)
			return false;
		const uint8_t *rest = close + 1;
		if (rest < end && *rest == ' ') { /* what names_further() added */
			size_t hex = span(rest + 1, end, "0123456789abcdef");
			rest += hex >= 4 ? 1 + hex : 0;
		}
		if (rest < end && (*rest != '.' || memchr(rest, ' ', (size_t)(end - rest))))
			return false;
		*len = (size_t)(m - name.at) + (size_t)(end - rest);
		memcpy(ret, name.at, (size_t)(m - name.at));
		memcpy(ret + (m - name.at), rest, (size_t)(end - rest));
		return true;
	}
	return false;
}
