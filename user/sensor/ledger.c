/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/ledger.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

enum {
	VERSION = 2,
	TEXTS = 4,
	MARKS = 1024, /* batches on their way; of more, every second one is known, or every fourth, … */
};

static const char magic[8] = {'T', 'A', 'F', 'F', 'L', 'E', 'D', '1'};

/* One of a pair. */
struct cell {
	uint64_t last, settled, declared, time_ns, closed;
	uint32_t crc; /* of the others */
	uint32_t unused;
	_Atomic uint64_t generation; /* 0: never written */
};

struct pair {
	struct cell cells[2];
};

/* A store's mark; one that is being written when the process is killed is none. */
struct mark {
	struct store_mark mark;
	uint32_t crc; /* of it */
	uint32_t unused;
};

/* In the machine's byte order: no other machine reads it, and no other boot of this one. */
struct page {
	char magic[8];
	uint32_t version, size;
	uint8_t epoch[EVENT_EPOCH_SIZE];
	char texts[TEXTS][LEDGER_TEXT_MAX + 1]; /* id, name, boot id, cluster */
	uint64_t started_ns;
	uint32_t lanes, repeats_at;
	uint32_t crc; /* of all before it */
	uint32_t unused;
	_Atomic uint64_t found, kinds, alive_ns, repeats;
	uint64_t spool_device, spool_inode;
	char spool_path[LEDGER_PATH_MAX + 1];
	struct pair made, acknowledged;
	struct mark stores[STORES_MAX];
};

_Static_assert(sizeof(struct page) <= LEDGER_BYTES, "it fits");
_Static_assert(sizeof(struct cell) == 56, "no holes");

struct ledger {
	uint64_t since_ns; /* the event thread's: time_ns of the batch that was made last */
	struct page *page;
	struct ledger_batch marks[MARKS]; /* on their way, in a circle */
	size_t first, count;
	size_t stride, newest; /* how many batches a mark stands for, and the newest so far */
};

/* --- cells ------------------------------------------------------------------------------------------------------------- */

static uint32_t cell_crc(const struct cell *cell, uint64_t generation)
{
	return crc32c(crc32c(0, cell, offsetof(struct cell, crc)), &generation, sizeof(generation));
}

static bool is_whole(const struct cell *cell)
{
	uint64_t generation = atomic_load(&cell->generation);

	return generation != 0 && cell->crc == cell_crc(cell, generation);
}

/* The one that counts. NULL: none. */
static const struct cell *newest(const struct pair *pair)
{
	const struct cell *a = &pair->cells[0], *b = &pair->cells[1];

	if (!is_whole(a) || !is_whole(b))
		return is_whole(a) ? a : is_whole(b) ? b : NULL;
	return atomic_load(&a->generation) > atomic_load(&b->generation) ? a : b;
}

static void write_pair(struct pair *pair, const struct ledger_batch *batch)
{
	uint64_t first = atomic_load(&pair->cells[0].generation), second = atomic_load(&pair->cells[1].generation);
	uint64_t generation = (first > second ? first : second) + 1;
	struct cell *cell = &pair->cells[first > second];

	cell->last = batch->last;
	cell->settled = batch->settled;
	cell->declared = batch->declared;
	cell->time_ns = batch->time_ns;
	cell->closed = batch->closed;
	cell->crc = cell_crc(cell, generation);
	atomic_store(&cell->generation, generation);
}

static struct ledger_batch read_pair(const struct pair *pair)
{
	const struct cell *cell = newest(pair);

	return cell ? (struct ledger_batch){cell->last, cell->settled, cell->declared, cell->time_ns, cell->closed != 0}
		    : (struct ledger_batch){0};
}

/* --- this life's ------------------------------------------------------------------------------------------------------- */

static uint32_t page_crc(const struct page *page)
{
	return crc32c(0, page, offsetof(struct page, crc));
}

