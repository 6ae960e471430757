/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "test_collector.h"

#define assert_counted(room, counter, expected)                                                                        \
	do {                                                                                                           \
		struct receiver_counters counters_;                                                                    \
		receiver_counters((room)->receiver, &counters_);                                                       \
		cr_assert_eq(counters_.counter, expected, #counter ": %d", (int)counters_.counter);                    \
	} while (0)

Test(receive, batches_are_stored_as_they_came_and_acknowledged)
{
	struct buffer *bytes = make_batch(epoch, 1, 3, 10);
	struct room room;
	struct peer sensor;

	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(sensor.stored, 0);
	cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
	until(&room, sensor.acked == 3);
	cr_assert_str_eq(room.stored, "1 2 3 ");

	struct segment_reader reader;
	struct segment_frame frame;
	char path[120];
	FILE *file;

	snprintf(path, sizeof(path), "%s/data/segments/0000000000000001.seg", room.folder);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	fseek(file, 0, SEEK_END);
	cr_assert_eq(segment_reader_open(&reader, fileno(file), (uint64_t)ftell(file)), 0);
	cr_assert_eq(segment_next(&reader, &frame), 1);
	cr_assert(text_equal(frame.batch, (struct text){bytes->data + 6, bytes->length - 6}), "not encoded anew");
	cr_assert_eq(segment_next(&reader, &frame), 0);
	segment_reader_close(&reader);
	fclose(file);
	wire_bytes_free(bytes);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive, duplicates_are_acknowledged_and_handed_on_once)
{
	struct room room;
	struct peer sensor, again;

	open_room(&room);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 5);
	send_batch(&sensor, 1, 5);
	send_batch(&sensor, 2, 3);
	until(&room, sensor.acked == 5);
	grpc_client_close(sensor.client);
	open_sensor(&room, &again);
	cr_assert_eq(again.stored, 5);
	send_batch(&again, 1, 5);
	until(&room, again.acked == 5);
	send_batch(&again, 4, 8); /* half of it is new */
	send_batch(&again, 9, 9);
	until(&room, again.acked == 9);
	cr_assert_str_eq(room.stored, "1 2 3 4 5 6 7 8 9 ");
	assert_counted(&room, batches_again, 3);
	grpc_client_close(again.client);
	close_room(&room);
}

Test(receive, reopened_it_tells_a_sensor_where_to_go_on)
{
	struct room room;
	struct peer sensor;

	open_room(&room);
	open_sensor(&room, &sensor);
	for (uint64_t i = 1; i <= 100; i++)
		send_batch(&sensor, i, i);
	until(&room, sensor.acked == 100);
	cr_assert_lt(sensor.acks, 101);
	grpc_client_close(sensor.client);
	close_rooms(&room);
	open_store(&room);
	serve(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(sensor.stored, 100);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive, hello_comes_first_and_names_a_sensor)
{
	static char long_id[300];
	struct room room;
	struct peer sensor;

	memset(long_id, 'n', sizeof(long_id) - 1);
	open_room(&room);
	connect_sensor(&room, &sensor);
	send_batch(&sensor, 1, 1);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "hello");
	connect_sensor(&room, &sensor);
	say_hello(&sensor, "", epoch, sizeof(epoch));
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "host");
	connect_sensor(&room, &sensor);
	say_hello(&sensor, long_id, epoch, sizeof(epoch));
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "255");
	connect_sensor(&room, &sensor);
	say_hello(&sensor, "node-1", epoch, 15);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "epoch");
	connect_sensor(&room, &sensor);
	cr_assert_eq(grpc_call_send(sensor.call, "\x0a\x7f", 2), 0);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "Up");
	connect_sensor(&room, &sensor);
	grpc_call_half_close(sensor.call);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "hello");
	open_sensor(&room, &sensor);
	say_hello(&sensor, "node-1", epoch, sizeof(epoch));
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "second");
	assert_counted(&room, messages_refused, 7);
	cr_assert_eq(room.count, 0);
	close_room(&room);
}

