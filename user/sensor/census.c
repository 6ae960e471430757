/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/census.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "sensor/proc.h"

/* Records, kept until they can be sorted by start: parents come first. */
struct census {
	struct buffer records;
	size_t *offsets;
	size_t count, room;
};

static int count_process(void *context, const void *bytes, size_t size)
{
	struct census *census = context;

	if (census->count == census->room) {
		size_t room = census->room ? 2 * census->room : 256;
		size_t *offsets = realloc(census->offsets, room * sizeof(*offsets));

		if (!offsets)
			return -ENOMEM;
		census->offsets = offsets;
		census->room = room;
	}
	census->offsets[census->count++] = census->records.length;
	buffer_append(&census->records, bytes, size);
	buffer_append(
		&census->records, "\0\0\0\0\0\0\0", -size % _Alignof(struct kernel_header)); /* the next one aligned */
	return census->records.failed ? -ENOMEM : 0;
}

static int compare_starts(const void *a, const void *b, void *records)
{
	const struct kernel_header *first = (const void *)((const char *)records + *(const size_t *)a);
	const struct kernel_header *second = (const void *)((const char *)records + *(const size_t *)b);

	return (first->start_ns > second->start_ns) - (first->start_ns < second->start_ns);
}

int census_take(struct loader *loader, const char *proc, census_callback *callback, void *context)
{
	struct census census = {0};
	struct buffer args = {0};
	ssize_t count = loader_processes(loader, count_process, &census);
	const char *why;

	if (census.count > 0)
		qsort_r(census.offsets, census.count, sizeof(census.offsets[0]), compare_starts, census.records.data);
	for (size_t i = 0; i < census.count; i++) {
		struct record record;

		if (record_check(&record, census.records.data + census.offsets[i],
			    census.records.length - census.offsets[i], &why) < 0)
			continue;
		if (proc_arguments(&args, proc, (pid_t)record.header->tgid) < 0)
			buffer_clear(&args);
		callback(context, &record, (struct text){args.data, args.length});
	}
	free(census.offsets);
	buffer_free(&args);
	buffer_free(&census.records);
	return count < 0 ? (int)count : 0;
}
