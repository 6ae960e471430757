/* SPDX-License-Identifier: Apache-2.0 */
/* What is stored of an epoch balances with what its sensor says of itself; and each reader of a store comes to the same. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "collector/account_wire.h"
#include "collector/store.h"
#include "event/wire.h"

static const struct event_host host = {
	.id = TEXT_STATIC("node-1"), .name = TEXT_STATIC("worker"), .boot_id = TEXT_STATIC("b"), .epoch = {0xab}};

/* A sensor that writes batches, and knows itself what happened. */
struct writer {
	struct wire_batch *batch;
	uint64_t first, next; /* numbers: of the batch, of the next event */
	struct account_books books;
	struct account account;
};

static void open_writer(struct writer *writer)
{
	*writer = (struct writer){.first = 1, .next = 1, .books = {.there = true}};
	cr_assert_eq(wire_batch_open(&writer->batch), 0);
}

/* An event that tells so many of the kernel's records. */
static void add_event(struct writer *writer, uint64_t records)
{
	const struct event event = {.action = EVENT_FORK,
		.sequence = writer->next,
		.time_ns = 1000 * writer->next,
		.count = records,
		.host = &host};

	wire_batch_add(writer->batch, &event);
	writer->next++;
	writer->books.seen += records;
	writer->books.settled += records;
}

static void add_lost(struct writer *writer, const char *stage, uint64_t count)
{
	const struct event event = {.action = EVENT_LOST,
		.sequence = writer->next,
		.time_ns = 1000 * writer->next,
		.count = 1,
		.host = &host,
		.lost = {.stage = text_of(stage), .count = count, .cpu = -1}};

	wire_batch_add(writer->batch, &event);
	writer->next++;
}

static bool same(const struct account *a, const struct account *b)
{
	return memcmp(a, b, offsetof(struct account, books)) == 0 && account_books_equal(&a->books, &b->books);
}

/* The batch as a frame whose sequences begin with `from`; 0: with the batch. */
static struct buffer *finish(struct writer *writer, struct segment_frame *frame, uint64_t from)
{
	Taffrail__V1__Batch books = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Books part = TAFFRAIL__V1__BOOKS__INIT;
	struct buffer *up = wire_batch_finish(writer->batch, &host, writer->first, writer->next - 1);
	uint8_t bytes[100] = {0};
	size_t size;

	cr_assert_not_null(up);
	books.books = account_put_books(&part, &writer->books);
	size = taffrail__v1__batch__pack(&books, bytes);
	buffer_append(up, bytes, size);
	*frame = (struct segment_frame){.first = from ? from : writer->first,
		.last = writer->next - 1,
		.host = host.id,
		.batch = {up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER}};
	memcpy(frame->epoch, host.epoch, EVENT_EPOCH_SIZE);
	writer->first = writer->next;
	return up;
}

static void put(struct writer *writer, uint64_t from)
{
	struct segment_frame frame;
	struct account_reading reading;
	struct account_host said;
	struct account once = writer->account;
	struct buffer *up = finish(writer, &frame, from);

	cr_assert_eq(account_add(&writer->account, &frame, &said), 0);
	cr_assert(text_equal(said.name, host.name) && text_equal(said.boot_id, host.boot_id));
	/* With what was read of the whole batch before it is the same. */
	cr_assert_eq(account_read(frame.batch, &reading), 0);
	frame.reading = &reading;
	cr_assert_eq(account_add(&once, &frame, &said), 0);
	cr_assert(same(&once, &writer->account) && text_equal(said.name, host.name));
	wire_bytes_free(up);
}

static void expect(const struct writer *writer, int64_t delivered, int64_t difference)
{
	struct account_balance balance = account_balance(&writer->account);

	cr_assert_eq(balance.difference, difference, "%lld", (long long)balance.difference);
	cr_assert_eq(balance.delivered, delivered, "%lld", (long long)balance.delivered);
	cr_assert_eq(balance.missing, 0);
}

Test(account, plain)
{
	struct writer writer;

	open_writer(&writer);
	add_event(&writer, 1);
	add_event(&writer, 40); /* equal opens in one */
	writer.books.seen += 9;
	writer.books.settled += 2; /* two needed no event */
	writer.books.held = 3;
	writer.books.undeclared = 4;
	put(&writer, 0);
	expect(&writer, 43, 0);
	cr_assert_eq(account_balance(&writer.account).waiting, 7);
	cr_assert(writer.account.first_ns == 1000 && writer.account.last_ns == 2000);
	/* What was not declared is, and what was held is told. */
	add_lost(&writer, "ring-bulk", 3);
	add_lost(&writer, "kernel", 1);
	writer.books.settled += 3;
	writer.books.held = writer.books.undeclared = 0;
	put(&writer, 0);
	expect(&writer, 46, 0);
	cr_assert(writer.account.lost[ACCOUNT_RING_BULK] == 3 && writer.account.lost[ACCOUNT_KERNEL] == 1);
	cr_assert_eq(writer.account.made, 4);
	wire_batch_close(writer.batch);
}

