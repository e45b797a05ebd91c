// SPDX-License-Identifier: MIT
/*
 * replay_main.c - run a fuzz target over its corpus without a fuzzer
 *
 * Without arguments the program fuzz_X takes tests/fuzz/corpus/X, as `make check` wants it.
 * Linked with each tests/fuzz/fuzz_X.c unless --enable-fuzz brings libFuzzer's own main.  For
 * every file of the directories given: the file itself, each of its prefixes, and the file with
 * each single bit flipped.  Each input is a heap block of exactly its length, so that a sanitizer
 * sees a read past the end.  For long files the prefixes and flips are spread over the file
 * instead of taken all.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define VARIANTS_MAX 4096 /* of each kind, for one file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		exit(99);
	if (size)
		memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_variants(uint8_t *data, size_t size)
{
	size_t step = size / VARIANTS_MAX + 1;
	size_t bit_step = size * 8 / VARIANTS_MAX + 1;

	run(data, size);
	for (size_t len = 0; len < size; len += step)
		run(data, len);
	for (size_t bit = 0; bit < size * 8; bit += bit_step) {
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		run(data, size);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

static int run_file(const char *path)
{
	static uint8_t data[FILE_BYTES_MAX];
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		return 1;
	}
	size_t size = fread(data, 1, sizeof(data), f);
	fclose(f);
	run_variants(data, size);
	return 0;
}

static int run_directory(const char *path)
{
	char file[4096];
	int failed = 0, files = 0;
	DIR *d = opendir(path);

	if (!d) {
		perror(path);
		return 99;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		int n = snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		failed |= n < 0 || (size_t)n >= sizeof(file) || run_file(file);
		files++;
	}
	closedir(d);
	printf("%s: %d files\n", path, files);
	return failed || files == 0;
}

/* The corpus of the program of that name: CORPUS/X for fuzz_X. */
static int run_own(const char *name)
{
	static const char start[] = "fuzz_";
	const char *slash = strrchr(name, '/');
	char path[4096];

	name = slash ? slash + 1 : name;
	if (strncmp(name, start, sizeof(start) - 1) != 0)
		return 99;
	int n = snprintf(path, sizeof(path), "%s/%s", CORPUS, name + sizeof(start) - 1);
	return n < 0 || (size_t)n >= sizeof(path) ? 99 : run_directory(path);
}

int main(int argc, char **argv)
{
	int failed = argc < 2 ? run_own(argv[0]) : 0;

	for (int k = 1; k < argc; k++)
		failed |= run_directory(argv[k]);
	return failed;
}
