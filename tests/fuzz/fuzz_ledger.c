/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page that a former life of the sensor is said to have left. The first byte says whether its checks are made right first, so
 * that what is behind them is reached. What it tells is told on: to a collector that has this or that of it.
 */
#include "fuzz.h"

#include <stddef.h>

#include "base/crc32c.h"
#include "event/wire.h"
#include "sensor/former.h"
#include "sensor/ledger.h"

enum { BATCHES_MAX = 8 };

static void forget(void *context, void *owner)
{
	(void)context;
	(void)owner;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return fuzz_without_messages(argc, argv);
}

/* A good page, of which the bytes change what is behind its head, and the cells by writing them as a sensor does. */
static void make_page(unsigned char *page, const uint8_t *bytes, size_t length)
{
	const struct ledger_life life = {
		.host = {.id = TEXT_LITERAL("node-1"), .epoch = {1}}, .started_ns = 1, .lanes = 1};
	struct ledger_batch batch;
	struct ledger *ledger;

	fuzz_expect(ledger_format(page, &life) == 0 && ledger_open(&ledger, page) == 0);
	for (; length >= sizeof(batch) + 1; bytes += sizeof(batch) + 1, length -= sizeof(batch) + 1) {
		uint64_t words[4];

		memcpy(words, bytes + 1, sizeof(words));
		batch = (struct ledger_batch){words[0], words[1], words[2], words[3], bytes[0] & 1};
		switch (bytes[0] % 4) {
		case 0: ledger_made(ledger, &batch); break;
		case 1:
			ledger_sent(ledger, &batch);
			ledger_acknowledged(ledger, words[0]);
			break;
		case 2: ledger_leave(page, words[0], words[1], words[2]); break;
		default: ledger_found(ledger, words[0]); break;
		}
	}
	ledger_close(ledger);
}

static void tell(struct former *former, uint64_t stored, const struct wire_books *books)
{
	uint64_t first, last, due = 0;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;

	former_greeted(former, stored, books);
	for (int i = 0; i < BATCHES_MAX && (up = former_next(former, &first, &last)); i++) {
		fuzz_expect(first > 0 && first <= last && (due == 0 || first == due));
		fuzz_expect(wire_read(&events, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why) == 0);
		fuzz_expect(events.first == first && events.last == last && events.count <= 1);
		fuzz_expect(
			events.count == 0 || events.events[0].lost.count <= events.books.seen - events.books.settled);
		due = last + 1;
		wire_free(&events);
		wire_bytes_free(up);
		former_acknowledge(former, i % 2 ? last : last - 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static _Alignas(8) unsigned char page[LEDGER_BYTES];
	const struct ledger_life own = {.host = {.epoch = {2}}, .started_ns = UINT64_MAX, .lanes = 2};
	const struct former_ops ops = {.done = forget, .left = forget};
	struct wire_books books;
	struct ledger_view view;
	struct formers *formers;
	uint64_t words[6] = {0};
	size_t size;

	if (length == 0)
		return 0;
	size = length - 1 < LEDGER_BYTES ? length - 1 : LEDGER_BYTES;
	memset(page, 0, LEDGER_BYTES);
	if (bytes[0] % 2)
		make_page(page, bytes + 1, length - 1);
	else
		memcpy(page, bytes + 1, size);
	if (!ledger_read(&view, page, bytes[0] & 2 ? LEDGER_BYTES : size)) {
		if (ledger_mend(page, &own))
			fuzz_expect(ledger_read(&view, page, LEDGER_BYTES) && view.life.lanes == own.lanes);
		return 0;
	}
	ledger_leave(page, 1, 2, 3);
	fuzz_expect(formers_open(&formers, &ops) == 0);
	memcpy(words, bytes + 1, length - 1 < sizeof(words) ? length - 1 : sizeof(words));
	fuzz_expect(formers_add(formers, &view, words[0], NULL) == 0);
	books = (struct wire_books){words[1], words[2], words[3], words[4], bytes[0] & 4};
	tell(formers_oldest(formers), words[5], bytes[0] & 8 ? &books : NULL);
	tell(formers_oldest(formers), view.made.last, NULL);
	tell(formers_oldest(formers), view.acknowledged.last, &books);
	formers_close(formers);
	return 0;
}
