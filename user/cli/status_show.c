/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

enum { EPOCH_DIGITS = 2 * EVENT_EPOCH_SIZE, EPOCH_SHOWN = 8, NUMBER_SIZE = 24, HOST_WIDTH_MAX = 24 };

/* --- rows -------------------------------------------------------------------------------------------------------------- */

static void free_row(struct status_row *row)
{
	free(row->host);
	free(row->name);
	free(row->boot);
}

int status_rows_add(struct status_rows *rows, const struct event_host *host, const struct account *account,
	enum status_connected connected, const struct account_build *build)
{
	struct status_row *row;

	if (rows->count == rows->room) {
		size_t room = rows->room ? 2 * rows->room : 64;

		row = reallocarray(rows->rows, room, sizeof(*row));
		if (!row)
			return -ENOMEM;
		rows->rows = row;
		rows->room = room;
	}
	row = &rows->rows[rows->count];
	*row = (struct status_row){.data = rows->data, .connected = connected, .account = *account};
	if (build && connected == STATUS_CONNECTED)
		row->build = *build;
	memcpy(row->epoch, host->epoch, EVENT_EPOCH_SIZE);
	row->host = strndup(host->id.length ? host->id.data : "", host->id.length);
	row->name = strndup(host->name.length ? host->name.data : "", host->name.length);
	row->boot = strndup(host->boot_id.length ? host->boot_id.data : "", host->boot_id.length);
	if (!row->host || !row->name || !row->boot) {
		free_row(row);
		return -ENOMEM;
	}
	rows->count++;
	return 0;
}

static int by_host_and_time(const void *a, const void *b)
{
	const struct status_row *left = a, *right = b;
	int order = strcmp(left->host, right->host);

	if (order == 0 && left->first_ns != right->first_ns)
		order = left->first_ns < right->first_ns ? -1 : 1;
	order = order ? order : memcmp(left->epoch, right->epoch, EVENT_EPOCH_SIZE);
	return order ? order : strcmp(left->data, right->data);
}

static int by_host_and_epoch(const void *a, const void *b)
{
	const struct status_row *left = a, *right = b;
	int order = strcmp(left->host, right->host);

	order = order ? order : memcmp(left->epoch, right->epoch, EVENT_EPOCH_SIZE);
	/* A sum of some is no epoch that is called zeros, and another place's is of others. */
	if (order == 0 && (left->account.folded || right->account.folded))
		order = left->account.folded != right->account.folded
				? (left->account.folded > right->account.folded) * 2 - 1
				: strcmp(left->data, right->data);
	return order;
}

/* What one place knows of an epoch the others' rows of it know, too. */
static void join_rows(struct status_row *rows, size_t count)
{
	uint64_t first_ns = 0, last_ns = 0;
	bool is_spoken_for = false;

	for (size_t i = 0; i < count; i++) {
		const struct account *account = &rows[i].account;

		is_spoken_for |= account->books.closed || rows[i].connected == STATUS_CONNECTED;
		if (account->first_ns && (first_ns == 0 || account->first_ns < first_ns))
			first_ns = account->first_ns;
		if (account->last_ns > last_ns)
			last_ns = account->last_ns;
	}
	for (size_t i = 0; i < count; i++) {
		rows[i].is_spoken_for = is_spoken_for;
		rows[i].first_ns = first_ns;
		rows[i].last_ns = last_ns;
	}
}

/* `newest`: the youngest epoch of the same host. */
static bool is_loss_unknown(const struct status_row *row, const struct status_row *newest)
{
	bool booted = row->boot[0] && newest->boot[0] && strcmp(row->boot, newest->boot) != 0;

	return row->account.books.there && !row->is_spoken_for &&
	       newest->first_ns > (row->connected == STATUS_UNKNOWN && !booted ? row->last_ns : row->first_ns);
}

void status_rows_sort(struct status_rows *rows)
{
	const struct status_row *newest = NULL;
	size_t end;

	if (rows->count == 0)
		return;
	qsort(rows->rows, rows->count, sizeof(*rows->rows), by_host_and_epoch);
	for (size_t i = 0; i < rows->count; i = end) {
		for (end = i + 1; end < rows->count && by_host_and_epoch(&rows->rows[i], &rows->rows[end]) == 0;)
			end++;
		join_rows(&rows->rows[i], end - i);
	}
	qsort(rows->rows, rows->count, sizeof(*rows->rows), by_host_and_time);
	for (size_t i = rows->count; i-- > 0;) {
		struct status_row *row = &rows->rows[i];

		if (!newest || strcmp(row->host, newest->host) != 0)
			newest = row;
		row->loss_unknown = is_loss_unknown(row, newest);
	}
}

void status_rows_free(struct status_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free_row(&rows->rows[i]);
	free(rows->rows);
	*rows = (struct status_rows){0};
}

