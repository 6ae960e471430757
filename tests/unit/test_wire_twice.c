/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch defines twice is the later one for what comes behind it, however much stands between. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "event/wire.h"
#include "taffrail/v1/stream.pb-c.h"

enum { OTHERS_MAX = 600 };

/* Each is defined as "old" and as "new", then so many others, then an event of it. */
struct made {
	Taffrail__V1__Record records[OTHERS_MAX + 3], *list[OTHERS_MAX + 3];
	Taffrail__V1__Container containers[OTHERS_MAX + 2];
	Taffrail__V1__Process processes[OTHERS_MAX + 2];
	uint8_t ids[OTHERS_MAX + 2][EVENT_CONTAINER_ID_SIZE];
	uint8_t bytes[256 << 10];
};

static const char *name_of(size_t at)
{
	return at == 0 ? "old" : at == 1 ? "new" : "other";
}

static void put_id(struct made *made, size_t at)
{
	const uint32_t number = at < 2 ? 0 : (uint32_t)at;

	memcpy(made->ids[at], &number, sizeof(number));
}

static void define_container(struct made *made, size_t at)
{
	made->containers[at] = (Taffrail__V1__Container)TAFFRAIL__V1__CONTAINER__INIT;
	made->containers[at].id = (ProtobufCBinaryData){EVENT_CONTAINER_ID_SIZE, made->ids[at]};
	made->containers[at].name = (char *)(uintptr_t)name_of(at);
	made->records[at].record_case = TAFFRAIL__V1__RECORD__RECORD_CONTAINER;
	made->records[at].container = &made->containers[at];
}

static void define_process(struct made *made, size_t at)
{
	made->processes[at] = (Taffrail__V1__Process)TAFFRAIL__V1__PROCESS__INIT;
	made->processes[at].entity = (ProtobufCBinaryData){EVENT_ENTITY_SIZE, made->ids[at]};
	made->processes[at].name = (ProtobufCBinaryData){strlen(name_of(at)), (uint8_t *)(uintptr_t)name_of(at)};
	made->records[at].record_case = TAFFRAIL__V1__RECORD__RECORD_PROCESS;
	made->records[at].process = &made->processes[at];
}

static void expect_new(size_t others, bool is_process)
{
	static struct made made;
	static uint8_t epoch[EVENT_EPOCH_SIZE];
	Taffrail__V1__Event event = TAFFRAIL__V1__EVENT__INIT;
	Taffrail__V1__ProcessRef reference = TAFFRAIL__V1__PROCESS_REF__INIT;
	Taffrail__V1__Batch batch = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Host sender = TAFFRAIL__V1__HOST__INIT;
	char why[WIRE_WHY_SIZE];
	struct wire_events read;
	struct text name;

	for (size_t at = 0; at < others + 3; at++) {
		made.records[at] = (Taffrail__V1__Record)TAFFRAIL__V1__RECORD__INIT;
		made.list[at] = &made.records[at];
		if (at == others + 2)
			break;
		put_id(&made, at);
		(is_process ? define_process : define_container)(&made, at);
	}
	reference.entity = (ProtobufCBinaryData){EVENT_ENTITY_SIZE, made.ids[0]};
	if (is_process)
		event.process = &reference;
	else
		event.container_id = (ProtobufCBinaryData){EVENT_CONTAINER_ID_SIZE, made.ids[0]};
	event.action = TAFFRAIL__V1__ACTION__ACTION_FORK;
	event.sequence = batch.first = batch.last = 1;
	made.records[others + 2].record_case = TAFFRAIL__V1__RECORD__RECORD_EVENT;
	made.records[others + 2].event = &event;
	sender.id = (char *)(uintptr_t) "h";
	batch.host = &sender;
	batch.epoch = (ProtobufCBinaryData){sizeof(epoch), epoch};
	batch.record = made.list;
	batch.n_record = others + 3;
	cr_assert_leq(taffrail__v1__batch__get_packed_size(&batch), sizeof(made.bytes));
	cr_assert_eq(wire_read(&read, made.bytes, taffrail__v1__batch__pack(&batch, made.bytes), why), 0, "%s", why);
	cr_assert_eq(read.count, 1);
	name = is_process ? read.events[0].process->name : read.events[0].container->name;
	cr_assert(text_equal(name, text_of("new")), "%s %zu: %.*s", is_process ? "process" : "container", others,
		(int)name.length, name.data);
	wire_free(&read);
}

Test(wire_twice, the_later_one_counts)
{
	for (size_t others = 0; others <= OTHERS_MAX; others += others < 300 ? 1 : 50) {
		expect_new(others, false);
		expect_new(others, true);
	}
}
