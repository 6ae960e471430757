/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/account.h"

#include <errno.h>

#include "collector/field.h"

/* Field numbers of stream.proto and event.proto. */
enum { BATCH_HOST = 1, BATCH_RECORD = 5, BATCH_BOOKS = 7 };
enum { HOST_NAME = 2, HOST_BOOT_ID = 3, HOST_CLUSTER = 4 };
enum { BOOKS_SEEN = 1, BOOKS_SETTLED = 2, BOOKS_HELD = 3, BOOKS_UNDECLARED = 4, BOOKS_CLOSED = 5 };
enum { RECORD_EVENT = 3 };
enum { EVENT_SEQUENCE = 1, EVENT_TIME = 2, EVENT_LOST_DETAIL = 17 };
enum { LOST_COUNT = 1, LOST_STAGE = 3 };

static const struct text stage_names[ACCOUNT_STAGES] = {
	[ACCOUNT_RING_CRITICAL] = TEXT_STATIC("ring-critical"),
	[ACCOUNT_RING_BULK] = TEXT_STATIC("ring-bulk"),
	[ACCOUNT_KERNEL] = TEXT_STATIC("kernel"),
	[ACCOUNT_SENSOR] = TEXT_STATIC("sensor"),
	[ACCOUNT_SPOOL] = TEXT_STATIC("spool"),
	[ACCOUNT_STREAM] = TEXT_STATIC("stream"),
	[ACCOUNT_STORE] = TEXT_STATIC("store"),
	[ACCOUNT_OTHER] = TEXT_STATIC("other"),
};

const char *account_stage_name(enum account_stage stage)
{
	return stage_names[stage].data;
}

enum account_stage account_stage_find(struct text name)
{
	for (int stage = 0; stage < ACCOUNT_OTHER; stage++)
		if (text_equal(name, stage_names[stage]))
			return (enum account_stage)stage;
	return ACCOUNT_OTHER;
}

static uint64_t bounded(uint64_t count)
{
	return count < ACCOUNT_COUNT_MAX ? count : ACCOUNT_COUNT_MAX;
}

/* --- a batch, read as far as its account goes -------------------------------------------------------------------------- */

/* Of one that stands twice the later part counts, as for every reader of protobuf. */
static int take_text(const struct field *field, struct text *text)
{
	if (field->type != FIELD_BYTES)
		return -EBADMSG;
	if (field->bytes.length > 0)
		*text = field->bytes;
	return 0;
}

static int read_host(struct text message, struct account_host *host)
{
	struct field field;
	int error = 0;

	while (message.length > 0 && !error) {
		error = field_take(&message, &field);
		if (error)
			return error;
		switch (field.number) {
		case HOST_NAME: error = take_text(&field, &host->name); break;
		case HOST_BOOT_ID: error = take_text(&field, &host->boot_id); break;
		case HOST_CLUSTER: error = take_text(&field, &host->cluster); break;
		default: break;
		}
	}
	return error;
}

static int read_books(struct text message, struct account_books *books)
{
	uint64_t numbers[BOOKS_CLOSED + 1] = {0};
	struct field field;

	while (message.length > 0) {
		if (field_take(&message, &field) < 0)
			return -EBADMSG;
		if (field.number > BOOKS_CLOSED)
			continue;
		if (field.type != FIELD_VARINT)
			return -EBADMSG;
		numbers[field.number] = field.value;
	}
	*books = (struct account_books){
		.there = true,
		.closed = numbers[BOOKS_CLOSED] != 0 || books->closed,
		.seen = numbers[BOOKS_SEEN] ? bounded(numbers[BOOKS_SEEN]) : books->seen,
		.settled = numbers[BOOKS_SETTLED] ? bounded(numbers[BOOKS_SETTLED]) : books->settled,
		.held = numbers[BOOKS_HELD] ? bounded(numbers[BOOKS_HELD]) : books->held,
		.undeclared = numbers[BOOKS_UNDECLARED] ? bounded(numbers[BOOKS_UNDECLARED]) : books->undeclared,
	};
	return 0;
}

/* As a string is taken by those who build messages. */
static struct text up_to_nul(struct text text)
{
	return text_head(text, text.length > 0 ? strnlen(text.data, text.length) : 0);
}

static int read_lost(struct text message, uint64_t *count, enum account_stage *stage)
{
	struct field field;

	*count = 0;
	*stage = ACCOUNT_OTHER;
	while (message.length > 0) {
		if (field_take(&message, &field) < 0)
			return -EBADMSG;
		if (field.number == LOST_COUNT && field.type == FIELD_VARINT)
			*count = field.value;
		else if (field.number == LOST_STAGE && field.type == FIELD_BYTES)
			*stage = account_stage_find(up_to_nul(field.bytes));
		else if (field.number == LOST_COUNT || field.number == LOST_STAGE)
			return -EBADMSG;
	}
	return 0;
}