Test(account, a_spool_that_took_out)
{
	struct writer writer;

	open_writer(&writer);
	add_event(&writer, 1);
	/* 2 to 5 were events of a record each; the last one's number is the record's. */
	writer.next = 5;
	writer.books.seen += 4;
	writer.books.settled += 4;
	add_lost(&writer, "spool", 4);
	wire_batch_taken_out(writer.batch, 3);
	put(&writer, 0);
	expect(&writer, 1, 0);
	cr_assert(writer.account.events == 2 && writer.account.taken_out == 3);
	wire_batch_close(writer.batch);
}

Test(account, a_gap_on_the_way)
{
	struct account_books later;
	struct writer writer;

	open_writer(&writer);
	add_event(&writer, 1);
	put(&writer, 0);
	later = writer.books;
	/* 2 to 4 never came; the collector's own batch has no books. */
	writer.books.there = false;
	writer.next = 4;
	add_lost(&writer, "stream", 3);
	wire_batch_taken_out(writer.batch, 2);
	put(&writer, 0);
	writer.books = later;
	expect(&writer, 1 - 3, 0); /* until books come that know of them */
	writer.books.seen += 3;
	writer.books.settled += 3;
	add_event(&writer, 1);
	put(&writer, 0);
	expect(&writer, 2, 0);
	wire_batch_close(writer.batch);
}

/* As the collector notes what another one has: neither a record nor books. */
static void put_elsewhere(struct writer *writer, uint64_t last)
{
	struct account_books books = writer->books;

	writer->books.there = false;
	writer->next = last + 1;
	wire_batch_taken_out(writer->batch, last - writer->first + 1);
	put(writer, 0);
	writer->books = books;
}

Test(account, what_the_store_had_once_counts_numbers)
{
	struct account_books later;
	struct writer writer;

	open_writer(&writer);
	add_event(&writer, 1);
	put(&writer, 0);
	later = writer.books;
	writer.books.there = false;
	writer.next = 4;
	add_lost(&writer, "store", 3);
	wire_batch_taken_out(writer.batch, 2);
	put(&writer, 0);
	writer.books = later;
	writer.books.seen += 3;
	writer.books.settled += 3;
	add_event(&writer, 1);
	put(&writer, 0);
	expect(&writer, 2, 0);
	cr_assert_eq(writer.account.lost[ACCOUNT_STORE], 3);
	/* One of the three told a loss, which nobody can read any more. */
	writer.books.seen += 7;
	add_event(&writer, 1);
	put(&writer, 0);
	expect(&writer, 3, 7);
	wire_batch_close(writer.batch);
}

/* The books before and behind them tell what was lost there; what comes later is a difference as everywhere. */
Test(account, what_another_collector_has_hides_no_later_loss)
{
	struct writer writer;

	open_writer(&writer);
	add_event(&writer, 1);
	writer.books.seen += 2; /* nobody ever tells of these */
	put(&writer, 0);
	expect(&writer, 1, 2);
	writer.books.seen += 13; /* 2 to 5: three records, and that ten were lost */
	writer.books.settled += 3;
	put_elsewhere(&writer, 3);
	put_elsewhere(&writer, 5);
	expect(&writer, 1, 2);
	add_lost(&writer, "kernel", 4);
	writer.books.seen += 4;
	put(&writer, 0);
	expect(&writer, 4, 2);
	cr_assert_eq(account_balance(&writer.account).lost_elsewhere, 10);
	writer.books.seen += 5;
	add_event(&writer, 1);
	put(&writer, 0);
	expect(&writer, 5, 7);
	/* More than the books say makes no room for it either. */
	writer.books.seen += 1;
	put_elsewhere(&writer, 9);
	add_lost(&writer, "ring-bulk", 6);
	put(&writer, 0);
	expect(&writer, 5, 2);
	cr_assert_eq(account_balance(&writer.account).lost_elsewhere, 10);
	wire_batch_close(writer.batch);
}

