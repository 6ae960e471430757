/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences that did not come, and what a sensor's books become on their way. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "test_collector.h"

/* What the store holds: "1-2 9! 10-11 ": ! is a record of what did not come, ? of what the store had once, ~ what another collector has, # books alone. */
struct held {
	char text[4096];
	struct event_lost lost; /* of the last such record */
	uint64_t time_ns;
};

static bool hold(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct held *held = context;
	char why[WIRE_WHY_SIZE], part[60];
	struct account_reading reading;
	struct wire_events events;

	(void)end;
	cr_assert_eq(wire_read(&events, frame->batch.data, frame->batch.length, why), 0, "%s", why);
	cr_assert_eq(account_read(frame->batch, &reading), 0);
	if (events.last < events.first)
		snprintf(part, sizeof(part), "%llu# ", (unsigned long long)events.last);
	else if (events.count == 0 && !reading.books.there)
		snprintf(part, sizeof(part), "%llu-%llu~ ", (unsigned long long)frame->first,
			(unsigned long long)frame->last);
	else if (events.events[0].action == EVENT_LOST)
		snprintf(part, sizeof(part), "%llu-%llu%c ", (unsigned long long)frame->first,
			(unsigned long long)frame->last,
			text_equal(events.events[0].lost.stage, TEXT_LITERAL("store")) ? '?' : '!');
	else
		snprintf(part, sizeof(part), "%llu-%llu ", (unsigned long long)frame->first,
			(unsigned long long)frame->last);
	if (events.count > 0 && events.events[0].action == EVENT_LOST) {
		held->lost = events.events[0].lost;
		held->lost.stage = (struct text){0};
		held->time_ns = events.events[0].time_ns;
		cr_assert(strchr(part, '?') || text_equal(events.events[0].lost.stage, TEXT_LITERAL("stream")));
		cr_assert_eq(events.events[0].sequence, frame->last);
		cr_assert_eq(events.taken_out, held->lost.count - 1);
	}
	snprintf(held->text + strlen(held->text), sizeof(held->text) - strlen(held->text), "%s", part);
	wire_free(&events);
	return true;
}

static struct held held_by(struct store *store)
{
	struct store_position position = {0};
	struct held held = {0};
	const struct store_reader reader = {hold, &held};

	cr_assert_eq(store_read(store, &position, &reader), 0);
	return held;
}

static struct account_balance balance_of(struct store *store)
{
	const struct account *account = store_account(store, host_id, epoch, true);

	cr_assert_not_null(account);
	return account_balance(account);
}

static void open_sensor_that_has(struct room *room, struct peer *sensor, uint64_t acknowledged)
{
	connect_sensor(room, sensor);
	say_hello_of(sensor, host_id.data, epoch, sizeof(epoch), acknowledged);
	until(room, sensor->hellos == 1);
}

static void reopen(struct room *room)
{
	close_rooms(room);
	open_store(room);
	serve(room);
}

Test(receive_gap, it_becomes_a_record_before_what_came_behind_it)
{
	struct receiver_counters counters;
	struct peer sensor;
	struct room room;
	struct held held;

	open_room(&room);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 2);
	send_batch(&sensor, 10, 11);
	send_batch(&sensor, 13, 13);
	until(&room, sensor.acked == 13);
	cr_assert_str_eq(room.stored, "1 2 9 10 11 12 13 ");
	held = held_by(room.store);
	cr_assert_str_eq(held.text, "1-2 3-9! 10-11 12-12! 13-13 ");
	cr_assert(held.lost.count == 1 && held.lost.first == 12 && held.lost.last == 12 && held.lost.cpu == -1);
	cr_assert_eq(balance_of(room.store).missing, 0);
	cr_assert_eq(store_account(room.store, host_id, epoch, true)->lost[ACCOUNT_STREAM], 8);
	receiver_counters(room.receiver, &counters);
	cr_assert_eq(counters.gaps, 2);
	cr_assert_not(sensor.done);
	grpc_client_close(sensor.client);
	close_room(&room);
}