static int read_event(struct text message, struct account_reading *reading)
{
	uint64_t sequence = 0, time_ns = 0, count = 0;
	enum account_stage stage = ACCOUNT_OTHER;
	struct field field;

	while (message.length > 0) {
		if (field_take(&message, &field) < 0)
			return -EBADMSG;
		if (field.number == EVENT_SEQUENCE)
			sequence = field.value;
		else if (field.number == EVENT_TIME)
			time_ns = field.value;
		else if (field.number == EVENT_LOST_DETAIL &&
			 (field.type != FIELD_BYTES || read_lost(field.bytes, &count, &stage) < 0))
			return -EBADMSG;
	}
	reading->all++;
	if (sequence < reading->lowest)
		reading->lowest = sequence;
	if (sequence < reading->from)
		return 0;
	reading->events++;
	if (time_ns && (reading->first_ns == 0 || time_ns < reading->first_ns))
		reading->first_ns = time_ns;
	if (time_ns > reading->last_ns)
		reading->last_ns = time_ns;
	reading->lost[stage] = bounded(reading->lost[stage] + bounded(count));
	return 0;
}

static int read_record(struct text message, struct account_reading *reading)
{
	struct text event = {0};
	struct field field;

	while (message.length > 0) {
		if (field_take(&message, &field) < 0)
			return -EBADMSG;
		if (field.number > RECORD_EVENT)
			continue;
		if (field.type != FIELD_BYTES)
			return -EBADMSG;
		/* Of a oneof the last counts. */
		event = field.number == RECORD_EVENT ? field.bytes : (struct text){0};
	}
	return event.data ? read_event(event, reading) : 0;
}

static int read_from(struct text message, uint64_t from, struct account_reading *reading)
{
	struct field field;
	int error = 0;

	*reading = (struct account_reading){.from = from, .lowest = UINT64_MAX};
	while (message.length > 0 && !error) {
		error = field_take(&message, &field);
		if (error)
			return error;
		if (field.number != BATCH_HOST && field.number != BATCH_RECORD && field.number != BATCH_BOOKS)
			continue;
		if (field.type != FIELD_BYTES)
			return -EBADMSG;
		switch (field.number) {
		case BATCH_HOST: error = read_host(field.bytes, &reading->host); break;
		case BATCH_RECORD: error = read_record(field.bytes, reading); break;
		default: error = read_books(field.bytes, &reading->books); break;
		}
	}
	return error;
}

int account_read(struct text batch, struct account_reading *reading)
{
	return read_from(batch, 0, reading);
}

/* --- accounts ---------------------------------------------------------------------------------------------------------- */

/* What counts numbers, in an account whose books count records. */
static int64_t lost_numbers(const struct account *account)
{
	return (int64_t)account->lost[ACCOUNT_SPOOL] + (int64_t)account->lost[ACCOUNT_STREAM] +
	       (int64_t)account->lost[ACCOUNT_STORE];
}

static int64_t lost_records(const struct account *account)
{
	int64_t lost = 0;

	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		lost += (int64_t)account->lost[stage];
	return lost - lost_numbers(account);
}

/* Records that the books count as declared lost, and that no record here tells. */
static int64_t untold(const struct account *account)
{
	const struct account_books *books = &account->books;

	return (int64_t)books->seen - (int64_t)books->settled - (int64_t)books->held - (int64_t)books->undeclared -
	       lost_records(account);
}

static void note_elsewhere(struct account *account, uint64_t span)
{
	account->elsewhere += span;
	if (!account->behind_elsewhere)
		account->untold_before = untold(account);
	account->behind_elsewhere = true;
}

/* The losses that came before them are in the account. */
static void take_books(struct account *account, const struct account_books *books)
{
	int64_t more;

	account->books = *books;
	if (!account->behind_elsewhere)
		return;
	more = untold(account) - account->untold_before;
	if (more > 0)
		account->lost_elsewhere = bounded(account->lost_elsewhere + bounded((uint64_t)more));
	account->untold_before = 0;
	account->behind_elsewhere = false;
}

/* What counts of a frame from `from` on. */
static int read_frame(const struct segment_frame *frame, uint64_t from, struct account_reading *reading)
{
	if (!frame->reading || frame->reading->lowest < from)
		return read_from(frame->batch, from, reading);
	*reading = *frame->reading;
	return 0;
}