/* Its numbers up to 9 were made, 3 of them came; the next life counts what the kernel had. */
Test(account, a_killed_sensors_epoch_that_was_closed)
{
	struct writer writer;

	open_writer(&writer);
	for (int i = 0; i < 3; i++)
		add_event(&writer, 1);
	writer.books.seen += 5;
	writer.books.held = 2;
	writer.books.undeclared = 3;
	put(&writer, 0);
	expect(&writer, 3, 0);
	writer.next = 10;
	add_lost(&writer, "sensor", 17);
	wire_batch_taken_out(writer.batch, 6);
	writer.books = (struct account_books){true, true, 20, 3, 0, 0};
	put(&writer, 0);
	expect(&writer, 3, 0);
	cr_assert(writer.account.books.closed && writer.account.lost[ACCOUNT_SENSOR] == 17);
	wire_batch_close(writer.batch);
}

Test(account, who_lies_or_forgets_does_not_balance)
{
	struct writer writer;
	struct segment_frame frame = {.first = 2, .last = 3, .batch = TEXT_STATIC("no batch")};
	struct account_host said;

	open_writer(&writer);
	add_event(&writer, 1);
	writer.books.seen = 10;
	put(&writer, 0);
	expect(&writer, 1, 9);
	add_lost(&writer, "ring-bulk", 12);
	put(&writer, 0);
	expect(&writer, 1, -3);
	frame.first = 3;
	frame.last = 5;
	cr_assert_eq(account_add(&writer.account, &frame, &said), -EBADMSG);
	cr_assert_eq(account_balance(&writer.account).missing, 3);
	cr_assert_eq(account_balance(&writer.account).difference, 0, "-3, and 3 that are missing");
	writer.account.books.there = false;
	cr_assert_eq(account_balance(&writer.account).difference, 3, "without books what is missing");
	wire_batch_close(writer.batch);
}

