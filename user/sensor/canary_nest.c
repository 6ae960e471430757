/* SPDX-License-Identifier: Apache-2.0 */
/* The canary's nest: in the process whose child it is. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sensor/canary_inside.h"

struct canary_nest {
	struct canary_flight *flight;
	struct canary_nest_ops ops;
	pid_t owner, child; /* child 0: none */
};

/* Two, in turns: a deed, and the one before it. The canary's and its children's alone. */
static struct canary_deed *own_deeds(void)
{
	void *memory =
		mmap(NULL, 2 * sizeof(struct canary_deed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void tell(struct canary_deed *told, const struct canary_deed *deed, enum deed_state state)
{
	const size_t from = offsetof(struct canary_deed, error);

	memcpy((char *)told + from, (const char *)deed + from, sizeof(*deed) - from);
	atomic_store(&told->state, state);
}

/*
 * To the flight the canary only writes: who watches it can write there too, and may be anybody's. No call is made with what
 * stands in it.
 */
static void do_all(struct canary_flight *flight, struct canary_place *place, struct canary_deed *own)
{
	for (size_t i = 0; canary_rows[i].promise; i++) {
		struct canary_deed *deed = &own[i % 2];
		int error;

		memset(deed, 0, sizeof(*deed));
		atomic_store(&flight->deeds[i].state, DEED_BEGUN);
		error = canary_rows[i].deed(place, deed, canary_rows[i].variant);
		deed->error = -error;
		deed->state = error ? DEED_REFUSED : DEED_DONE;
		tell(&flight->deeds[i], deed, error ? DEED_REFUSED : DEED_DONE);
		atomic_fetch_add(&flight->progress, 1);
		place->before = deed;
	}
}

/* The child. Nothing here takes a lock: where the parent has threads they may have held it. */
static void fly(struct canary_nest *nest, pid_t parent)
{
	struct canary_flight *flight = nest->flight;
	struct canary_place place;
	struct canary_deed *own = own_deeds();
	int error;

	signal(SIGTERM, SIG_DFL); /* the parent may have handlers, or ignore them */
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	error = own ? nest->ops.enter(nest->ops.context) : -ENOMEM;
	if (error) {
		atomic_store(&flight->error, -error);
		_exit(1);
	}
	canary_place_open(&place);
	do_all(flight, &place, own);
	_exit(0);
}

int canary_nest_open(struct canary_nest **out)
{
	struct canary_nest *nest = calloc(1, sizeof(*nest));
	void *memory;

	if (!nest)
		return -ENOMEM;
	memory = mmap(NULL, sizeof(*nest->flight), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(nest);
		return -ENOMEM;
	}
	nest->flight = memory;
	*out = nest;
	return 0;
}

struct canary_flight *canary_flight(struct canary_nest *nest)
{
	return nest->flight;
}

int canary_nest_start(struct canary_nest *nest, const struct canary_nest_ops *ops)
{
	pid_t parent = getpid();

	if (nest->child)
		return -EBUSY;
	nest->ops = *ops;
	nest->owner = parent;
	ops->expect(ops->context);
	nest->child = fork();
	if (nest->child == 0)
		fly(nest, parent);
	if (nest->child < 0) {
		int error = -errno;

		ops->leave(ops->context);
		nest->child = 0;
		return error;
	}
	return 0;
}

/* Its number is free for others once it is reaped: so the programs forget it before. */
static void reap(struct canary_nest *nest)
{
	nest->ops.leave(nest->ops.context);
	(void)waitpid(nest->child, NULL, 0);
	nest->child = 0;
	/* A child of its own that it could not wait for is ours to reap. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

bool canary_nest_landed(struct canary_nest *nest)
{
	siginfo_t info = {0};

	if (!nest->child)
		return true;
	if (waitid(P_PID, (id_t)nest->child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
		return false;
	reap(nest);
	return true;
}

void canary_nest_end(struct canary_nest *nest)
{
	if (nest->child)
		(void)kill(nest->child, SIGKILL);
}

void canary_nest_close(struct canary_nest *nest)
{
	if (!nest)
		return;
	if (nest->child && nest->owner == getpid()) {
		canary_nest_end(nest);
		reap(nest);
	}
	munmap(nest->flight, sizeof(*nest->flight));
	free(nest);
}
