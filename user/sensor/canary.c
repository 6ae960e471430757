/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/canary.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sensor/canary_inside.h"

/* Shared with the child. */
struct flight {
	_Atomic unsigned int progress;
	_Atomic int error; /* of ops.enter */
	struct canary_deed deeds[CANARY_PROMISES_MAX];
};

struct canary {
	struct canary_ops ops;
	struct flight *flight;
	pid_t child; /* 0: reaped */
	unsigned int progress;
	uint64_t deadline_ns;
	bool killed;
};

const char canary_other[] = "of another deed";

static const uint64_t deadline_after_ns = CANARY_DEADLINE_MS * 1000000ull;

size_t canary_count(void)
{
	size_t count = 0;

	while (canary_rows[count].promise)
		count++;
	return count;
}

const char *canary_promise(size_t promise)
{
	return canary_rows[promise].promise;
}

const char *canary_served(size_t promise, enum canary_served which)
{
	return canary_rows[promise].served[which];
}

void deed_text(struct canary_deed *deed, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(deed->text, sizeof(deed->text), format, arguments);
	va_end(arguments);
	deed->text_length = length < 0 ? 0 : (size_t)length;
	if (deed->text_length >= sizeof(deed->text))
		deed->text_length = sizeof(deed->text) - 1;
}

/* The child. Other threads of the sensor may have held locks when it was forked: nothing here takes one. */
static void fly(struct canary *canary, pid_t sensor)
{
	struct flight *flight = canary->flight;
	struct canary_place place;
	int error;

	signal(SIGTERM, SIG_DFL); /* the sensor's handlers write to what it shares with its child */
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != sensor)
		_exit(1);
	error = canary->ops.enter(canary->ops.context);
	if (error) {
		atomic_store(&flight->error, -error);
		_exit(1);
	}
	canary_place_open(&place);
	for (size_t i = 0; canary_rows[i].promise; i++) {
		struct canary_deed *deed = &flight->deeds[i];

		atomic_store(&deed->state, DEED_BEGUN);
		error = canary_rows[i].deed(&place, deed, canary_rows[i].variant);
		deed->error = -error;
		atomic_store(&deed->state, error ? DEED_REFUSED : DEED_DONE);
		atomic_fetch_add(&flight->progress, 1);
		place.before = deed;
	}
	_exit(0);
}

int canary_start(struct canary **out, const struct canary_ops *ops)
{
	struct canary *canary = calloc(1, sizeof(*canary));
	pid_t sensor = getpid();
	void *memory;

	if (!canary)
		return -ENOMEM;
	memory = mmap(NULL, sizeof(*canary->flight), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(canary);
		return -ENOMEM;
	}
	canary->ops = *ops;
	canary->flight = memory;
	canary->deadline_ns = clock_boottime_ns() + deadline_after_ns;
	ops->expect(ops->context);
	canary->child = fork();
	if (canary->child == 0)
		fly(canary, sensor);
	if (canary->child < 0) {
		int error = -errno;

		ops->leave(ops->context);
		canary->child = 0;
		canary_close(canary);
		return error;
	}
	*out = canary;
	return 0;
}

/* Its number is free for others once it is reaped: so the programs forget it before. */
static void reap(struct canary *canary)
{
	canary->ops.leave(canary->ops.context);
	(void)waitpid(canary->child, NULL, 0);
	canary->child = 0;
	/* A child of its own that it could not wait for is ours to reap where this process is the first of its namespace. */
	while (canary->killed && waitpid(-1, NULL, WNOHANG) > 0)
		;
}

enum canary_state canary_poll(struct canary *canary, uint64_t now_ns)
{
	unsigned int progress = atomic_load(&canary->flight->progress);
	siginfo_t info = {0};

	if (!canary->child)
		return CANARY_LANDED;
	if (waitid(P_PID, (id_t)canary->child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0) {
		reap(canary);
		return CANARY_LANDED;
	}
	if (progress != canary->progress) {
		canary->progress = progress;
		canary->deadline_ns = now_ns + deadline_after_ns;
	} else if (now_ns > canary->deadline_ns && !canary->killed) {
		canary->killed = true;
		(void)kill(canary->child, SIGKILL);
	}
	return CANARY_FLIES;
}

enum canary_outcome canary_outcome(const struct canary *canary, size_t promise, int *error)
{
	const struct canary_deed *deed = &canary->flight->deeds[promise];

	*error = 0;
	switch (atomic_load(&deed->state)) {
	case DEED_DONE: return CANARY_DONE;
	case DEED_REFUSED: *error = deed->error; return CANARY_REFUSED;
	case DEED_BEGUN: return CANARY_HUNG;
	default: *error = atomic_load(&canary->flight->error); return CANARY_NOT_REACHED;
	}
}

const char *canary_differs(const struct canary *canary, size_t promise, const struct record *record)
{
	const struct canary_row *row = &canary_rows[promise];

	if (record->header->kind != row->kind)
		return canary_other;
	return row->differs(record, &canary->flight->deeds[promise]);
}

void canary_close(struct canary *canary)
{
	if (!canary)
		return;
	if (canary->child) {
		canary->killed = true;
		(void)kill(canary->child, SIGKILL);
		reap(canary);
	}
	munmap(canary->flight, sizeof(*canary->flight));
	free(canary);
}
