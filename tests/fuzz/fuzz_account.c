/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch as a sensor may send it, read as far as its account goes: what both readers accept has the same numbers for both,
 * whatever part of it is another frame's already; and no account of any bytes leaves the bounds in which it is summed.
 */
#include "fuzz.h"

#include "collector/account.h"
#include "event/wire.h"

static void expect_bounded(const struct account *account)
{
	struct account_balance balance = account_balance(account);

	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		fuzz_expect(account->lost[stage] <= ACCOUNT_COUNT_MAX);
	fuzz_expect(account->events + account->taken_out + account->elsewhere + balance.missing == account->made);
	fuzz_expect(account->lost_elsewhere <= ACCOUNT_COUNT_MAX);
}

static void expect_same(const struct account *account, const struct wire_events *events, uint64_t from)
{
	uint64_t count = 0, lost[ACCOUNT_STAGES] = {0};

	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->events[i];

		if (event->sequence < from)
			continue;
		count++;
		if (event->action != EVENT_LOST)
			continue;
		uint64_t *sum = &lost[account_stage_find(event->lost.stage)];

		*sum += event->lost.count < ACCOUNT_COUNT_MAX ? event->lost.count : ACCOUNT_COUNT_MAX;
		*sum = *sum < ACCOUNT_COUNT_MAX ? *sum : ACCOUNT_COUNT_MAX;
	}
	fuzz_expect(account->events == count && account->made == events->last);
	for (int stage = 0; stage < ACCOUNT_OTHER; stage++)
		fuzz_expect(account->lost[stage] >= lost[stage]); /* other actions may have such a detail, too */
	fuzz_expect(account_balance(account).missing == from - 1);
}

static bool is_same(const struct account *a, const struct account *b)
{
	return a->made == b->made && a->events == b->events && a->taken_out == b->taken_out &&
	       a->elsewhere == b->elsewhere && a->first_ns == b->first_ns && a->last_ns == b->last_ns &&
	       memcmp(a->lost, b->lost, sizeof(a->lost)) == 0 && a->lost_elsewhere == b->lost_elsewhere &&
	       account_books_equal(&a->books, &b->books);
}

/* The frames of one batch: all of it, and what is left of it behind a part that is stored. */
static void try_frames(const struct wire_events *events, struct text batch)
{
	uint64_t span = events->last - events->first + 1;

	for (uint64_t cut = 0; cut < 4 && cut < span; cut++) {
		struct segment_frame frame = {.first = events->first + cut, .last = events->last, .batch = batch};
		struct account account = {.made = 0}, again, with = {.made = 0};
		struct account_reading reading;
		struct account_host host;

		fuzz_expect(account_add(&account, &frame, &host) == 0);
		expect_bounded(&account);
		expect_same(&account, events, frame.first);
		again = account;
		fuzz_expect(account_add(&again, &frame, &host) == 0);
		fuzz_expect(again.events == account.events && again.taken_out == account.taken_out);
		/* With a reading of the whole batch, whatever part counts, it is the same account. */
		fuzz_expect(account_read(batch, &reading) == 0);
		frame.reading = &reading;
		fuzz_expect(account_add(&with, &frame, &host) == 0);
		fuzz_expect(is_same(&with, &account));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const struct text batch = {(const char *)bytes, length};
	struct segment_frame frame = {.first = 1, .last = 1000, .batch = batch};
	struct account account = {.made = 0};
	struct account_reading reading;
	struct account_host host;
	char why[WIRE_WHY_SIZE];
	struct wire_events events;

	if (account_add(&account, &frame, &host) == 0)
		expect_bounded(&account);
	fuzz_expect(account.made == 1000);
	/* A collector takes what both can read. */
	if (account_read(batch, &reading) < 0 || wire_read(&events, bytes, length, why) < 0)
		return 0;
	try_frames(&events, batch);
	wire_free(&events);
	return 0;
}