Test(receive, wrong_epoch_or_bytes_end_the_stream_and_store_nothing)
{
	static const uint8_t other[EVENT_EPOCH_SIZE] = {7};
	struct buffer *bytes = make_batch(other, 1, 2, 10);
	struct room room;
	struct peer sensor;

	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "epoch");
	wire_bytes_free(bytes);
	bytes = make_batch(epoch, 1, 2, 10);
	bytes->data[8] ^= 0x55;
	open_sensor(&room, &sensor);
	cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "batch");
	assert_counted(&room, messages_refused, 2);
	wire_bytes_free(bytes);
	open_sensor(&room, &sensor);
	cr_assert_eq(sensor.stored, 0);
	cr_assert_eq(room.count, 0);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive, newest_connection_speaks_for_the_sensor)
{
	struct room room;
	struct peer older, newer;

	open_room(&room);
	open_sensor(&room, &older);
	send_batch(&older, 1, 1);
	until(&room, older.acked == 1);
	open_sensor(&room, &newer);
	cr_assert_eq(newer.stored, 1);
	assert_refused(&room, &older, GRPC_ABORTED, "newer");
	send_batch(&newer, 2, 2);
	until(&room, newer.acked == 2);
	grpc_client_close(newer.client);
	close_room(&room);
}

Test(receive, stream_that_ends_is_acknowledged_first)
{
	struct room room;
	struct peer sensor;

	open_room(&room);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 50);
	grpc_call_half_close(sensor.call);
	until(&room, sensor.done);
	cr_assert_eq(sensor.acked, 50);
	cr_assert_eq(sensor.status, GRPC_OK);
	grpc_client_close(sensor.client);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 51, 60);
	grpc_server_stop(room.server, 2000, NULL, NULL);
	until(&room, sensor.done);
	cr_assert_eq(sensor.status, GRPC_UNAVAILABLE);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive, more_than_a_window_comes_through)
{
	struct buffer *bytes;
	struct room room;
	struct peer sensor;

	open_room(&room);
	open_sensor(&room, &sensor);
	for (uint64_t i = 1; i <= 40; i++) {
		bytes = make_batch(epoch, i, i, 600000);
		cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
		wire_bytes_free(bytes);
	}
	until(&room, sensor.acked == 40);
	cr_assert_eq(room.count, 40);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive, full_disk_ends_the_stream_and_room_lets_it_go_on)
{
	struct buffer *bytes;
	struct room room = {.folder = "/tmp/taffrail-receive-XXXXXX"};
	struct peer sensor;
	char filler[100];
	uint64_t acked;
	FILE *file;

	cr_assert_not_null(mkdtemp(room.folder));
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("taffrail-test", room.folder, "tmpfs", 0, "size=1m") < 0)
		cr_skip_test("no rights to mount a tmpfs");
	snprintf(filler, sizeof(filler), "%s/filler", room.folder);
	file = fopen(filler, "w");
	for (int i = 0; i < 500000; i++)
		fputc('x', file);
	fclose(file);
	room.base = event_base_new();
	open_store(&room);
	serve(&room);
	open_sensor(&room, &sensor);
	for (uint64_t i = 1; i <= 8; i++) {
		bytes = make_batch(epoch, i, i, 100000);
		cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
		wire_bytes_free(bytes);
	}
	assert_refused(&room, &sensor, GRPC_UNAVAILABLE, "stored");
	until(&room, store_synced(room.store, host_id, epoch) > 0);
	open_sensor(&room, &sensor);
	acked = sensor.stored;
	cr_assert(acked >= 1 && acked < 8, "%d", (int)acked);
	cr_assert_eq(room.count, acked);
	unlink(filler);
	for (uint64_t i = acked + 1; i <= 8; i++) {
		bytes = make_batch(epoch, i, i, 100000);
		cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
		wire_bytes_free(bytes);
	}
	until(&room, sensor.acked == 8);
	cr_assert_str_eq(room.stored, "1 2 3 4 5 6 7 8 ");
	grpc_client_close(sensor.client);
	close_rooms(&room);
	event_base_free(room.base);
	umount(room.folder);
	rmdir(room.folder);
}