/* Numbers, times, a span larger than a batch may have. */
Test(receive_gap, it_says_how_many_and_between_which_times)
{
	struct event_host host = {.id = host_id};
	struct event event = {.host = &host, .action = EVENT_FORK, .count = 1, .sequence = 1, .time_ns = 5000};
	struct wire_batch *batch;
	struct peer sensor;
	struct room room;
	struct held held;

	memcpy(host.epoch, epoch, sizeof(epoch));
	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(wire_batch_open(&batch), 0);
	for (int i = 0; i < 2; i++) {
		struct buffer *up;

		wire_batch_add(batch, &event);
		up = wire_batch_finish(batch, &host, event.sequence, event.sequence);
		cr_assert_eq(grpc_call_send(sensor.call, up->data, up->length), 0);
		wire_bytes_free(up);
		event.sequence = 1ull << 40;
		event.time_ns = 9000;
	}
	wire_batch_close(batch);
	until(&room, sensor.acked == 1ull << 40);
	held = held_by(room.store);
	cr_assert(held.lost.count == (1ull << 40) - 2 && held.lost.first == 2 && held.lost.last == (1ull << 40) - 1);
	cr_assert(held.lost.start_ns == 5000 && held.lost.end_ns == 9000 && held.time_ns == 9000);
	reopen(&room);
	held = held_by(room.store);
	cr_assert_str_eq(held.text, "1-1 2-1099511627775! 1099511627776-1099511627776 ");
	cr_assert_eq(balance_of(room.store).missing, 0);
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive_gap, what_another_collector_has_is_none)
{
	struct peer sensor;
	struct room room;

	open_room(&room);
	open_sensor_that_has(&room, &sensor, 5);
	send_batch(&sensor, 6, 7);
	until(&room, sensor.acked == 7);
	grpc_client_close(sensor.client);
	open_sensor_that_has(&room, &sensor, 9);
	send_batch(&sensor, 12, 12); /* 10 and 11 nobody has */
	until(&room, sensor.acked == 12);
	cr_assert_str_eq(held_by(room.store).text, "1-5~ 6-7 8-9~ 10-11! 12-12 ");
	cr_assert_str_eq(room.stored, "6 7 11 12 ");
	cr_assert_eq(balance_of(room.store).missing, 0);
	reopen(&room);
	cr_assert_eq(store_account(room.store, host_id, epoch, true)->elsewhere, 7);
	cr_assert_eq(balance_of(room.store).missing, 0);
	grpc_client_close(sensor.client);
	close_room(&room);
}

static void open_sensor_that_says(struct room *room, struct peer *sensor, const struct said_elsewhere *said)
{
	connect_sensor(room, sensor);
	say_hello_with(sensor, host_id.data, epoch, sizeof(epoch), 100, said);
	until(room, sensor->hellos == 1);
}

