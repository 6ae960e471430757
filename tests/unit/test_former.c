/* SPDX-License-Identifier: Apache-2.0 */
/* What is said for a life that was killed, to a collector that has more or less of it than the ledger knows. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/wire.h"
#include "sensor/backlog.h"

static struct {
	struct formers *formers;
	uint64_t done, left; /* owners, as bits */
} test;

static void done(void *context, void *owner)
{
	(void)context;
	test.done |= 1ull << (uintptr_t)owner;
}

static void left(void *context, void *owner)
{
	(void)context;
	test.left |= 1ull << (uintptr_t)owner;
}

static void set_up(void)
{
	const struct former_ops ops = {.done = done, .left = left};

	cr_assert_eq(formers_open(&test.formers, &ops), 0);
	test.done = test.left = 0;
}

static void tear_down(void)
{
	formers_close(test.formers);
}

TestSuite(former, .init = set_up, .fini = tear_down, .timeout = 60);

/* Up to 100 acknowledged, up to 140 made, and 205 seen: 200 of them with a number. */
static struct ledger_view ledger_of(uint8_t number)
{
	return (struct ledger_view){
		.life = {.host = {.id = TEXT_LITERAL("node-1"), .boot_id = TEXT_LITERAL("boot"), .epoch = {number}},
			.started_ns = 1000 + number},
		.made = {.last = 140, .settled = 150, .declared = 12, .time_ns = 3000},
		.acknowledged = {.last = 100, .settled = 90, .declared = 5, .time_ns = 2000},
		.found = 3,
		.repeats = 2,
		.kinds = 1ull << EVENT_EXEC,
		.alive_ns = 4000,
	};
}

static struct former *add(const struct ledger_view *ledger)
{
	cr_assert_eq(formers_add(test.formers, ledger, 200, (void *)(uintptr_t)ledger->life.host.epoch[0]), 0);
	return formers_find(test.formers, ledger->life.host.epoch);
}

/* Reads a batch and its only event, if it has one. */
static void read_up(const struct buffer *up, struct wire_events *events, struct event_lost *lost)
{
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(events, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why), 0, "%s", why);
	*lost = (struct event_lost){0};
	cr_assert_leq(events->count, 1);
	if (events->count == 0)
		return;
	cr_assert(events->events[0].action == EVENT_LOST && events->events[0].sequence == events->last);
	*lost = events->events[0].lost;
	cr_assert(text_equal(lost->stage, TEXT_LITERAL("sensor")) && lost->cpu == -1 && lost->last == events->last);
}

/* The closing batch declares so many, from `first` on; all else of `seen` was settled or declared before. */
static void expect_closing(struct former *former, uint64_t first, uint64_t count, uint64_t declared)
{
	uint64_t from, to;
	struct buffer *up = former_next(former, &from, &to);
	struct wire_events events;
	struct event_lost lost;

	cr_assert_not_null(up);
	read_up(up, &events, &lost);
	cr_assert(from == first && to == 141 && events.first == from && events.last == to, "%llu to %llu",
		(unsigned long long)from, (unsigned long long)to);
	cr_assert_eq(lost.count, count, "%llu", (unsigned long long)lost.count);
	cr_assert_eq(events.taken_out, to - from + 1 - events.count);
	cr_assert(events.has_books && events.books.closed && events.books.held == 0 && events.books.undeclared == 0);
	cr_assert_eq(events.books.seen, 205);
	cr_assert_eq(events.books.seen, events.books.settled + declared + lost.count);
	cr_assert(text_equal(events.host.boot_id, TEXT_LITERAL("boot")));
	wire_free(&events);
	wire_bytes_free(up);
	cr_assert_null(former_next(former, &from, &to), "twice");
}

Test(former, what_the_collector_has_needs_no_declaration)
{
	const struct wire_books books = {.seen = 150, .settled = 130, .held = 10};
	struct ledger_view ledger = ledger_of(1);
	struct former *former = add(&ledger);

	cr_assert_eq(former_acknowledged(former), 100);
	former_greeted(former, 120, &books);
	expect_closing(former, 121, 205 - 130 - 10, 10);
	former_acknowledge(former, 140);
	cr_assert_not(former_is_done(former));
	former_acknowledge(former, 141);
	cr_assert(former_is_done(former));
	formers_remove(test.formers, former);
	cr_assert(test.done == 1u << 1 && !formers_oldest(test.formers));
}

