/* SPDX-License-Identifier: Apache-2.0 */
/* The page that a killed sensor leaves: as it was written, at any moment, and damaged. */
#include "sensor/ledger.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static _Alignas(8) unsigned char page[LEDGER_BYTES];

static const struct ledger_life life = {
	.host = {.id = TEXT_STATIC("node-1"),
		.name = TEXT_STATIC("node"),
		.boot_id = TEXT_STATIC("b"),
		.epoch = {1, 2, 3}},
	.started_ns = 1700000000000000000ull,
	.lanes = 4,
	.repeats_at = 64,
};

static struct ledger *opened(void)
{
	struct ledger *ledger;

	cr_assert_eq(ledger_format(page, &life), 0);
	cr_assert_eq(ledger_open(&ledger, page), 0);
	return ledger;
}

static struct ledger_view read_page(const void *bytes)
{
	struct ledger_view view;

	cr_assert(ledger_read(&view, bytes, LEDGER_BYTES));
	return view;
}

static struct ledger_batch batch(uint64_t last)
{
	return (struct ledger_batch){last, 10 * last, last / 10, 1000 * last, false};
}

static void expect_batch(struct ledger_batch found, uint64_t last)
{
	cr_assert_eq(found.last, last, "%llu is not %llu", (unsigned long long)found.last, (unsigned long long)last);
	cr_assert(found.settled == 10 * last && found.declared == last / 10 && found.time_ns == 1000 * last);
}

Test(ledger, what_was_written_is_read)
{
	struct ledger *ledger = opened();
	struct ledger_view view = read_page(page);

	cr_assert(text_equal(view.life.host.id, TEXT_LITERAL("node-1")) && view.life.host.epoch[2] == 3);
	cr_assert(view.life.host.cluster.length == 0 && view.life.lanes == 4 && view.life.repeats_at == 64);
	cr_assert(view.made.last == 0 && view.acknowledged.last == 0 && view.spool_inode == 0);
	for (uint64_t last = 1; last <= 5; last++) {
		ledger_made(ledger, &(const struct ledger_batch){last, 10 * last, last / 10, 1000 * last, last == 5});
		expect_batch(read_page(page).made, last);
	}
	ledger_found(ledger, 77);
	ledger_kinds(ledger, 1ull << EVENT_EXEC);
	ledger_kind(ledger, EVENT_OPEN);
	ledger_alive(ledger, 4711);
	ledger_spool(ledger, 8, 9, "/somewhere");
	view = read_page(page);
	cr_assert(view.made.closed && view.found == 77 && view.alive_ns == 4711);
	cr_assert_eq(view.kinds, 1ull << EVENT_EXEC | 1ull << EVENT_OPEN);
	cr_assert(view.spool_device == 8 && view.spool_inode == 9 &&
		  text_equal(view.spool_path, TEXT_LITERAL("/somewhere")));
	ledger_close(ledger);
}

Test(ledger, acknowledged_is_the_last_batch_that_all_of_is)
{
	struct ledger *ledger = opened();
	struct ledger_batch sent;

	for (uint64_t last = 10; last <= 50; last += 10) {
		sent = batch(last);
		ledger_sent(ledger, &sent);
	}
	ledger_acknowledged(ledger, 9);
	cr_assert_eq(read_page(page).acknowledged.last, 0);
	ledger_acknowledged(ledger, 29);
	expect_batch(read_page(page).acknowledged, 20);
	ledger_acknowledged(ledger, 29);
	ledger_acknowledged(ledger, 5);
	expect_batch(read_page(page).acknowledged, 20);
	ledger_acknowledged(ledger, 1000);
	expect_batch(read_page(page).acknowledged, 50);
	ledger_close(ledger);
}

