/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: cursors over the store that neither leave out nor repeat, whatever the reader does. */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/output.h"
#include "test_collector.h"

/* A store and a loop, without a server. */
struct place {
	struct event_base *base;
	struct store *store;
	struct output *output;
	char folder[64], spec[120];
	int broken;
};

static void on_broken(void *context)
{
	((struct place *)context)->broken++;
}

static void open_place(struct place *place)
{
	char why[300], data[100];

	snprintf(data, sizeof(data), "%s/data", place->folder);
	place->base = event_base_new();
	cr_assert_eq(store_open(&place->store, data, 0, why, sizeof(why)), 0, "%s", why);
}

static struct place make_place(void)
{
	struct place place = {.folder = "/tmp/taffrail-output-XXXXXX"};

	cr_assert_not_null(mkdtemp(place.folder));
	open_place(&place);
	return place;
}

static void open_output(struct place *place, const char *name)
{
	char why[300], data[100];
	struct output_options options = {.spec = place->spec, .data = data, .base = place->base};

	options.store = place->store;
	options.on_broken = on_broken;
	options.context = place;
	snprintf(data, sizeof(data), "%s/data", place->folder);
	snprintf(place->spec, sizeof(place->spec), "ecs-json:%s/%s", place->folder, name);
	cr_assert_eq(output_open(&place->output, &options, why, sizeof(why)), 0, "%s", why);
	event_base_loop(place->base, EVLOOP_NONBLOCK);
}

static void close_place(struct place *place)
{
	output_close(place->output);
	place->output = NULL;
	store_close(place->store);
	event_base_free(place->base);
}

static void remove_place(struct place *place)
{
	char command[120];

	close_place(place);
	snprintf(command, sizeof(command), "rm -r '%s'", place->folder);
	cr_assert_eq(system(command), 0);
}

/* Stores a batch, and hands it to the output as the collector does. */
static void store_batch(struct place *place, uint64_t first, uint64_t last, size_t size)
{
	struct buffer *up = make_batch(epoch, first, last, size);
	struct segment_frame frame = {
		.first = first, .last = last, .host = host_id, .batch = {up->data + 6, up->length - 6}};
	struct store_position end;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	memcpy(frame.epoch, epoch, sizeof(epoch));
	cr_assert_eq(store_append(place->store, &frame, &end), 0);
	store_sync_begin(place->store);
	cr_assert_eq(store_sync_end(place->store), 0);
	if (place->output) {
		cr_assert_eq(wire_read(&events, frame.batch.data, frame.batch.length, why), 0, "%s", why);
		output_add(place->output, &events, first, end);
		wire_free(&events);
		output_flush(place->output);
	}
	wire_bytes_free(up);
}

/* The file holds exactly the sequences from 1 to `last`, one a line, in order. */
static void assert_filed(const struct place *place, const char *name, unsigned long long last)
{
	static char line[1 << 20];
	unsigned long long due = 1, sequence;
	char path[120];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	for (; fgets(line, sizeof(line), file); due++) {
		const char *at = strstr(line, "\"sequence\":");

		cr_assert(at && sscanf(at, "\"sequence\":%llu", &sequence) == 1, "%s", line);
		cr_assert_eq(sequence, due);
		cr_assert_eq(line[strlen(line) - 1], '\n');
	}
	cr_assert_eq(due - 1, last);
	fclose(file);
}

Test(output, what_is_stored_is_filed)
{
	struct place place = make_place();

	open_output(&place, "out");
	store_batch(&place, 1, 5, 10);
	store_batch(&place, 6, 6, 10);
	assert_filed(&place, "out", 6);
	remove_place(&place);
}

Test(output, what_came_while_it_was_away_is_filed_at_the_next_start_and_once)
{
	struct place place = make_place();

	open_output(&place, "out");
	store_batch(&place, 1, 3, 10);
	output_close(place.output);
	place.output = NULL;
	store_batch(&place, 4, 400, 100);
	close_place(&place);
	open_place(&place);
	open_output(&place, "out");
	store_batch(&place, 401, 402, 10);
	output_finish(place.output, 5000, UINT64_MAX);
	assert_filed(&place, "out", 402);
	close_place(&place);
	open_place(&place);
	open_output(&place, "out");
	output_finish(place.output, 5000, UINT64_MAX);
	assert_filed(&place, "out", 402);
	remove_place(&place);
}

Test(output, new_one_begins_with_what_comes)
{
	struct place place = make_place();

	store_batch(&place, 101, 110, 10);
	open_output(&place, "out");
	output_finish(place.output, 1000, UINT64_MAX);
	assert_filed(&place, "out", 0);
	remove_place(&place);
}

/* Killed before it wrote anything: what was stored by then is filed all the same. */
Test(output, a_new_one_stands_where_it_began_from_the_first_moment)
{
	struct place place = make_place();

	open_output(&place, "out");
	output_close(place.output);
	place.output = NULL;
	store_batch(&place, 1, 3, 10);
	open_output(&place, "out");
	output_finish(place.output, 1000, UINT64_MAX);
	assert_filed(&place, "out", 3);
	remove_place(&place);
}