Test(former, one_that_keeps_no_books_is_told_by_the_ledger)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former = add(&ledger);

	former_greeted(former, 120, NULL);
	expect_closing(former, 121, 205 - 95, 5);
	former_greeted(former, 0, NULL); /* another collector, which has nothing of it */
	expect_closing(former, 121, 205 - 95, 5);
	former_greeted(former, 140, NULL);
	expect_closing(former, 141, 205 - 162, 12);
}

Test(former, what_was_not_sent_is_not_acknowledged)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former = add(&ledger);

	former_acknowledge(former, 1000000);
	former_greeted(former, 100, NULL);
	former_acknowledge(former, 1000000);
	cr_assert_not(former_is_done(former));
	expect_closing(former, 101, 205 - 95, 5);
}

Test(former, one_that_was_closed_already_is_done)
{
	const struct wire_books ended = {.seen = 205, .settled = 205, .closed = true};
	struct ledger_view ledger = ledger_of(1);
	struct former *former = add(&ledger);
	uint64_t first, last;

	former_greeted(former, 141, &(const struct wire_books){205, 95, 0, 0, true});
	cr_assert_null(former_next(former, &first, &last));
	former_acknowledge(former, 141);
	cr_assert(former_is_done(former), "by a life before this one");
	ledger = ledger_of(2);
	former = add(&ledger);
	former_greeted(former, 141, NULL);
	former_acknowledge(former, 141);
	cr_assert(former_is_done(former), "no other batch has that number");
	ledger = ledger_of(3);
	former = add(&ledger);
	former_greeted(former, 139, &(const struct wire_books){200, 150, 0, 50, false});
	former_greeted(former, 140, &ended);
	former_acknowledge(former, 140);
	cr_assert(former_is_done(former), "by itself");
	ledger = ledger_of(4);
	ledger.acknowledged = ledger.made;
	ledger.acknowledged.closed = true;
	former = add(&ledger);
	former_greeted(former, 0, NULL);
	former_acknowledge(former, 0);
	cr_assert(former_is_done(former), "a collector had acknowledged that, and this one need not hear of it");
}

Test(former, where_nothing_was_lost_no_event_says_so)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former;
	struct wire_events events;
	struct event_lost lost;
	struct buffer *up;
	uint64_t first, last;

	ledger.made = (struct ledger_batch){140, 200, 5, 3000, false};
	ledger.acknowledged = ledger.made;
	former = add(&ledger);
	former_greeted(former, 140, NULL);
	up = former_next(former, &first, &last);
	read_up(up, &events, &lost);
	cr_assert(first == 141 && last == 141 && events.count == 0 && events.taken_out == 1);
	cr_assert(events.books.closed && events.books.seen == 205 && events.books.settled == 200);
	wire_free(&events);
	wire_bytes_free(up);
}

Test(former, the_time_and_kinds_are_those_of_what_was_not_told)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former = add(&ledger);
	struct wire_events events;
	struct event_lost lost;
	struct buffer *up;
	uint64_t first, last;

	former_greeted(former, 0, NULL);
	up = former_next(former, &first, &last);
	read_up(up, &events, &lost);
	cr_assert(lost.start_ns == 2000 && lost.end_ns == 4000 && lost.first == 101 && lost.last == 141);
	cr_assert_eq(lost.kinds, 1ull << EVENT_EXEC);
	wire_free(&events);
	wire_bytes_free(up);
}