/* The collector was away for long: of what is on its way not each batch is known, but none counts too early, and none much too late. */
Test(ledger, of_very_many_on_their_way_none_counts_too_early)
{
	enum { MANY = 10000 };
	struct ledger *ledger = opened();
	struct ledger_batch sent;

	for (uint64_t last = 1; last <= MANY; last++) {
		sent = batch(last);
		ledger_sent(ledger, &sent);
	}
	for (uint64_t last = 1; last <= MANY; last++) {
		uint64_t known;

		ledger_acknowledged(ledger, last);
		known = read_page(page).acknowledged.last;
		if (known > 0)
			expect_batch(read_page(page).acknowledged, known);
		cr_assert(known <= last && known + MANY / 256 > last, "%llu of %llu", (unsigned long long)known,
			(unsigned long long)last);
	}
	expect_batch(read_page(page).acknowledged, MANY);
	ledger_close(ledger);
}

/* Killed anywhere: each prefix of the bytes that a write changes, in each order of words, leaves this batch or the one before. */
Test(ledger, a_write_that_is_torn_leaves_the_one_before)
{
	struct ledger *ledger = opened();
	static _Alignas(8) unsigned char before[LEDGER_BYTES], torn[LEDGER_BYTES];
	size_t changed[LEDGER_BYTES], count;

	srand(4);
	for (uint64_t last = 1; last <= 300; last++) {
		struct ledger_batch made = batch(last);

		memcpy(before, page, sizeof(before));
		ledger_made(ledger, &made);
		count = 0;
		for (size_t at = 0; at < LEDGER_BYTES; at++)
			if (before[at] != page[at])
				changed[count++] = at;
		cr_assert_gt(count, 0);
		memcpy(torn, before, sizeof(torn));
		for (size_t done = 0; done < count; done++) {
			size_t other = done + (size_t)rand() % (count - done), at = changed[other];
			uint64_t found = read_page(torn).made.last;

			cr_assert(found == last - 1 || (found == last && done > 0), "%llu of %llu",
				(unsigned long long)found, (unsigned long long)last);
			if (found)
				expect_batch(read_page(torn).made, found);
			changed[other] = changed[done];
			torn[at] = page[at];
		}
		expect_batch(read_page(torn).made, last);
	}
	ledger_close(ledger);
}

Test(ledger, what_is_none_is_refused)
{
	struct ledger *ledger = opened();
	struct ledger_view view;
	struct ledger_life other = life;

	cr_assert_not(ledger_read(&view, page, 100));
	cr_assert_not(ledger_read(&view, page, 0));
	for (size_t at = 0; at < 40 + 4 * (LEDGER_TEXT_MAX + 1); at++) { /* magic, version, epoch, texts */
		page[at] ^= 0x40;
		cr_assert_not(ledger_read(&view, page, LEDGER_BYTES), "byte %zu", at);
		page[at] ^= 0x40;
	}
	cr_assert(ledger_read(&view, page, LEDGER_BYTES));
	ledger_close(ledger);
	other.lanes = LEDGER_LANES_MAX + 1;
	cr_assert_eq(ledger_format(page, &other), 0);
	cr_assert_not(ledger_read(&view, page, LEDGER_BYTES), "no CPU has so many");
	other = life;
	other.host.name = (struct text){(const char *)page, LEDGER_TEXT_MAX + 1};
	cr_assert_lt(ledger_format(page, &other), 0);
	memset(page, 0, sizeof(page));
	cr_assert_not(ledger_read(&view, page, LEDGER_BYTES));
	ledger_leave(page, 1, 2, 3);
	for (size_t at = 0; at < LEDGER_BYTES; at++)
		cr_assert_eq(page[at], 0, "it wrote into what is none");
}