/* Whatever their sign: 0 if each epoch balances. */
static uint64_t sum_of_differences(const struct status_rows *rows)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < rows->count; i++) {
		int64_t difference = account_balance(&rows->rows[i].account).difference;

		sum += (uint64_t)(difference < 0 ? -difference : difference);
		if (sum > ACCOUNT_COUNT_MAX)
			sum = ACCOUNT_COUNT_MAX;
	}
	return sum;
}

/* How many epochs there are whose loss is not known. */
static size_t unknown_losses(const struct status_rows *rows)
{
	const struct status_row *before = NULL;
	size_t count = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct status_row *row = &rows->rows[i];

		if (row->loss_unknown)
			count += !before || by_host_and_epoch(before, row) != 0;
		before = row;
	}
	return count;
}

static bool has_host(const struct status_rows *rows, const char *host)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->rows[i].host, host) == 0)
			return true;
	return false;
}

const char *status_absent_host(const struct status_rows *rows, size_t *at)
{
	while (rows->hosts && *at < rows->hosts->count) {
		const char *host = rows->hosts->items[(*at)++];

		if (!has_host(rows, host))
			return host;
	}
	return NULL;
}

bool status_is_alarm(const struct status_rows *rows)
{
	size_t at = 0;

	return sum_of_differences(rows) > 0 || unknown_losses(rows) > 0 || rows->damages > 0 ||
	       status_absent_host(rows, &at);
}

/* --- JSON -------------------------------------------------------------------------------------------------------------- */

static void hex(char text[EPOCH_DIGITS + 1], const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	for (int i = 0; i < EVENT_EPOCH_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", epoch[i]);
}

static void put_null(struct json *json)
{
	json_raw(json, "null", 4);
}

static void put_time(struct json *json, uint64_t unix_ns)
{
	char text[CLOCK_TEXT_SIZE];

	if (unix_ns == 0) {
		put_null(json);
		return;
	}
	clock_format(text, unix_ns);
	json_plain(json, text, CLOCK_TEXT_SIZE - 1);
}

static void put_of_books(struct json *json, const struct account *account, int64_t value)
{
	if (account->books.there)
		json_signed(json, value);
	else
		put_null(json);
}

static void put_lost(struct json *json, const struct account *account, uint64_t elsewhere)
{
	json_key(json, "lost");
	json_object_begin(json);
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++) {
		if (account->lost[stage] == 0)
			continue;
		json_key_text(json, text_of(account_stage_name((enum account_stage)stage)));
		json_unsigned(json, account->lost[stage]);
	}
	if (elsewhere > 0)
		json_member_unsigned(json, "elsewhere", elsewhere);
	json_object_end(json);
}

static void put_events(struct json *json, const struct account *account, uint64_t missing)
{
	json_key(json, "events");
	json_object_begin(json);
	json_member_unsigned(json, "made", account->made);
	json_member_unsigned(json, "stored", account->events);
	json_member_unsigned(json, "taken_out", account->taken_out);
	json_member_unsigned(json, "elsewhere", account->elsewhere);
	json_member_unsigned(json, "missing", missing);
	json_object_end(json);
}

static void put_host(struct json *json, const struct status_row *row)
{
	json_key(json, "host");
	json_object_begin(json);
	json_member_string(json, "id", text_of(row->host));
	json_member_string(json, "name", text_of(row->name));
	json_object_end(json);
}

static void put_row(struct json *json, const struct status_row *row, bool is_several)
{
	const struct account *account = &row->account;
	struct account_balance balance = account_balance(account);
	char epoch[EPOCH_DIGITS + 1];

	hex(epoch, row->epoch);
	json_object_begin(json);
	put_host(json, row);
	if (is_several)
		json_member_string(json, "data", text_of(row->data));
	json_key(json, "epoch");
	if (account->folded)
		put_null(json);
	else
		json_plain(json, epoch, EPOCH_DIGITS);
	json_member_unsigned(json, "folded", account->folded);
	json_key(json, "first");
	put_time(json, account->first_ns);
	json_key(json, "last");
	put_time(json, account->last_ns);
	json_key(json, "connected");
	if (row->connected == STATUS_UNKNOWN)
		put_null(json);
	else
		json_boolean(json, row->connected == STATUS_CONNECTED);
	json_member_boolean(json, "closed", account->books.closed);
	json_member_boolean(json, "books", account->books.there);
	json_member_boolean(json, "loss_unknown", row->loss_unknown);
	json_key(json, "seen");
	put_of_books(json, account, (int64_t)account->books.seen);
	json_key(json, "delivered");
	put_of_books(json, account, balance.delivered);
	json_key(json, "waiting");
	put_of_books(json, account, balance.waiting);
	put_lost(json, account, balance.lost_elsewhere);
	json_member_signed(json, "difference", balance.difference);
	put_events(json, account, balance.missing);
	json_object_end(json);
}

