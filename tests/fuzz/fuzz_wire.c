/* SPDX-License-Identifier: Apache-2.0 */
/* A batch as a sensor may send it: what is accepted becomes documents and lines, and goes on the wire again unchanged. */
#include "fuzz.h"

#include "event/ecs.h"
#include "event/line.h"
#include "event/wire.h"

static void expect_shown(const struct event *event)
{
	static const struct line_style plain = {false, 0}, terminal = {true, 80};
	struct buffer out = {0};

	ecs_write(&out, event);
	fuzz_expect_document(&out);
	buffer_clear(&out);
	line_write(&out, event, &plain);
	fuzz_expect(out.length > 0 && out.data[out.length - 1] == '\n');
	fuzz_expect_clean(out.data, out.length - 1, false);
	buffer_clear(&out);
	line_write(&out, event, &terminal);
	fuzz_expect(memchr(out.data, '\n', out.length) == out.data + out.length - 1);
	buffer_free(&out);
}

/* The Batch within Up{batch}: behind one tag and one length. */
static struct text batch_of(const struct buffer *up)
{
	size_t start = 1;

	while (up->data[start++] & 0x80)
		;
	return (struct text){up->data + start, up->length - start};
}

static void expect_same_again(const struct wire_events *events)
{
	char why[WIRE_WHY_SIZE];
	struct wire_events again;
	struct wire_batch *batch;
	struct buffer *up;

	fuzz_expect(wire_batch_open(&batch) == 0);
	for (size_t i = 0; i < events->count; i++)
		wire_batch_add(batch, &events->events[i]);
	wire_batch_taken_out(batch, events->taken_out);
	up = wire_batch_finish(batch, &events->host, events->first, events->last);
	fuzz_expect(up);
	wire_batch_close(batch);
	fuzz_expect(wire_read(&again, batch_of(up).data, batch_of(up).length, why) == 0);
	fuzz_expect(again.count == events->count && again.first == events->first && again.last == events->last);
	for (size_t i = 0; i < again.count; i++) {
		struct buffer first = {0}, second = {0};

		ecs_write(&first, &events->events[i]);
		ecs_write(&second, &again.events[i]);
		fuzz_expect(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
		buffer_free(&first);
		buffer_free(&second);
	}
	wire_free(&again);
	wire_bytes_free(up);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char why[WIRE_WHY_SIZE] = "";
	struct wire_events events;

	if (wire_read(&events, bytes, length, why) < 0) {
		fuzz_expect(why[0]);
		return 0;
	}
	fuzz_expect(events.last - events.first + 1 == events.count + events.taken_out);
	for (size_t i = 0; i < events.count; i++)
		expect_shown(&events.events[i]);
	if (events.count > 0)
		expect_same_again(&events);
	wire_free(&events);
	return 0;
}
