/* SPDX-License-Identifier: Apache-2.0 */
/* One sensor takes the place of another: what either of them tells, and the wait between. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

enum { WAIT_MS = 20 }; /* how often it is looked whether the spool is free */

/* An update takes the other one's `drain`. Where it takes longer, it may be that nobody has asked that one to end. */
static const uint64_t first_word_ns = 10 * 1000000000ULL, next_word_ns = 60 * 1000000000ULL;

/* Each sensor's programs take the time of a deed for themselves: who tells it last tells so much more, for else neither might. */
static const uint64_t apart_ns = 50 * 1000;

/* Was this process asked to end? Its handlers are not there yet, and without them it would leave its pins. */
static bool asked_to_end(const sigset_t *signals)
{
	const struct timespec now = {0};

	return sigtimedwait(signals, NULL, &now) > 0;
}

/* `*word_ns`: when it is said next. */
static void say_that_it_waits(const char *path, uint64_t began_ns, uint64_t *word_ns)
{
	uint64_t now_ns = clock_boottime_ns();

	if (now_ns < *word_ns)
		return;
	*word_ns = now_ns + next_word_ns;
	log_warning("%s: another sensor has held its lock for %llu s since: still waiting for its end", path,
		(unsigned long long)((now_ns - began_ns) / 1000000000));
}

int pipeline_wait_for_spool(struct pipeline *pipeline, const struct spool_options *options, char *why, size_t why_size)
{
	uint64_t began_ns = clock_boottime_ns(), word_ns = began_ns + first_word_ns;
	uint64_t deadline_ns = began_ns + pipeline->settings->spool_wait_ms * 1000000;
	int waiting = relief_wait(options->path), error;
	sigset_t ends, before;

	if (waiting < 0) {
		snprintf(why, why_size, "%s: another sensor %s", options->path,
			waiting == -EBUSY ? "waits for it already" : "uses it, and cannot be waited for");
		return waiting;
	}
	log_info("%s: another sensor uses it: waiting for its end", options->path);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, &before);
	do {
		/* Ready to take its place: who changes the one for the other waits for that. */
		http_board_beat(pipeline->board.http);
		http_board_ready(pipeline->board.http, NULL);
		(void)poll(NULL, 0, WAIT_MS);
		error = spool_open(&pipeline->spool, options, why, why_size);
		say_that_it_waits(options->path, began_ns, &word_ns);
		if (error == -EBUSY && asked_to_end(&ends)) {
			snprintf(why, why_size, "%s: ended while another sensor used it", options->path);
			error = -EINTR;
		}
		if (error == -EBUSY && loader_has_ended(pipeline->loader)) {
			snprintf(why, why_size,
				"%s: nothing is seen any more that could be told after another sensor's end",
				options->path);
			error = -ENOTCONN;
		}
	} while (error == -EBUSY && clock_boottime_ns() < deadline_ns);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	http_board_ready(pipeline->board.http, "it takes the place of another sensor");
	pipeline->from_ns = relief_take(waiting, options->path);
	/* By this clock the table that the other one left just now is judged. */
	pipeline->now_ns = clock_boottime_ns();
	/* Nobody else tells what came after: should this life fail before it does, what it pinned is the next one's to declare. */
	pipeline->began = pipeline->from_ns != 0;
	if (!error && pipeline->from_ns == 0)
		log_warning("the other sensor did not say what it has told: some events may be told twice");
	return error;
}

void pipeline_relieve(struct pipeline *pipeline)
{
	/* The loader has to answer after that time: where it has ended, its programs saw nothing up to it. */
	if (pipeline->spool &&
		loader_counters(pipeline->loader, pipeline->counters, (size_t)pipeline->cpus * pipeline->lanes) == 0 &&
		relief_tell(pipeline->settings->spool, pipeline->now_ns))
		pipeline->until_ns = pipeline->now_ns + apart_ns;
}

/* In a recording it is the canary's, which is not told either. */
static void record_untold(struct pipeline *pipeline, const struct record *record)
{
	struct buffer *copy = &pipeline->unmarked;

	buffer_clear(copy);
	buffer_append(copy, record->header, record->header->size);
	if (copy->failed)
		return;
	((struct kernel_header *)(void *)copy->data)->flags |= KERNEL_CANARY;
	recording_record(pipeline->recording, pipeline->now_ns, (const void *)copy->data);
}

/* What no other sensor tells: a cgroup's name inside a container is told once to each, and is no event; a signal is to one of them. */
static bool is_own(const struct record *record)
{
	return record->header->kind == KERNEL_NESTED || record->header->kind == KERNEL_TAMPER;
}

bool pipeline_told_elsewhere(struct pipeline *pipeline, const struct record *record)
{
	uint64_t time_ns = record->header->time_ns;

	if (is_own(record) || (time_ns > pipeline->from_ns && (!pipeline->until_ns || time_ns <= pipeline->until_ns)))
		return false;
	record_untold(pipeline, record);
	if (record->header->kind == KERNEL_OPEN && record->open->repeat)
		(void)loader_take_repeats(pipeline->loader, record->open->repeat); /* frees the number */
	return true;
}