/* Fills a finished Up{batch} up to `size` with what is large in memory. */
static void pad(struct buffer *up, size_t size)
{
	size_t length;

	while (up->length + 2 <= size) /* field 15, a number: unknown */
		buffer_append(up, "\x78\x01", 2);
	length = up->length - WIRE_UP_HEADER;
	for (int i = 0; i < 5; i++)
		up->data[1 + i] = (char)((length >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
}

/* Far more waits for the disk than is kept in memory: all of it is handed on, once. */
Test(receive, events_that_are_not_kept_are_read_from_the_store)
{
	enum { SENSORS = 12, BATCHES = 3, SIZE = 1200000, PADDED = 1500000 };
	static struct room room;
	static struct peer peers[SENSORS];
	struct receiver_counters counters;

	open_room(&room);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < SENSORS; i++) {
			uint8_t own[EVENT_EPOCH_SIZE] = {0xe1, (uint8_t)i, (uint8_t)round};

			connect_sensor(&room, &peers[i]);
			say_hello(&peers[i], host_id.data, own, sizeof(own));
			for (uint64_t j = 1; j <= BATCHES; j++) {
				struct buffer *bytes = make_batch(own, j, j, SIZE);

				pad(bytes, PADDED);
				cr_assert_eq(grpc_call_send(peers[i].call, bytes->data, bytes->length), 0);
				wire_bytes_free(bytes);
			}
		}
		for (int i = 0; i < SENSORS; i++) {
			until(&room, peers[i].acked == BATCHES);
			grpc_client_close(peers[i].client);
		}
		cr_assert_eq(room.count, (uint64_t)(round + 1) * SENSORS * BATCHES);
		for (int i = 0, seen[4] = {0}; i < SENSORS * BATCHES; i++)
			cr_assert_leq(++seen[room.stored[2 * i] - '0'], SENSORS);
		room.stored[0] = '\0';
		receiver_counters(room.receiver, &counters);
		if (counters.not_kept > 0)
			break;
	}
	cr_assert_gt(counters.not_kept, 0, "it was never too much");
	close_room(&room);
}

/* One message may be so much in memory that it is not kept, though nothing else waits. */
Test(receive, what_is_kept_is_counted_as_it_is_in_memory)
{
	struct buffer *bytes = make_batch(epoch, 1, 2, 10);
	size_t before = bytes->length, length;
	struct receiver_counters counters;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];
	struct peer sensor;
	struct room room;

	pad(bytes, 4 << 20);
	length = bytes->length - WIRE_UP_HEADER;
	cr_assert_eq(wire_read(&events, bytes->data + WIRE_UP_HEADER, length, why), 0, "%s", why);
	cr_assert_gt(wire_memory(&events), 64 << 20);
	wire_free(&events);
	cr_assert_eq(wire_memory(&events), 0);
	cr_assert_eq(wire_read(&events, bytes->data + WIRE_UP_HEADER, before - WIRE_UP_HEADER, why), 0, "%s", why);
	cr_assert(wire_memory(&events) >= 2 * sizeof(struct event) && wire_memory(&events) < 1 << 20);
	wire_free(&events);
	open_room(&room);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 1);
	until(&room, sensor.acked == 1);
	receiver_counters(room.receiver, &counters);
	cr_assert_eq(counters.not_kept, 0);
	cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
	until(&room, sensor.acked == 2);
	receiver_counters(room.receiver, &counters);
	cr_assert_eq(counters.not_kept, 1);
	cr_assert_str_eq(room.stored, "1 2 ");
	wire_bytes_free(bytes);
	grpc_client_close(sensor.client);
	close_room(&room);
}
