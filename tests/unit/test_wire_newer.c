/* SPDX-License-Identifier: Apache-2.0 */
/* What a newer version's sensor may send. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "event/ecs.h"
#include "event/wire.h"
#include "taffrail/v1/stream.pb-c.h"

/* A batch of one event. */
static int read_one(struct wire_events *read, Taffrail__V1__Event *event, char *why)
{
	static uint8_t bytes[1024], epoch[EVENT_EPOCH_SIZE];
	Taffrail__V1__Record record = TAFFRAIL__V1__RECORD__INIT, *records[] = {&record};
	Taffrail__V1__Batch batch = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Host sender = TAFFRAIL__V1__HOST__INIT;

	record.record_case = TAFFRAIL__V1__RECORD__RECORD_EVENT;
	record.event = event;
	event->sequence = batch.first = batch.last = 1;
	sender.id = (char *)(uintptr_t) "h";
	batch.host = &sender;
	batch.epoch = (ProtobufCBinaryData){sizeof(epoch), epoch};
	batch.record = records;
	batch.n_record = 1;
	return wire_read(read, bytes, taffrail__v1__batch__pack(&batch, bytes), why);
}

/* It is read, shown and handed on by its number, without the details, which nobody here can know. */
Test(wire_newer, action)
{
	Taffrail__V1__Event event = TAFFRAIL__V1__EVENT__INIT;
	Taffrail__V1__End end = TAFFRAIL__V1__END__INIT;
	struct wire_events read, again;
	struct wire_batch *batch;
	struct buffer *up, out = {0};
	char why[WIRE_WHY_SIZE];

	event.action = (Taffrail__V1__Action)1000;
	event.detail_case = TAFFRAIL__V1__EVENT__DETAIL_END;
	event.end = &end;
	cr_assert_eq(read_one(&read, &event, why), 0, "%s", why);
	cr_assert_eq(read.events[0].action, 0);
	cr_assert_eq(read.events[0].newer, 1000);
	ecs_write(&out, &read.events[0]);
	buffer_append(&out, "", 1);
	cr_assert(strstr(out.data, "\"action\":\"unknown\""), "%s", out.data);
	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_add(batch, &read.events[0]);
	up = wire_batch_finish(batch, &read.host, 1, 1);
	cr_assert_eq(wire_read(&again, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why), 0, "%s", why);
	cr_assert_eq(again.events[0].newer, 1000);
	wire_free(&again);
	wire_free(&read);
	wire_bytes_free(up);
	wire_batch_close(batch);
	buffer_free(&out);
}

Test(wire_newer, none_is_no_action)
{
	Taffrail__V1__Event event = TAFFRAIL__V1__EVENT__INIT;
	struct wire_events read;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(read_one(&read, &event, why), -EBADMSG);
	cr_assert(strstr(why, "no action"), "%s", why);
}