int account_add(struct account *account, const struct segment_frame *frame, struct account_host *host)
{
	uint64_t from = frame->first > account->made ? frame->first : account->made + 1;
	uint64_t span = frame->last >= from ? frame->last - from + 1 : 0;
	bool is_new = span > 0 || (frame->last == frame->first - 1 && frame->first > account->made);
	struct account_reading reading;
	int error = read_frame(frame, from, &reading);

	*host = (struct account_host){0};
	if (span > 0)
		account->made = frame->last;
	if (!error && reading.events > span)
		error = -EBADMSG;
	if (error)
		return error;
	*host = reading.host;
	if (!is_new)
		return 0;
	account->events += reading.events;
	if (reading.all == 0 && !reading.books.there)
		note_elsewhere(account, span);
	else
		account->taken_out += span - reading.events;
	if (reading.first_ns && (account->first_ns == 0 || reading.first_ns < account->first_ns))
		account->first_ns = reading.first_ns;
	if (reading.last_ns > account->last_ns)
		account->last_ns = reading.last_ns;
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		account->lost[stage] = bounded(account->lost[stage] + reading.lost[stage]);
	if (reading.books.there)
		take_books(account, &reading.books);
	return 0;
}

bool account_is_empty(const struct account *account)
{
	return account->made == 0 && !account->books.there;
}

bool account_books_equal(const struct account_books *a, const struct account_books *b)
{
	return a->there == b->there && a->closed == b->closed && a->seen == b->seen && a->settled == b->settled &&
	       a->held == b->held && a->undeclared == b->undeclared;
}

/* All are below 2^58, and few: no sum of them leaves 63 bits. */
struct account_balance account_balance(const struct account *account)
{
	struct account_balance balance = {
		.missing = account->made - account->events - account->taken_out - account->elsewhere};
	const struct account_books *books = &account->books;
	int64_t missing = (int64_t)bounded(balance.missing);

	if (!books->there) {
		balance.difference = missing;
		return balance;
	}
	balance.waiting = (int64_t)books->held + (int64_t)books->undeclared;
	balance.delivered = (int64_t)books->settled - lost_numbers(account) - missing;
	balance.lost_elsewhere = account->lost_elsewhere;
	balance.difference = untold(account) - (int64_t)account->lost_elsewhere + missing;
	return balance;
}

static void add_up(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

static void add_up_signed(int64_t *sum, int64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = more < 0 ? INT64_MIN : INT64_MAX;
}

void account_totals_add(struct account_totals *totals, const struct account *account)
{
	struct account_balance balance = account_balance(account);

	add_up(&totals->seen, account->books.seen);
	add_up_signed(&totals->delivered, balance.delivered);
	add_up(&totals->waiting, balance.waiting > 0 ? (uint64_t)balance.waiting : 0);
	totals->unbalanced += balance.difference != 0;
	add_up(&totals->difference, (uint64_t)(balance.difference < 0 ? -balance.difference : balance.difference));
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		add_up(&totals->lost[stage], account->lost[stage]);
}

static bool has_room(const struct account *sum, const struct account *account)
{
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		if (sum->lost[stage] + account->lost[stage] > ACCOUNT_COUNT_MAX)
			return false;
	return account->made < ACCOUNT_COUNT_MAX && sum->made + account->made <= ACCOUNT_COUNT_MAX &&
	       sum->books.seen + account->books.seen <= ACCOUNT_COUNT_MAX &&
	       sum->books.settled + account->books.settled <= ACCOUNT_COUNT_MAX &&
	       sum->lost_elsewhere + account->lost_elsewhere <= ACCOUNT_COUNT_MAX;
}

bool account_fold(struct account *sum, const struct account *account)
{
	const struct account_balance balance = account_balance(account);

	if (!account->books.there || !account->books.closed || account->books.held || account->books.undeclared ||
		balance.difference != 0 || account->folded || !has_room(sum, account))
		return false;
	sum->folded++;
	sum->made += account->made;
	sum->events += account->events;
	sum->taken_out += account->taken_out;
	sum->elsewhere += account->elsewhere;
	sum->lost_elsewhere += account->lost_elsewhere;
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		sum->lost[stage] += account->lost[stage];
	if (account->first_ns && (sum->first_ns == 0 || account->first_ns < sum->first_ns))
		sum->first_ns = account->first_ns;
	if (account->last_ns > sum->last_ns)
		sum->last_ns = account->last_ns;
	sum->books.there = sum->books.closed = true;
	sum->books.seen += account->books.seen;
	sum->books.settled += account->books.settled;
	return true;
}