Test(former, more_numbers_than_a_batch_may_have_are_several)
{
	const uint64_t span = 1 << 24;
	struct ledger_view ledger = ledger_of(1);
	struct former *former;
	struct wire_events events;
	struct event_lost lost;
	uint64_t first, last, due = 101;
	unsigned batches = 0;
	struct buffer *up;

	ledger.made.last = 100 + 2 * span;
	former = add(&ledger);
	former_greeted(former, 100, NULL);
	while ((up = former_next(former, &first, &last))) {
		read_up(up, &events, &lost);
		cr_assert(first == due && last - first < span);
		cr_assert(events.count == (last == ledger.made.last + 1) && events.has_books);
		cr_assert(events.books.closed == (events.count == 1) && events.books.undeclared + lost.count == 110);
		due = last + 1;
		batches++;
		wire_free(&events);
		wire_bytes_free(up);
		former_acknowledge(former, last);
	}
	cr_assert(due == ledger.made.last + 2 && batches == 3 && former_is_done(former));
}

Test(former, damaged_numbers_declare_nothing_that_was_not_seen)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former;
	uint64_t first, last;
	struct buffer *up;

	ledger.acknowledged = (struct ledger_batch){UINT64_MAX, UINT64_MAX, 9, UINT64_MAX, false};
	ledger.made.last = UINT64_MAX;
	former = add(&ledger);
	former_greeted(former, UINT64_MAX, &(const struct wire_books){1, UINT64_MAX, 5, 5, false});
	for (int i = 0; i < 4 && (up = former_next(former, &first, &last)); i++) {
		cr_assert_leq(first, last);
		wire_bytes_free(up);
	}
}

Test(former, a_ledger_that_claims_too_much_is_closed_all_the_same)
{
	struct ledger_view ledger = ledger_of(1);
	struct former *former;
	uint64_t first, last = 0;
	struct buffer *up;
	int batches = 0;

	ledger.made.last = 1ull << 62;
	ledger.acknowledged.last = 0;
	former = add(&ledger);
	former_greeted(former, 0, NULL);
	while (batches < 1000 && (up = former_next(former, &first, &last))) {
		wire_bytes_free(up);
		batches++;
	}
	cr_expect_leq(batches, 300, "%d", batches);
	cr_expect(last == former_last(former) && last > 1ull << 32, "%llu", (unsigned long long)last);
	former_acknowledge(former, last);
	cr_expect(former_is_done(former));
}

Test(former, the_oldest_are_kept)
{
	struct ledger_view ledger;

	for (uint8_t i = 20; i > 20 - FORMER_MAX; i--) {
		ledger = ledger_of(i);
		(void)add(&ledger);
		cr_assert_eq(former_host(formers_oldest(test.formers))->epoch[0], i);
	}
	ledger = ledger_of(21);
	cr_assert_eq(formers_add(test.formers, &ledger, 1, (void *)21), -ENOBUFS);
	cr_assert_eq(test.left, 1u << 21, "the youngest is left to the next life");
	ledger = ledger_of(1);
	cr_assert_eq(formers_add(test.formers, &ledger, 1, (void *)1), -ENOBUFS);
	cr_assert_eq(test.left, 1u << 21 | 1u << 20);
	cr_assert(former_host(formers_oldest(test.formers))->epoch[0] == 1 &&
		  !formers_find(test.formers, (const uint8_t[16]){20}));
	formers_close(test.formers);
	cr_assert_eq(test.left, 0x3fffe2, "all others, too");
	set_up();
}

/* --- behind what is on the spool --------------------------------------------------------------------------------------- */

static struct buffer *make_batch(const struct event_host *host, uint64_t last, const struct wire_books *books)
{
	struct event event = {.action = EVENT_EXEC, .sequence = last, .count = 1};
	struct wire_batch *batch;
	struct buffer *up;

	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_add(batch, &event);
	wire_batch_books(batch, books);
	up = wire_batch_finish(batch, host, last, last);
	wire_batch_close(batch);
	return up;
}

/* What comes next has this epoch and these numbers; it is acknowledged. */
static void expect_next(struct backlog *backlog, uint8_t epoch, uint64_t first, uint64_t last, bool turns)
{
	struct batch *batch = backlog_next(backlog);

	cr_assert_not_null(batch, "epoch %d, %llu", epoch, (unsigned long long)first);
	cr_assert(backlog_host(backlog)->epoch[0] == epoch && batch->first == first && batch->last == last,
		"epoch %d, %llu to %llu", backlog_host(backlog)->epoch[0], (unsigned long long)batch->first,
		(unsigned long long)batch->last);
	backlog_release(batch);
	backlog_acknowledge(backlog, last);
	cr_assert_eq(backlog_turn(backlog), turns);
}