/* The programs that speak now: of epochs that are connected. */
static void put_programs(struct json *json, const struct status_rows *rows)
{
	char hash[DIGEST_TEXT_SIZE], epoch[EPOCH_DIGITS + 1];

	json_key(json, "programs");
	json_array_begin(json);
	for (size_t i = 0; i < rows->count; i++) {
		const struct account_build *build = &rows->rows[i].build;

		if (rows->rows[i].connected != STATUS_CONNECTED)
			continue;
		hex(epoch, rows->rows[i].epoch);
		json_object_begin(json);
		put_host(json, &rows->rows[i]);
		json_key(json, "epoch");
		json_plain(json, epoch, EPOCH_DIGITS);
		json_member_string(json, "version", text_of(build->version));
		json_member_string(json, "commit", text_of(build->commit));
		json_member_string(json, "rules", text_of(digest_format(&build->rules, hash)));
		json_member_string(json, "configuration", text_of(digest_format(&build->configuration, hash)));
		json_object_end(json);
	}
	json_array_end(json);
}

void status_show_json(struct buffer *out, const struct status_rows *rows)
{
	struct json json = json_begin(out);
	const char *host;
	size_t at = 0;

	json_object_begin(&json);
	json_key(&json, "sensors");
	json_array_begin(&json);
	for (size_t i = 0; i < rows->count; i++)
		put_row(&json, &rows->rows[i], rows->is_several);
	json_array_end(&json);
	json_member_unsigned(&json, "difference", sum_of_differences(rows));
	json_key(&json, "damaged");
	if (rows->is_directory)
		json_boolean(&json, rows->damages > 0);
	else
		put_null(&json);
	json_member_boolean(&json, "loss_unknown", unknown_losses(rows) > 0);
	json_key(&json, "absent_hosts");
	json_array_begin(&json);
	while ((host = status_absent_host(rows, &at)))
		json_string(&json, text_of(host));
	json_array_end(&json);
	if (rows->is_several || !rows->is_directory)
		put_programs(&json, rows);
	json_object_end(&json);
	buffer_append(out, "\n", 1);
}

/* --- a table ------------------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void add(struct buffer *out, const char *format, ...)
{
	char line[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	buffer_append(out, line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

static const char *state_of(const struct status_row *row)
{
	if (row->account.books.closed)
		return "closed";
	if (row->loss_unknown)
		return "loss unknown";
	switch (row->connected) {
	case STATUS_CONNECTED: return "connected";
	case STATUS_AWAY: return "open, away";
	default: return "open";
	}
}

/* The host's name, or its id where it has none, harmless to terminals; a long one ends in "…". */
static void put_name(struct buffer *out, const struct status_row *row, int width)
{
	char name[SEGMENT_HOST_MAX + 1];
	size_t length, at = 0;
	int columns = 0;

	snprintf(name, sizeof(name), "%s", row->name[0] ? row->name : row->host);
	length = strlen(name);
	utf8_defuse(name, length);
	while (at < length && columns < width) {
		size_t step = utf8_length((const unsigned char *)name + at, length - at);

		at += step ? step : 1;
		columns++;
	}
	if (at < length) {
		while (at > 0 && ((unsigned char)name[--at] & 0xc0) == 0x80)
			;
		add(out, "%.*s…", (int)at, name);
	} else {
		add(out, "%s%*s", name, width - columns, "");
	}
}

static int name_width(const struct status_rows *rows)
{
	size_t width = 4;

	for (size_t i = 0; i < rows->count; i++) {
		size_t length = strlen(rows->rows[i].name[0] ? rows->rows[i].name : rows->rows[i].host);

		width = length > width ? length : width;
	}
	return width < HOST_WIDTH_MAX ? (int)width : HOST_WIDTH_MAX;
}

static const char *number(char room[NUMBER_SIZE], const struct account *account, int64_t value)
{
	if (account->books.there)
		snprintf(room, NUMBER_SIZE, "%" PRId64, value);
	else
		snprintf(room, NUMBER_SIZE, "-");
	return room;
}

/* What the line of numbers leaves open. */
static void put_remarks(
	struct buffer *out, const struct status_row *row, const struct account_balance *balance, int width)
{
	const struct account *account = &row->account;
	const struct account_build *build = &row->build;
	const char *before = "lost: ";
	char rules[DIGEST_TEXT_SIZE];

