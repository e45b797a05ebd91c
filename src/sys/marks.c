// SPDX-License-Identifier: MIT
/* marks.c - a list of marks in the order they were taken; its head is the lowest (marks.h, I1) */
#include "sys/marks.h"
#include <assert.h>
#include <stddef.h>

void marks_init(struct marks *m, uint64_t end)
{
	(void)pthread_mutex_init(&m->mutex, NULL);
	m->first = m->last = NULL;
	m->end = end;
}

void marks_fini(struct marks *m)
{
	assert(!m->first);
	(void)pthread_mutex_destroy(&m->mutex);
}

void marks_begin(struct marks *m, struct mark *k)
{
	(void)pthread_mutex_lock(&m->mutex);
	k->at = m->end;
	k->after = NULL;
	k->before = m->last;
	if (m->last)
		m->last->after = k;
	else
		m->first = k;
	m->last = k;
	(void)pthread_mutex_unlock(&m->mutex);
}

void marks_wrote(struct marks *m, uint64_t end)
{
	(void)pthread_mutex_lock(&m->mutex);
	if (end > m->end)
		m->end = end;
	(void)pthread_mutex_unlock(&m->mutex);
}

void marks_end(struct marks *m, struct mark *k)
{
	(void)pthread_mutex_lock(&m->mutex);
	if (k->before)
		k->before->after = k->after;
	else
		m->first = k->after;
	if (k->after)
		k->after->before = k->before;
	else
		m->last = k->before;
	(void)pthread_mutex_unlock(&m->mutex);
}

uint64_t marks_low(struct marks *m)
{
	(void)pthread_mutex_lock(&m->mutex);
	uint64_t low = m->first ? m->first->at : m->end;

	(void)pthread_mutex_unlock(&m->mutex);
	return low;
}