Test(former, epochs_are_closed_behind_what_the_spool_has_of_them)
{
	struct event_host host = {.id = TEXT_LITERAL("node-1"), .epoch = {5}};
	char folder[] = "/tmp/taffrail-former-XXXXXX", path[64], command[80], why[300];
	struct spool_options spool_options = {.path = path, .max_bytes = 64 << 20, .fsync = SPOOL_NEVER, .host = &host};
	struct backlog_options options = {.host = &host, .memory_bytes = 1 << 20, .formers = test.formers};
	struct ledger_view ledger;
	struct backlog *backlog;
	struct buffer *up;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/spool", folder);
	/* A life that left two batches there, and was killed. */
	cr_assert_eq(spool_open(&options.spool, &spool_options, why, sizeof(why)), 0, "%s", why);
	for (uint64_t last = 1; last <= 2; last++) {
		up = make_batch(&host, last, &(const struct wire_books){10 * last, 8 * last, last, last, false});
		cr_assert_eq(
			spool_append(options.spool, (struct text){up->data, up->length}, last, last, EVICT_NOTHING), 0);
		wire_bytes_free(up);
	}
	spool_close(options.spool);
	host.epoch[0] = 7;
	cr_assert_eq(spool_open(&options.spool, &spool_options, why, sizeof(why)), 0, "%s", why);
	/* And an older one, of which nothing is there, with pins of its own. */
	ledger = ledger_of(5);
	ledger.made = (struct ledger_batch){3, 20, 0, 9, false};
	ledger.acknowledged = (struct ledger_batch){0};
	(void)add(&ledger);
	ledger = ledger_of(3);
	(void)add(&ledger);
	cr_assert_eq(backlog_open(&backlog, &options), 0);
	up = make_batch(&host, 1, &(const struct wire_books){0});
	backlog_put(backlog, backlog_batch(backlog, up, 1, 1));
	cr_assert_not(backlog_is_empty(backlog));

	backlog_rewind(backlog, 0, NULL);
	expect_next(backlog, 5, 1, 1, false);
	backlog_rewind(backlog, 1, NULL); /* another connection */
	expect_next(backlog, 5, 2, 2, false);
	expect_next(backlog, 5, 3, 4, true); /* 3 was made, and is not there any more */
	cr_assert_eq(test.done, 1u << 5);
	backlog_rewind(backlog, 0, NULL);
	expect_next(backlog, 3, 101, 141, true);
	cr_assert_eq(test.done, 1u << 5 | 1u << 3);
	backlog_rewind(backlog, 0, NULL);
	expect_next(backlog, 7, 1, 1, false);
	cr_assert(backlog_is_empty(backlog));
	cr_assert(backlog_close(backlog, false));
	spool_close(options.spool);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	cr_assert_eq(system(command), 0);
}

Test(former, an_answer_of_one_epoch_is_not_taken_for_the_next)
{
	struct event_host host = {.id = TEXT_LITERAL("node-1"), .epoch = {7}};
	const struct backlog_options options = {.host = &host, .memory_bytes = 1 << 20, .formers = test.formers};
	struct ledger_view ledger = ledger_of(3);
	struct backlog *backlog;

	(void)add(&ledger);
	cr_assert_eq(backlog_open(&backlog, &options), 0);
	backlog_put(backlog, backlog_batch(backlog, make_batch(&host, 1, &(const struct wire_books){0}), 1, 1));
	/* It is closed there already: nothing has to be sent, and the own epoch has no acknowledgement yet. */
	backlog_rewind(backlog, 141, &(const struct wire_books){205, 95, 0, 0, true});
	backlog_acknowledge(backlog, 141);
	cr_assert(backlog_turn(backlog));
	cr_assert_eq(backlog_acknowledged(backlog), 0);
	backlog_rewind(backlog, 0, NULL);
	expect_next(backlog, 7, 1, 1, false);
	cr_assert(backlog_close(backlog, false));
}

/* --- lives that end while another one is at work ----------------------------------------------------------------------- */