Test(account, numbers_and_names_of_strangers)
{
	struct writer writer;

	open_writer(&writer);
	for (int i = 0; i < 40; i++)
		add_lost(&writer, i % 2 ? "ring-bulk\n" : "ring-bulk", UINT64_MAX);
	writer.books = (struct account_books){true, false, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	put(&writer, 0);
	cr_assert_eq(writer.account.lost[ACCOUNT_RING_BULK], ACCOUNT_COUNT_MAX);
	cr_assert_eq(writer.account.lost[ACCOUNT_OTHER], ACCOUNT_COUNT_MAX);
	cr_assert_eq(account_balance(&writer.account).difference, -4 * (int64_t)ACCOUNT_COUNT_MAX);
	wire_batch_close(writer.batch);
}

/* As many as it takes to leave 64 bits, which epochs that somebody made up are. */
Test(account, totals_of_strangers_stay_at_their_end)
{
	struct account_totals totals = {0};
	struct account most = {.books = {.there = true, .seen = ACCOUNT_COUNT_MAX, .settled = ACCOUNT_COUNT_MAX}};
	struct account least = {.books = {.there = true, .held = ACCOUNT_COUNT_MAX}};

	least.lost[ACCOUNT_SPOOL] = ACCOUNT_COUNT_MAX;
	for (int i = 0; i < 128; i++) {
		account_totals_add(&totals, &most);
		cr_assert_geq(totals.delivered, (int64_t)ACCOUNT_COUNT_MAX);
		cr_assert_geq(totals.seen, ACCOUNT_COUNT_MAX);
	}
	cr_expect_eq(totals.delivered, INT64_MAX);
	cr_expect_eq(totals.seen, UINT64_MAX);
	cr_expect_eq(totals.unbalanced, 0);
	totals.delivered = 0;
	for (uint64_t i = 1; i <= 128; i++) {
		account_totals_add(&totals, &least);
		cr_assert_lt(totals.delivered, 0);
		cr_assert_geq(totals.difference, ACCOUNT_COUNT_MAX, "a difference is never none");
		cr_assert_geq(totals.lost[ACCOUNT_SPOOL], ACCOUNT_COUNT_MAX);
		cr_assert_eq(totals.unbalanced, i);
	}
	cr_expect_eq(totals.delivered, INT64_MIN);
	cr_expect_eq(totals.waiting, UINT64_MAX);
	cr_expect_eq(totals.difference, UINT64_MAX);
}

Test(account, what_comes_twice_counts_once)
{
	struct segment_frame frame;
	struct account_host said;
	struct writer writer;
	struct account once;
	struct buffer *up;

	open_writer(&writer);
	add_event(&writer, 1);
	add_lost(&writer, "ring-bulk", 5);
	put(&writer, 0);
	/* 1 to 4 with 3 and 4 new; and all of it again. */
	writer.first = writer.next = 1;
	writer.books.seen = writer.books.settled = 0;
	add_event(&writer, 1);
	add_lost(&writer, "ring-bulk", 5);
	add_event(&writer, 1);
	add_event(&writer, 1);
	writer.books.seen += 5;
	up = finish(&writer, &frame, 3);
	cr_assert_eq(account_add(&writer.account, &frame, &said), 0);
	once = writer.account;
	expect(&writer, 3, 0);
	cr_assert(once.events == 4 && once.lost[ACCOUNT_RING_BULK] == 5);
	cr_assert_eq(account_add(&writer.account, &frame, &said), 0);
	frame.first = 1;
	cr_assert_eq(account_add(&writer.account, &frame, &said), 0);
	cr_assert(same(&once, &writer.account));
	wire_bytes_free(up);
	wire_batch_close(writer.batch);
}

/* --- a store's accounts ------------------------------------------------------------------------------------------------ */

static struct store *opened(const char *path, bool look)
{
	struct store *store;
	char why[300];

	cr_assert_eq(
		look ? store_look(&store, path, why, sizeof(why)) : store_open(&store, path, 4000, why, sizeof(why)), 0,
		"%s", why);
	return store;
}

/* Events that can be put into a batch again. */
struct some {
	int count;
	struct {
		const char *stage; /* NULL: it tells records */
		uint64_t count;
	} each[6];
};

static struct some choose(void)
{
	static const char *const stages[] = {"ring-critical", "ring-bulk", "kernel", "sensor", "else"};
	struct some some = {.count = rand() % 6 + 1};

	for (int i = 0; i < some.count; i++) {
		some.each[i].stage = rand() % 4 ? NULL : stages[rand() % 5];
		some.each[i].count = (uint64_t)rand() % 9;
	}
	return some;
}

static void add_some(struct writer *writer, const struct some *some)
{
	for (int i = 0; i < some->count; i++) {
		if (!some->each[i].stage) {
			add_event(writer, some->each[i].count);
			continue;
		}
		add_lost(writer, some->each[i].stage, some->each[i].count);
		writer->books.seen += some->each[i].count;
	}
}

/* Behind what an eviction or a gap took. */
static void add_taken(struct writer *writer, uint64_t count)
{
	writer->next += count - 1;
	writer->books.seen += count;
	writer->books.settled += count;
	add_lost(writer, rand() % 2 ? "spool" : "stream", count);
	wire_batch_taken_out(writer->batch, count - 1);
}

static void append(struct writer *writer, struct store *store, uint64_t from)
{
	struct store_position end;
	struct segment_frame frame;
	struct account_host said;
	struct buffer *up = finish(writer, &frame, from);

	cr_assert_eq(store_append(store, &frame, &end), 0);
	cr_assert_eq(account_add(&writer->account, &frame, &said), 0);
	wire_bytes_free(up);
	store_sync_begin(store);
	cr_assert_eq(store_sync_end(store), 0);
}

static void expect_same(const struct writer *writer, const struct store *store, int round)
{
	const struct account *account = store_account(store, host.id, host.epoch, true);

	cr_assert_not_null(account);
	cr_assert(same(account, &writer->account), "round %d", round);
	cr_assert_eq(account_balance(account).difference, 0, "round %d: %lld", round,
		(long long)account_balance(account).difference);
}

/*
 * Batches, evicted ones, gaps, parts of batches that came again: after each, and after each reopening, whoever looks at the
 * store and the collector itself have the account that was kept along the way, and it balances.
 */
Test(account, a_store_that_is_opened_again_has_the_same)
{
	char path[] = "/tmp/taffrail-account-XXXXXX", command[64];
	struct store *store, *look;
	struct writer writer;

	srand(4711);
	cr_assert_not_null(mkdtemp(path));
	store = opened(path, false);
	open_writer(&writer);
	for (int round = 0; round < 300; round++) {
		struct some some = choose(), more = choose();
		uint64_t first = writer.next;

		writer.books.seen -= writer.books.held;
		writer.books.held = (uint64_t)rand() % 5;
		writer.books.seen += writer.books.held;
		if (rand() % 5 == 0) {
			add_taken(&writer, (uint64_t)rand() % 50 + 1);
			append(&writer, store, 0);
			first = writer.next;
		}
		add_some(&writer, &some);
		append(&writer, store, 0);
		if (rand() % 3 == 0) { /* the same once more, and more behind it */
			struct account_books books = writer.books;
			uint64_t stored = writer.next;

			writer.first = writer.next = first;
			add_some(&writer, &some);
			writer.books = books;
			add_some(&writer, &more);
			append(&writer, store, stored);
		}
		look = opened(path, true);
		expect_same(&writer, look, round);
		store_close(look);
		if (round % 10 == 0) {
			store_close(store);
			store = opened(path, false);
		}
		expect_same(&writer, store, round);
	}
	store_close(store);
	snprintf(command, sizeof(command), "rm -r '%s'", path);
	cr_assert_eq(system(command), 0);
	wire_batch_close(writer.batch);
}