/* What it had counts before what others have: they may only have been told that this one has it. */
Test(receive_gap, what_this_store_had_once_is_said_to_be_lost)
{
	static const uint8_t other[STORE_ID_SIZE] = {7};
	struct receiver_counters counters;
	struct peer sensor;
	struct room room;
	struct held held;
	uint8_t id[STORE_ID_SIZE];

	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(sensor.store_size, STORE_ID_SIZE);
	memcpy(id, sensor.store, sizeof(id));
	send_batch(&sensor, 1, 2);
	until(&room, sensor.acked == 2);
	grpc_client_close(sensor.client);
	reopen(&room);
	open_sensor_that_says(
		&room, &sensor, (struct said_elsewhere[]){{other, 8}, {id, 4}, {id, 6}, {other, 3}, {NULL, 9}, {0}});
	cr_assert(sensor.store_size == STORE_ID_SIZE && memcmp(sensor.store, id, sizeof(id)) == 0, "its name stays");
	send_batch(&sensor, 12, 13);
	until(&room, sensor.acked == 13);
	held = held_by(room.store);
	cr_assert_str_eq(held.text, "1-2 3-6? 7-9~ 10-11! 12-13 ");
	receiver_counters(room.receiver, &counters);
	cr_assert(counters.store_losses == 1 && counters.gaps == 1);
	cr_assert_eq(store_account(room.store, host_id, epoch, true)->lost[ACCOUNT_STORE], 4);
	cr_assert_eq(balance_of(room.store).missing, 0);
	grpc_client_close(sensor.client);
	/* The list counts, and what no collector is named for does not. */
	open_sensor_that_says(&room, &sensor, (struct said_elsewhere[]){{id, 13}, {other, 2}, {0}});
	send_batch(&sensor, 16, 16);
	until(&room, sensor.acked == 16);
	cr_assert_str_eq(held_by(room.store).text, "1-2 3-6? 7-9~ 10-11! 12-13 14-15! 16-16 ");
	cr_assert_str_eq(room.stored, "1 2 6 11 12 13 15 16 ");
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(receive_gap, a_name_that_cannot_be_read_is_made_anew)
{
	uint8_t id[STORE_ID_SIZE];
	struct room room;
	char path[100], text[40] = "";
	FILE *file;

	open_room(&room);
	memcpy(id, store_id(room.store), sizeof(id));
	snprintf(path, sizeof(path), "%s/data/id", room.folder);
	for (int size = 0; size < 33; size += 8) {
		cr_assert_eq(truncate(path, size), 0);
		reopen(&room);
		cr_assert_neq(memcmp(id, store_id(room.store), sizeof(id)), 0);
		memcpy(id, store_id(room.store), sizeof(id));
		reopen(&room);
		cr_assert_eq(memcmp(id, store_id(room.store), sizeof(id)), 0);
	}
	file = fopen(path, "r");
	cr_assert_not_null(file);
	cr_assert(fgets(text, sizeof(text), file) && strlen(text) == 33 && strspn(text, "0123456789abcdef") == 32, "%s",
		text);
	fclose(file);
	close_room(&room);
}

Test(receive_gap, books_alone_are_stored_once_and_told_in_the_hello)
{
	const struct account_books first = {true, false, 10, 4, 3, 2}, second = {true, false, 11, 8, 1, 1},
				   last = {true, true, 11, 10, 0, 0};
	struct peer sensor;
	struct room room;

	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_not(sensor.books.there);
	send_books(&sensor, 1, 0, &first); /* before the first event */
	send_books(&sensor, 1, 0, &first);
	send_books(&sensor, 1, 4, &second);
	send_batch(&sensor, 5, 5);
	send_books(&sensor, 6, 5, &last);
	send_books(&sensor, 6, 5, &last);
	send_books(&sensor, 5, 4, &second); /* of an earlier time */
	send_batch(&sensor, 6, 6);
	until(&room, sensor.acked == 6);
	cr_assert_str_eq(held_by(room.store).text, "0# 1-4 5-5 5# 6-6 ");
	grpc_client_close(sensor.client);
	open_sensor(&room, &sensor);
	cr_assert(account_books_equal(&sensor.books, &last));
	grpc_client_close(sensor.client);
	reopen(&room);
	open_sensor(&room, &sensor);
	cr_assert(account_books_equal(&sensor.books, &last));
	cr_assert_eq(sensor.stored, 6);
	send_books(&sensor, 9, 8, &second); /* 7 and 8 did not come */
	until(&room, sensor.acked == 8);
	cr_assert_str_eq(held_by(room.store).text, "0# 1-4 5-5 5# 6-6 7-8! 8# ");
	grpc_client_close(sensor.client);
	close_room(&room);
}

/* As a sensor that has nothing more to tell ends its epoch. */
Test(receive_gap, sequences_without_a_record_need_books)
{
	const struct account_books books = {true, true, 7, 7, 0, 0};
	struct event_host host = {.id = host_id};
	struct wire_batch *batch;
	struct buffer *up;
	struct peer sensor;
	struct room room;

	memcpy(host.epoch, epoch, sizeof(epoch));
	open_room(&room);
	open_sensor(&room, &sensor);
	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_taken_out(batch, 3);
	up = wire_batch_finish(batch, &host, 1, 3);
	cr_assert_eq(grpc_call_send(sensor.call, up->data, up->length), 0);
	assert_refused(&room, &sensor, GRPC_INVALID_ARGUMENT, "neither a record nor books");
	cr_assert_eq(store_appended(room.store, host_id, epoch), 0);
	open_sensor(&room, &sensor);
	put_books(up, &books);
	cr_assert_eq(grpc_call_send(sensor.call, up->data, up->length), 0);
	until(&room, sensor.acked == 3);
	cr_assert_eq(store_account(room.store, host_id, epoch, true)->taken_out, 3);
	cr_assert_eq(balance_of(room.store).missing, 0);
	grpc_client_close(sensor.client);
	wire_bytes_free(up);
	wire_batch_close(batch);
	close_room(&room);
}

/* --- crash points ------------------------------------------------------------------------------------------------------ */

static void copy_store(const struct room *room, const char *to, off_t size)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s/%s'; cp -r '%s/data' '%s/%s'", room->folder, to, room->folder,
		room->folder, to);
	cr_assert_eq(system(command), 0);
	snprintf(command, sizeof(command), "%s/%s/segments/0000000000000001.seg", room->folder, to);
	cr_assert_eq(truncate(command, size), 0);
}