Test(ledger, which_stores_have_how_much_outlives_it)
{
	struct ledger *ledger = opened();
	static _Alignas(8) unsigned char before[LEDGER_BYTES];
	struct stores stores = {0}, found;
	size_t changed = 0;

	for (unsigned i = 1; i <= STORES_MAX; i++)
		stores_note(&stores, &(const struct store_id){{(uint8_t)i}}, 10u + i);
	ledger_stores(ledger, &stores);
	found = read_page(page).stores;
	for (unsigned i = 1; i <= STORES_MAX; i++)
		cr_assert_eq(stores_find(&found, &(const struct store_id){{(uint8_t)i}}), 10u + i);
	/* Of more, the one that has the least goes; who has less than that is none of them. */
	stores_note(&stores, &(const struct store_id){{99}}, 50);
	stores_note(&stores, &(const struct store_id){{98}}, 5);
	cr_assert_eq(stores_find(&stores, &(const struct store_id){{1}}), 0);
	cr_assert_eq(stores_find(&stores, &(const struct store_id){{98}}), 0);
	cr_assert(stores_find(&stores, &(const struct store_id){{99}}) == 50 && stores_highest(&stores) == 50);
	/* Killed in between: that mark is whole, or it is none. */
	memcpy(before, page, sizeof(before));
	ledger_stores(ledger, &stores);
	for (size_t at = 0; at < LEDGER_BYTES; at++) {
		uint64_t now;

		if (before[at] == page[at])
			continue;
		before[at] = page[at];
		changed++;
		found = read_page(before).stores;
		now = stores_find(&found, &(const struct store_id){{99}});
		cr_assert(now == 50 || now == 0);
		cr_assert_eq(stores_find(&found, &(const struct store_id){{2}}), 12);
	}
	cr_assert_gt(changed, 3);
	cr_assert_eq(stores_find(&found, &(const struct store_id){{99}}), 50);
	ledger_close(ledger);
}

/* One byte of what does not change of a life, whichever it is: all else is known all the same, or it is left as it is. */
Test(ledger, what_is_damaged_is_mended_for_its_host)
{
	struct ledger *ledger = opened();
	struct ledger_life own = life;
	struct ledger_view view;
	struct ledger_batch made = batch(7);

	own.started_ns++;
	ledger_made(ledger, &made);
	ledger_sent(ledger, &made);
	ledger_acknowledged(ledger, 7);
	ledger_found(ledger, 3);
	for (size_t at = 0; at < 32 + 4 * (LEDGER_TEXT_MAX + 1); at++) {
		const bool names_host = at < 32 || at > 32 + strlen("node-1");
		unsigned char before[LEDGER_BYTES];

		page[at] ^= 0x40;
		memcpy(before, page, sizeof(before));
		cr_assert_eq(ledger_mend(page, &own), names_host, "byte %zu", at);
		if (!names_host) {
			cr_assert_eq(memcmp(before, page, sizeof(before)), 0);
			page[at] ^= 0x40;
			continue;
		}
		view = read_page(page);
		cr_assert(view.life.host.epoch[2] == 3 && view.life.lanes == 4 && view.life.repeats_at == 64);
		cr_assert(text_equal(view.life.host.boot_id, TEXT_LITERAL("b")) && view.found == 3);
		expect_batch(view.made, 7);
		expect_batch(view.acknowledged, 7);
	}
	cr_assert_eq(read_page(page).life.started_ns, life.started_ns);
	memset(page + 8, 1, 8); /* version and size: another sensor's layout */
	cr_assert_not(ledger_mend(page, &own));
	ledger_close(ledger);
}

Test(ledger, what_is_found_beside_is_added_once)
{
	struct ledger *ledger = opened();
	struct ledger_view view;

	ledger_kind(ledger, EVENT_EXEC);
	ledger_alive(ledger, 100);
	for (int i = 0; i < 2; i++)
		ledger_leave(page, 5, 1ull << EVENT_FORK, 90);
	view = read_page(page);
	cr_assert(view.repeats == 5 && view.alive_ns == 100 && view.kinds == (1ull << EVENT_EXEC | 1ull << EVENT_FORK));
	ledger_leave(page, 5, 0, 200);
	cr_assert_eq(read_page(page).alive_ns, 200);
	ledger_close(ledger);
}

Test(ledger, without_one_nothing_happens)
{
	const struct ledger_batch none = {0};

	ledger_made(NULL, &none);
	ledger_sent(NULL, &none);
	ledger_acknowledged(NULL, 1);
	ledger_found(NULL, 1);
	ledger_kind(NULL, EVENT_EXEC);
	ledger_kinds(NULL, 1);
	ledger_alive(NULL, 1);
	ledger_spool(NULL, 1, 1, "");
	ledger_stores(NULL, &(const struct stores){0});
	ledger_close(NULL);
}
