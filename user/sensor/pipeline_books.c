/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor's books: what came, what became of it, and what the next life must know of that. */
#include "sensor/pipeline_inside.h"

static void tell_found(struct pipeline *pipeline)
{
	ledger_found(pipeline->ledger, pipeline->books.found + loss_late(pipeline->loss));
}

void pipeline_note_kind(struct pipeline *pipeline, enum kernel_kind kind)
{
	enum event_action action = record_action(kind);

	if (!action)
		return;
	pipeline->books.kinds |= 1ull << action;
	ledger_kind(pipeline->ledger, action);
}

void pipeline_arrived(struct pipeline *pipeline, const struct record *record)
{
	books_arrived(&pipeline->books, record->header->kind, 1);
}

void pipeline_counted(struct pipeline *pipeline, uint64_t opens)
{
	if (opens == 0)
		return;
	books_arrived(&pipeline->books, KERNEL_OPEN, opens);
	pipeline->books.found += opens;
	pipeline_note_kind(pipeline, KERNEL_OPEN);
	tell_found(pipeline);
}

void pipeline_settled(struct pipeline *pipeline, const struct record *record)
{
	books_settled(&pipeline->books, record->header->kind, books_weight(record));
}

void pipeline_found_missed(struct pipeline *pipeline, uint64_t count)
{
	pipeline->books.found += count;
	tell_found(pipeline);
}

/*
 * Unix time from which on something may not be told yet: bulk waits in its ring while the collector is behind, or while this
 * process was stopped; what is held waits for names, or for how it ended.
 */
static uint64_t untold_since(const struct pipeline *pipeline, uint64_t held)
{
	uint64_t read_ns = pipeline->bulk_ns < pipeline->now_ns ? pipeline->bulk_ns : pipeline->now_ns;
	uint64_t before_ns = PIPELINE_BULK_DISORDER_NS;

	if (held > 0)
		before_ns += CONTAINER_WAIT_NS > CONNECTION_WAIT_NS ? CONTAINER_WAIT_NS : CONNECTION_WAIT_NS;
	return pipeline->boot_unix_ns + (read_ns > before_ns ? read_ns - before_ns : 0);
}

void pipeline_sum(void *context, uint64_t last, struct wire_books *books)
{
	struct pipeline *pipeline = context;
	struct ledger_batch batch = {.last = last};
	uint64_t held = books_held_kinds(&pipeline->books);

	books_sum(&pipeline->books, loss_known(pipeline->loss), loss_undeclared(pipeline->loss), books);
	if (!pipeline->ledger)
		return;
	batch.settled = books->settled;
	batch.declared = wire_books_declared(books);
	batch.closed = books->closed;
	batch.time_ns = untold_since(pipeline, books->held);
	tell_found(pipeline);
	ledger_alive(pipeline->ledger, pipeline->boot_unix_ns + pipeline->now_ns);
	ledger_made(pipeline->ledger, &batch);
	/* What this batch tells may be lost with it; what those before it told may not, once they are acknowledged. */
	if (stream_idle(pipeline->stream))
		ledger_kinds(pipeline->ledger, pipeline->books.kinds | held);
	pipeline->books.kinds = held;
}

void pipeline_close_books(struct pipeline *pipeline)
{
	pipeline->books.closed = true;
	encode_close_epoch(pipeline->encoder, pipeline->sequence + 1, pipeline->deadline_ns);
}