static unsigned looks;

static bool look(void *context)
{
	struct ledger_view ledger = ledger_of((uint8_t)(10 + ++looks));

	(void)context;
	stores_note(&ledger.stores, &(const struct store_id){{5}}, 90);
	if (looks != 2)
		cr_assert_eq(formers_add(test.formers, &ledger, 200, (void *)(uintptr_t)(10 + looks)), 0);
	return looks == 2;
}

/* It looks after so many seconds, and not before. */
static void expect_look(uint64_t *now_ns, unsigned seconds)
{
	const unsigned before = looks;

	formers_look(test.formers, *now_ns + seconds * 1000000000ull - 1);
	cr_assert_eq(looks, before);
	formers_look(test.formers, *now_ns += seconds * 1000000000ull);
	cr_assert_eq(looks, before + 1);
}

Test(former, who_ended_since_waits_for_the_next_hello)
{
	const struct former_ops ops = {.done = done, .left = left, .look = look};
	struct event_host host = {.id = TEXT_LITERAL("node-1"), .epoch = {7}};
	struct backlog_options options = {.host = &host, .memory_bytes = 1 << 20};
	struct backlog *backlog;
	struct ledger_view ledger;
	uint64_t now_ns = 5;

	looks = 0;
	formers_close(test.formers);
	cr_assert_eq(formers_open(&test.formers, &ops), 0);
	options.formers = test.formers;
	cr_assert_eq(backlog_open(&backlog, &options), 0);
	backlog_begin(backlog);
	backlog_store(backlog, &(const struct store_id){{6}});
	for (uint64_t last = 1; last <= 2; last++)
		backlog_put(backlog,
			backlog_batch(backlog, make_batch(&host, last, &(const struct wire_books){0}), last, last));
	backlog_rewind(backlog, 0, NULL);
	backlog_tick(backlog, now_ns);
	expect_look(&now_ns, 2);
	cr_assert(backlog_is_interrupted(backlog) && !backlog_is_empty(backlog));
	expect_next(backlog, 7, 1, 1, false);
	cr_assert_eq(backlog_acknowledged(backlog), 1, "of this life");
	backlog_begin(backlog);
	cr_assert_not(backlog_is_interrupted(backlog));
	cr_assert_eq(backlog_acknowledged(backlog), 100, "of that life");
	cr_assert_eq(stores_find(backlog_stores(backlog), &(const struct store_id){{5}}), 90, "as its ledger says");
	cr_assert_eq(stores_find(backlog_stores(backlog), &(const struct store_id){{6}}), 0);
	expect_look(&now_ns, 4);
	backlog_rewind(backlog, 100, NULL);
	expect_next(backlog, 11, 101, 141, true);
	cr_assert_eq(test.done, 1u << 11);
	backlog_begin(backlog);
	cr_assert_eq(stores_find(backlog_stores(backlog), &(const struct store_id){{6}}), 1);
	backlog_rewind(backlog, 1, NULL);
	expect_next(backlog, 7, 2, 2, false);
	cr_assert(backlog_is_empty(backlog));
	cr_assert_eq(stores_find(backlog_stores(backlog), &(const struct store_id){{5}}), 0, "the other life's");
	expect_look(&now_ns, 2); /* one was passed over for the first time */
	cr_assert_eq(backlog_acknowledged(backlog), 2, "it waits");
	backlog_begin(backlog);
	cr_assert_eq(backlog_host(backlog)->epoch[0], 13);
	/* There is no more room: none that was begun is given up for one that ended since. */
	for (int i = 20; i < 20 + FORMER_MAX - 2; i++) {
		ledger = ledger_of((uint8_t)i);
		(void)add(&ledger);
	}
	ledger = ledger_of(0);
	(void)add(&ledger);
	formers_look(test.formers, now_ns += 4000000000ull);
	cr_assert_eq(looks, 3, "not where there is none at all");
	formers_remove(test.formers, formers_find(test.formers, (const uint8_t[16]){20}));
	expect_look(&now_ns, 8);
	cr_assert_eq(test.left, 0);
	cr_assert(backlog_close(backlog, true));
}