/* Far more than a pipe and the output's own memory hold: it goes on from the store, and the loop never waits. */
Test(output, slow_reader_gets_all_of_it_once)
{
	enum { BATCHES = 120, EACH = 10, SIZE = 10000 };
	struct place place = make_place();
	static char bytes[65536];
	size_t newlines = 0;
	char path[120];
	int fd;

	signal(SIGPIPE, SIG_IGN); /* as the program does */
	signal(SIGPIPE, SIG_IGN); /* as main does */
	snprintf(path, sizeof(path), "%s/fifo", place.folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	cr_assert_geq(fd, 0);
	open_output(&place, "fifo");
	for (uint64_t i = 0; i < BATCHES; i++)
		store_batch(&place, i * EACH + 1, i * EACH + EACH, SIZE);
	for (time_t end = time(NULL) + 20; newlines < BATCHES * EACH && time(NULL) < end;) {
		ssize_t length = read(fd, bytes, sizeof(bytes));

		event_base_loop(place.base, EVLOOP_NONBLOCK);
		for (ssize_t i = 0; i < length; i++)
			newlines += bytes[i] == '\n';
	}
	cr_assert_eq(newlines, BATCHES * EACH);
	output_finish(place.output, 1000, UINT64_MAX);
	cr_assert_lt(read(fd, bytes, sizeof(bytes)), 1, "no more");
	close(fd);
	cr_assert_eq(place.broken, 0);
	store_batch(&place, 5000, 5000, 10);
	cr_assert_eq(place.broken, 1, "its reader went away");
	remove_place(&place);
}

Test(output, line_that_a_crash_cut_is_not_glued_to_the_next)
{
	struct place place = make_place();
	char path[120], text[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/out", place.folder);
	file = fopen(path, "w");
	fputs("{\"cut\":", file);
	fclose(file);
	open_output(&place, "out");
	store_batch(&place, 1, 1, 10);
	file = fopen(path, "r");
	cr_assert_not_null(fgets(text, sizeof(text), file));
	cr_assert_str_eq(text, "{\"cut\":\n");
	cr_assert_eq(fgetc(file), '{');
	fclose(file);
	remove_place(&place);
}

static void copy(const struct place *place, const char *from, const char *to)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s/%s'; cp -r '%s/%s' '%s/%s'", place->folder, to, place->folder,
		from, place->folder, to);
	cr_assert_eq(system(command), 0);
}

static off_t file_size(const struct place *place, const char *name)
{
	struct stat found;
	char path[120];

	snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	cr_assert_eq(stat(path, &found), 0);
	return found.st_size;
}

/*
 * Killed when it had written this much of what it was to note: the file is cut at each byte behind what was noted last, and
 * the note is the old one. `noted`: events that stand before; 0: the very first are concerned.
 */
static void kill_at_each_byte(uint64_t noted)
{
	struct place place = make_place();
	off_t before, size;
	char path[120];

	snprintf(path, sizeof(path), "%s/out", place.folder);
	open_output(&place, "out");
	if (noted > 0)
		store_batch(&place, 1, noted, 10);
	before = file_size(&place, "out");
	copy(&place, "data/outputs", "noted");
	store_batch(&place, noted + 1, noted + 3, 10);
	size = file_size(&place, "out");
	close_place(&place);
	copy(&place, "out", "whole");
	copy(&place, "data/segments", "segments");
	for (off_t at = before; at <= size; at++) {
		copy(&place, "whole", "out");
		copy(&place, "noted", "data/outputs");
		cr_assert_eq(truncate(path, at), 0);
		open_place(&place);
		open_output(&place, "out");
		store_batch(&place, noted + 4, noted + 4, 10);
		output_finish(place.output, 5000, UINT64_MAX);
		assert_filed(&place, "out", noted + 4);
		close_place(&place);
		copy(&place, "segments", "data/segments"); /* without what this round stored */
	}
	open_place(&place);
	remove_place(&place);
}

Test(output, killed_before_it_noted_what_it_wrote)
{
	kill_at_each_byte(2);
}

Test(output, killed_before_it_noted_the_very_first)
{
	kill_at_each_byte(0);
}

/* Two collectors, one file: what the other one wrote meanwhile stays, and so does a line that it has not ended yet. */
Test(output, killed_while_another_one_writes_to_the_same_file)
{
	struct place place = make_place();
	char path[120], line[1000];
	int other, lines = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/out", place.folder);
	open_output(&place, "out");
	store_batch(&place, 1, 2, 10);
	copy(&place, "data/outputs", "noted");
	store_batch(&place, 3, 4, 10);
	close_place(&place);
	copy(&place, "noted", "data/outputs");
	other = open(path, O_WRONLY | O_APPEND);
	cr_assert_eq(flock(other, LOCK_SH), 0);
	cr_assert_eq(dprintf(other, "{\"of\":\"another\"}\n{\"not\":"), 24);
	open_place(&place);
	open_output(&place, "out");
	output_finish(place.output, 5000, UINT64_MAX);
	file = fopen(path, "r");
	while (fgets(line, sizeof(line), file)) {
		lines++;
		cr_assert(lines != 6 || strcmp(line, "{\"not\":\n") == 0, "%s", line);
	}
	cr_assert_eq(lines, 6);
	fclose(file);
	close(other);
	remove_place(&place);
}

Test(output, wrong_specs_are_named)
{
	static const char *const wrong[] = {"", "nonsense", "nonsense:/x", "ecs-json", "ecs-json:", "ecs-jso:x", ":x"};
	char why[300];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_lt(output_check(wrong[i], why, sizeof(why)), 0, "%s", wrong[i]);
		cr_assert(strstr(why, wrong[i]) && strstr(why, "ecs-json:"), "%s", why);
	}
	cr_assert_eq(output_check("ecs-json:-", why, sizeof(why)), 0);
	cr_assert_eq(output_check("ecs-json:a:b", why, sizeof(why)), 0);
}