/* All before its check. */
static int write_life(struct page *page, const struct ledger_life *life)
{
	const struct text texts[TEXTS] = {life->host.id, life->host.name, life->host.boot_id, life->host.cluster};

	memset(page, 0, offsetof(struct page, crc));
	for (int i = 0; i < TEXTS; i++) {
		if (texts[i].length > LEDGER_TEXT_MAX)
			return -EINVAL;
		if (texts[i].length > 0)
			memcpy(page->texts[i], texts[i].data, texts[i].length);
	}
	memcpy(page->magic, magic, sizeof(magic));
	page->version = VERSION;
	page->size = sizeof(*page);
	memcpy(page->epoch, life->host.epoch, EVENT_EPOCH_SIZE);
	page->started_ns = life->started_ns;
	page->lanes = life->lanes;
	page->repeats_at = life->repeats_at;
	page->crc = page_crc(page);
	return 0;
}

int ledger_format(void *page, const struct ledger_life *life)
{
	memset(page, 0, LEDGER_BYTES);
	return write_life(page, life);
}

int ledger_open(struct ledger **out, void *page)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	ledger->page = page;
	*out = ledger;
	return 0;
}

void ledger_spool(struct ledger *ledger, uint64_t device, uint64_t inode, const char *path)
{
	if (!ledger)
		return;
	strncpy(ledger->page->spool_path, path, LEDGER_PATH_MAX);
	ledger->page->spool_device = device;
	ledger->page->spool_inode = inode;
}

void ledger_made(struct ledger *ledger, const struct ledger_batch *batch)
{
	if (!ledger)
		return;
	ledger->since_ns = batch->time_ns;
	write_pair(&ledger->page->made, batch);
}

uint64_t ledger_since(const struct ledger *ledger)
{
	return ledger ? ledger->since_ns : 0;
}

void ledger_found(struct ledger *ledger, uint64_t found)
{
	if (ledger)
		atomic_store_explicit(&ledger->page->found, found, memory_order_relaxed);
}

void ledger_kinds(struct ledger *ledger, uint64_t kinds)
{
	if (ledger)
		atomic_store_explicit(&ledger->page->kinds, kinds, memory_order_relaxed);
}

void ledger_kind(struct ledger *ledger, enum event_action action)
{
	uint64_t kinds, bit = 1ull << action;

	if (!ledger)
		return;
	kinds = atomic_load_explicit(&ledger->page->kinds, memory_order_relaxed);
	if (!(kinds & bit))
		atomic_store_explicit(&ledger->page->kinds, kinds | bit, memory_order_relaxed);
}

void ledger_alive(struct ledger *ledger, uint64_t now_ns)
{
	if (ledger)
		atomic_store_explicit(&ledger->page->alive_ns, now_ns, memory_order_relaxed);
}

/* Every second mark goes. What is acknowledged between two is known by the one before. */
static void thin_out(struct ledger *ledger)
{
	for (size_t i = 0; i < MARKS / 2; i++)
		ledger->marks[(ledger->first + i) % MARKS] = ledger->marks[(ledger->first + 2 * i + 1) % MARKS];
	ledger->count = MARKS / 2;
	ledger->stride *= 2;
	ledger->newest = ledger->stride;
}

void ledger_sent(struct ledger *ledger, const struct ledger_batch *batch)
{
	if (!ledger)
		return;
	if (ledger->count == 0)
		ledger->stride = 1;
	if (ledger->count == MARKS && ledger->newest == ledger->stride)
		thin_out(ledger);
	/* The newest mark grows until it stands for as many batches as the others. */
	if (ledger->count == 0 || ledger->newest >= ledger->stride) {
		ledger->count++;
		ledger->newest = 0;
	}
	ledger->newest++;
	ledger->marks[(ledger->first + ledger->count - 1) % MARKS] = *batch;
}