/*
 * The file is cut at each byte, as a crash leaves it: the collector that opens it gets from its sensor what it says it has
 * not, and then holds each number once, with one record of the gap.
 */
static void crash_at_any_byte(uint64_t acknowledged, const char *whole)
{
	struct room room, again;
	struct peer sensor;
	char file[120];
	off_t size;
	FILE *opened;

	open_room(&room);
	open_sensor_that_has(&room, &sensor, acknowledged);
	send_batch(&sensor, 1, 2);
	send_batch(&sensor, 6, 7);
	until(&room, sensor.acked == 7);
	cr_assert_str_eq(held_by(room.store).text, whole);
	grpc_client_close(sensor.client);
	snprintf(file, sizeof(file), "%s/data/segments/0000000000000001.seg", room.folder);
	opened = fopen(file, "r");
	cr_assert_not_null(opened);
	fseek(opened, 0, SEEK_END);
	size = ftell(opened);
	fclose(opened);
	for (off_t at = SEGMENT_HEADER_SIZE; at <= size; at++) {
		char why[300], path[120];

		copy_store(&room, "crashed", at);
		again = (struct room){.base = room.base};
		snprintf(again.folder, sizeof(again.folder), "%s", room.folder);
		snprintf(path, sizeof(path), "%s/crashed", room.folder);
		cr_assert_eq(store_open(&again.store, path, 0, why, sizeof(why)), 0, "%s", why);
		grpc_server_close(room.server);
		room.server = NULL;
		serve(&again);
		open_sensor_that_has(&again, &sensor, acknowledged);
		if (sensor.stored < 2)
			send_batch(&sensor, 1, 2);
		if (sensor.stored < 7)
			send_batch(&sensor, 6, 7);
		until(&again, sensor.acked == 7 || sensor.stored == 7);
		cr_assert_str_eq(held_by(again.store).text, whole, "cut at %d", (int)at);
		cr_assert_eq(balance_of(again.store).missing, 0);
		grpc_client_close(sensor.client);
		close_rooms(&again);
		event_base_loop(room.base, EVLOOP_NONBLOCK);
	}
	close_room(&room);
}

Test(receive_gap, a_crash_at_any_byte_leaves_neither_a_double_nor_a_hole)
{
	crash_at_any_byte(0, "1-2 3-5! 6-7 ");
}

Test(receive_gap, a_crash_at_any_byte_of_what_another_collector_has)
{
	crash_at_any_byte(4, "1-2 3-4~ 5-5! 6-7 ");
}

/* The disk is full behind the record of a gap: what is stored is true, and the batch comes again. */
Test(receive_gap, a_batch_that_finds_no_room_behind_its_gap_comes_again)
{
	struct room room = {.folder = "/tmp/taffrail-receive-XXXXXX"};
	struct peer sensor;
	struct buffer *large = make_batch(epoch, 6, 7, 300000);
	char filler[100];
	int fd;

	cr_assert_not_null(mkdtemp(room.folder));
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("taffrail-test", room.folder, "tmpfs", 0, "size=1m") < 0)
		cr_skip_test("no rights to mount a tmpfs");
	snprintf(filler, sizeof(filler), "%s/filler", room.folder);
	fd = open(filler, O_CREAT | O_WRONLY, 0600);
	cr_assert_eq(posix_fallocate(fd, 0, 700000), 0);
	close(fd);
	room.base = event_base_new();
	open_store(&room);
	serve(&room);
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 2);
	cr_assert_eq(grpc_call_send(sensor.call, large->data, large->length), 0);
	assert_refused(&room, &sensor, GRPC_UNAVAILABLE, "stored");
	until(&room, store_synced(room.store, host_id, epoch) == 5);
	cr_assert_str_eq(held_by(room.store).text, "1-2 3-5! ");
	unlink(filler);
	open_sensor(&room, &sensor);
	cr_assert_eq(sensor.stored, 5);
	cr_assert_eq(grpc_call_send(sensor.call, large->data, large->length), 0);
	until(&room, sensor.acked == 7);
	cr_assert_str_eq(held_by(room.store).text, "1-2 3-5! 6-7 ");
	cr_assert_str_eq(room.stored, "1 2 5 6 7 ");
	wire_bytes_free(large);
	grpc_client_close(sensor.client);
	close_rooms(&room);
	event_base_free(room.base);
	umount(room.folder);
	rmdir(room.folder);
}
