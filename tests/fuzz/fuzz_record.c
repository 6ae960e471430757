/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of a ring or of a recording, one behind the other, each with two bytes of length before it: checked, taken into
 * the process table, decoded, and shown; and what alarms say of them.
 */
#include "fuzz.h"

#include "event/ecs.h"
#include "event/line.h"
#include "sensor/decode.h"
#include "sensor/guard.h"
#include "sensor/process.h"

/* Alarms carry names that others chose, for terminals too. */
static void expect_alert(const struct record *record, const struct event *event)
{
	struct guard_alert alert = {0};

	if (record->header->kind == KERNEL_TAMPER)
		guard_signal(&alert, record);
	else if (record->header->kind == KERNEL_CGROUP_LEFT)
		guard_cgroup_left(&alert, event);
	else
		return;
	fuzz_expect_clean(alert.message, strlen(alert.message), false);
}

static void expect_shown(const struct record *record, const struct event_process *process)
{
	static const struct event_host host = {.id = TEXT_STATIC("h")};
	static const struct line_style plain = {false, 0};
	struct event_container container = {.name = TEXT_LITERAL("c")};
	struct buffer scratch = {0}, out = {0};
	struct event event;

	decode_event(record, 1700000000000000000ull, &scratch, &event);
	fuzz_expect(event.action == record_action(record->header->kind));
	fuzz_expect(event.error >= -4095 && event.count >= 1);
	event.host = &host;
	event.process = process;
	memcpy(container.id, record->header->container_id, sizeof(container.id));
	if (record->header->flags & KERNEL_IN_CONTAINER)
		event.container = &container;
	if (event.action) {
		ecs_write(&out, &event);
		fuzz_expect_document(&out);
		buffer_clear(&out);
		line_write(&out, &event, &plain);
		fuzz_expect_clean(out.data, out.length - 1, false);
	}
	expect_alert(record, &event);
	buffer_free(&scratch);
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct process_table *table;

	fuzz_expect(process_open(&table, "0f6c2f0e") == 0);
	while (length > 2) {
		size_t size = (size_t)bytes[0] | (size_t)bytes[1] << 8;
		const struct event_process *process;
		const char *why = NULL;
		struct record record;
		void *copy;

		bytes += 2;
		length -= 2;
		size = size < length ? size : length;
		copy = malloc(size ? size : 1); /* exactly so long, and aligned */
		fuzz_expect(copy);
		memcpy(copy, bytes, size);
		bytes += size;
		length -= size;
		if (record_check(&record, copy, size, &why) == 0) {
			process_knows(table, record.header);
			process = process_apply(table, &record, 1700000000000000000ull);
			expect_shown(&record, process);
			if (record.header->sequence % 8 == 7)
				process_expire(table, record.header->time_ns);
		} else {
			fuzz_expect(why);
		}
		free(copy);
	}
	process_close(table);
	return 0;
}