void ledger_acknowledged(struct ledger *ledger, uint64_t sequence)
{
	const struct ledger_batch *last = NULL;

	if (!ledger)
		return;
	while (ledger->count > 0 && ledger->marks[ledger->first].last <= sequence) {
		last = &ledger->marks[ledger->first];
		ledger->first = (ledger->first + 1) % MARKS;
		ledger->count--;
	}
	if (last)
		write_pair(&ledger->page->acknowledged, last);
}

void ledger_stores(struct ledger *ledger, const struct stores *stores)
{
	for (size_t i = 0; ledger && i < STORES_MAX; i++) {
		struct mark *to = &ledger->page->stores[i];

		if (memcmp(&to->mark, &stores->marks[i], sizeof(to->mark)) == 0)
			continue;
		to->mark = stores->marks[i];
		to->crc = crc32c(0, &to->mark, sizeof(to->mark));
	}
}

void ledger_close(struct ledger *ledger)
{
	free(ledger);
}

/* --- a former one's ---------------------------------------------------------------------------------------------------- */

static bool is_page(const struct page *page, size_t size)
{
	if (size < sizeof(*page) || memcmp(page->magic, magic, sizeof(magic)) != 0 || page->version != VERSION ||
		page->size != sizeof(*page) || page->crc != page_crc(page))
		return false;
	for (int i = 0; i < TEXTS; i++)
		if (page->texts[i][LEDGER_TEXT_MAX] != '\0')
			return false;
	return page->lanes > 0 && page->lanes <= LEDGER_LANES_MAX;
}

bool ledger_read(struct ledger_view *view, const void *bytes, size_t size)
{
	const struct page *page = bytes;
	struct text *const texts[TEXTS] = {
		&view->life.host.id, &view->life.host.name, &view->life.host.boot_id, &view->life.host.cluster};

	*view = (struct ledger_view){0};
	if (!is_page(page, size))
		return false;
	for (int i = 0; i < TEXTS; i++)
		*texts[i] = (struct text){page->texts[i], strlen(page->texts[i])};
	memcpy(view->life.host.epoch, page->epoch, EVENT_EPOCH_SIZE);
	view->life.started_ns = page->started_ns;
	view->life.lanes = page->lanes;
	view->life.repeats_at = page->repeats_at;
	view->made = read_pair(&page->made);
	view->acknowledged = read_pair(&page->acknowledged);
	for (size_t i = 0; i < STORES_MAX; i++)
		if (page->stores[i].crc == crc32c(0, &page->stores[i].mark, sizeof(page->stores[i].mark)))
			stores_note(&view->stores, &page->stores[i].mark.id, page->stores[i].mark.sequence);
	view->found = atomic_load(&page->found);
	view->kinds = atomic_load(&page->kinds);
	view->alive_ns = atomic_load(&page->alive_ns);
	view->repeats = atomic_load(&page->repeats);
	view->spool_device = page->spool_device;
	view->spool_inode = page->spool_inode;
	view->spool_path = (struct text){page->spool_path, strnlen(page->spool_path, LEDGER_PATH_MAX)};
	return true;
}

bool ledger_mend(void *bytes, const struct ledger_life *life)
{
	struct page *page = bytes;
	struct ledger_life mended = *life;
	const struct text id = {page->texts[0], strnlen(page->texts[0], LEDGER_TEXT_MAX + 1)};

	/* Another version's is not damaged. */
	if ((page->version != VERSION && page->size != sizeof(*page)) || !text_equal(id, life->host.id))
		return false;
	if (page->started_ns < life->started_ns)
		mended.started_ns = page->started_ns;
	return write_life(page, &mended) == 0;
}

void ledger_leave(void *bytes, uint64_t repeats, uint64_t kinds, uint64_t newest_ns)
{
	struct page *page = bytes;

	if (!is_page(page, LEDGER_BYTES))
		return;
	atomic_store(&page->repeats, repeats);
	atomic_fetch_or(&page->kinds, kinds);
	if (newest_ns > atomic_load(&page->alive_ns))
		atomic_store(&page->alive_ns, newest_ns);
}