	if (build->version[0])
		add(out, "%*s  sensor %s, commit %s, rules %.19s\n", width, "", build->version,
			build->commit[0] ? build->commit : "unknown", digest_format(&build->rules, rules));
	for (int stage = 0; stage < ACCOUNT_STAGES; stage++) {
		if (account->lost[stage] == 0)
			continue;
		if (before[0] == 'l')
			add(out, "%*s  ", width, "");
		add(out, "%s%s %" PRIu64, before, account_stage_name((enum account_stage)stage), account->lost[stage]);
		before = ", ";
	}
	add(out, "%s", before[0] == 'l' ? "" : "\n");
	if (account->elsewhere > 0)
		add(out,
			"%*s  another collector has %" PRIu64
			" of its events, and what was declared lost there: %" PRIu64 "\n",
			width, "", account->elsewhere, balance->lost_elsewhere);
	if (balance->missing > 0)
		add(out, "%*s  %" PRIu64 " of its %" PRIu64 " events are missing\n", width, "", balance->missing,
			account->made);
	if (!account->books.there)
		add(out, "%*s  its sensor keeps no books: %" PRIu64 " events are stored\n", width, "", account->events);
	if (account->folded)
		add(out, "%*s  %" PRIu64 " epochs before those below, each closed and without a difference\n", width,
			"", account->folded);
	if (row->loss_unknown)
		add(out, "%*s  its last word is not here, and a later one has come: what it saw since is not known\n",
			width, "");
}

static void put_line(struct buffer *out, const struct status_row *row, bool is_several, int width, bool colour)
{
	const struct account *account = &row->account;
	struct account_balance balance = account_balance(account);
	char epoch[EPOCH_DIGITS + 1], seen[NUMBER_SIZE], delivered[NUMBER_SIZE], waiting[NUMBER_SIZE];
	bool red = colour && (balance.difference != 0 || row->loss_unknown);
	uint64_t lost = balance.lost_elsewhere;

	for (int stage = 0; stage < ACCOUNT_STAGES; stage++)
		lost += account->lost[stage];
	hex(epoch, row->epoch);
	if (account->folded)
		snprintf(epoch, sizeof(epoch), "earlier ");
	add(out, "%s", red ? "\033[31m" : "");
	put_name(out, row, width);
	add(out, "  %.*s  %-12s %11s %11s %8s %8" PRIu64 " %10" PRId64 "%s\n", EPOCH_SHOWN, epoch, state_of(row),
		number(seen, account, (int64_t)account->books.seen), number(delivered, account, balance.delivered),
		number(waiting, account, balance.waiting), lost, balance.difference, red ? "\033[0m" : "");
	if (is_several)
		add(out, "%*s  as %s has it\n", width, "", row->data);
	put_remarks(out, row, &balance, width);
}

/* What is wrong, or that nothing is. */
static void put_verdict(struct buffer *out, const struct status_rows *rows, bool elsewhere)
{
	uint64_t difference = sum_of_differences(rows);
	size_t unknown = unknown_losses(rows), absent = 0, at = 0;
	const char *before = "";

	if (rows->damages > 0) {
		add(out, "the store is damaged in %zu places, and what stood there is in no line", rows->damages);
		before = "; ";
	}
	if (difference) {
		add(out, "%sdifference %" PRIu64 ": neither stored nor declared lost, or told twice", before,
			difference);
		before = "; ";
	}
	if (unknown > 0) {
		add(out, "%swhat %zu of them lost is not known", before, unknown);
		before = "; ";
	}
	while (status_absent_host(rows, &at))
		absent++;
	if (absent > 0) {
		add(out, "%snothing is stored of %zu hosts that were asked for", before, absent);
		before = "; ";
	}
	if (!before[0])
		add(out, "what was seen is stored%s, waits, or is declared lost",
			elsewhere ? " here or, as sensors say, elsewhere" : "");
}

void status_show_table(struct buffer *out, const struct status_rows *rows, bool colour)
{
	bool alarm = colour && status_is_alarm(rows);
	int width = name_width(rows);
	bool elsewhere = false;
	size_t hosts = 0, epochs = 0;

	if (rows->count > 0)
		add(out, "%-*s  %-*s  %-12s %11s %11s %8s %8s %10s\n", width, "host", EPOCH_SHOWN, "epoch", "state",
			"seen", "delivered", "waiting", "lost", "difference");
	for (size_t i = 0; i < rows->count; i++) {
		elsewhere |= rows->rows[i].account.elsewhere > 0;
		hosts += i == 0 || strcmp(rows->rows[i - 1].host, rows->rows[i].host) != 0;
		if (i == 0 || by_host_and_epoch(&rows->rows[i - 1], &rows->rows[i]) != 0)
			epochs += rows->rows[i].account.folded ? rows->rows[i].account.folded : 1;
		put_line(out, &rows->rows[i], rows->is_several, width, colour);
	}
	add(out, "%s%zu epochs of %zu sensors: ", alarm ? "\033[31m" : "", epochs, hosts);
	put_verdict(out, rows, elsewhere);
	add(out, "%s\n", alarm ? "\033[0m" : "");
}
