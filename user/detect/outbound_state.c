/* SPDX-License-Identifier: Apache-2.0 */
/* The states, one for each container and program: who is there, who makes room, and which images they hold. */
#include "detect/outbound.h"

#include <errno.h>
#include <stdlib.h>

#include "detect/outbound_inside.h"

int outbound_open(struct outbound **outbound, const struct outbound_settings *settings, const struct outbound_ops *ops)
{
	struct outbound *made = calloc(1, sizeof(*made));

	*outbound = made;
	if (!made)
		return -ENOMEM;
	made->settings = settings;
	made->ops = *ops;
	table_init(&made->states);
	TAILQ_INIT(&made->active);
	TAILQ_INIT(&made->idle);
	TAILQ_INIT(&made->detectors);
	return 0;
}

/* --- states --------------------------------------------------------------------------------------------------------------- */

void outbound_close_peers(struct outbound_state *state)
{
	if (!state->p2p)
		return;
	TAILQ_REMOVE(&state->outbound->detectors, state, next_p2p);
	state->outbound->counters.detectors--;
	p2p_close(state->p2p);
	state->p2p = NULL;
}

/* `*held` becomes the image; NULL: nothing is held any more. */
static void hold_image(
	struct outbound_state *state, const struct event_process **held, const struct event_process *process)
{
	const struct outbound_ops *ops = &state->outbound->ops;

	if (*held == process)
		return;
	if (process && ops->hold)
		ops->hold(ops->context, process);
	if (*held && ops->release)
		ops->release(ops->context, *held);
	*held = process;
}

void outbound_hold(struct outbound_state *state, const struct event_process *process)
{
	hold_image(state, &state->process, process);
}

void outbound_vote(struct outbound_state *state, const struct event_process *process)
{
	if (state->opener == process) {
		state->opener_votes += state->opener_votes < UINT32_MAX;
	} else if (state->opener_votes == 0) {
		hold_image(state, &state->opener, process);
		state->opener_votes = 1;
	} else {
		state->opener_votes--;
	}
}

static void close_state(struct outbound_state *state)
{
	struct outbound *outbound = state->outbound;

	outbound_tell_held(state);
	outbound_close_peers(state);
	if (state->active) {
		TAILQ_REMOVE(&outbound->active, state, next);
		outbound_files_end(state);
	} else {
		TAILQ_REMOVE(&outbound->idle, state, next);
	}
	*(state->active ? &outbound->counters.active : &outbound->counters.idle) -= 1;
	table_remove(&outbound->states, &state->node);
	if (outbound->last == state)
		outbound->last = NULL;
	outbound_hold(state, NULL);
	hold_image(state, &state->opener, NULL);
	free(state->scan);
	beacon_close(state->beacon);
	free(state->tunnel);
	free(state->board);
	free(state);
}

void outbound_close(struct outbound *outbound)
{
	struct outbound_state *state;

	if (!outbound)
		return;
	while ((state = TAILQ_FIRST(&outbound->active)) || (state = TAILQ_FIRST(&outbound->idle)))
		close_state(state);
	table_free(&outbound->states);
	free(outbound);
}

static void forget(struct outbound_states *states, const uint8_t *container_id)
{
	struct outbound_state *state, *after;

	for (state = TAILQ_FIRST(states); state; state = after) {
		after = TAILQ_NEXT(state, next);
		if (state->inside && memcmp(state->container_id, container_id, EVENT_CONTAINER_ID_SIZE) == 0)
			close_state(state);
	}
}

void outbound_forget(struct outbound *outbound, const uint8_t container_id[EVENT_CONTAINER_ID_SIZE])
{
	forget(&outbound->active, container_id);
	forget(&outbound->idle, container_id);
}

static struct text program_of(const struct event_process *process)
{
	return process->executable.length > 0 ? process->executable : process->name;
}

static bool is_state(const struct table_node *node, const void *key)
{
	const struct outbound_state *state = table_entry(node, struct outbound_state, node);
	const struct outbound_who *who = key;

	return state->inside == (who->container_id != NULL) &&
	       (!state->inside || memcmp(state->container_id, who->container_id, EVENT_CONTAINER_ID_SIZE) == 0) &&
	       text_equal(state->executable, program_of(who->process));
}

uint64_t outbound_who_hash(const struct outbound_who *who)
{
	struct text program = program_of(who->process);
	uint64_t hash = hash_bytes(program.data, program.length);

	return who->container_id ? hash ^ hash_bytes(who->container_id, EVENT_CONTAINER_ID_SIZE) : hash;
}

static struct outbound_state *add_state(struct outbound *outbound, const struct outbound_who *who, uint64_t hash)
{
	struct text program = program_of(who->process);
	struct outbound_state *state = calloc(1, sizeof(*state) + program.length);

	if (outbound->counters.idle >= outbound->settings->values[OUTBOUND_SET_IDLE]) {
		close_state(TAILQ_FIRST(&outbound->idle));
		outbound->counters.idle_pushed_out++;
	}
	if (!state || table_insert(&outbound->states, &state->node, hash) < 0) {
		free(state);
		outbound->counters.without_memory++;
		return NULL;
	}
	state->outbound = outbound;
	if (program.length > 0)
		memcpy(state->text, program.data, program.length);
	state->executable = (struct text){state->text, program.length};
	state->inside = who->container_id != NULL;
	if (state->inside)
		memcpy(state->container_id, who->container_id, EVENT_CONTAINER_ID_SIZE);
	outbound_hold(state, who->process);
	TAILQ_INSERT_TAIL(&outbound->idle, state, next);
	outbound->counters.idle++;
	return state;
}

/* The state, which counts as used now; NULL: there is none and none is to be made, or no memory. */
struct outbound_state *outbound_state_of(struct outbound *outbound, const struct outbound_who *who, bool add)
{
	struct outbound_state *state = outbound->last;
	struct table_node *node;
	uint64_t hash;

	/* The same image as before is held, so that no other has its place in memory. */
	if (!state || state->process != who->process || state->inside != (who->container_id != NULL) ||
		(state->inside && memcmp(state->container_id, who->container_id, EVENT_CONTAINER_ID_SIZE) != 0)) {
		hash = outbound_who_hash(who);
		node = table_find(&outbound->states, hash, is_state, who);
		state = node  ? table_entry(node, struct outbound_state, node)
			: add ? add_state(outbound, who, hash)
			      : NULL;
	}
	if (!state)
		return NULL;
	if (state->active && TAILQ_NEXT(state, next)) {
		TAILQ_REMOVE(&outbound->active, state, next);
		TAILQ_INSERT_TAIL(&outbound->active, state, next);
	} else if (!state->active && TAILQ_NEXT(state, next)) {
		TAILQ_REMOVE(&outbound->idle, state, next);
		TAILQ_INSERT_TAIL(&outbound->idle, state, next);
	}
	if (state->p2p && TAILQ_NEXT(state, next_p2p)) {
		TAILQ_REMOVE(&outbound->detectors, state, next_p2p);
		TAILQ_INSERT_TAIL(&outbound->detectors, state, next_p2p);
	}
	outbound->last = state;
	return state;
}

void outbound_activate(struct outbound_state *state)
{
	struct outbound *outbound = state->outbound;

	if (state->active)
		return;
	if (outbound->counters.active >= outbound->settings->values[OUTBOUND_SET_ACTIVE]) {
		close_state(TAILQ_FIRST(&outbound->active));
		outbound->counters.active_pushed_out++;
	}
	TAILQ_REMOVE(&outbound->idle, state, next);
	TAILQ_INSERT_TAIL(&outbound->active, state, next);
	outbound->counters.idle--;
	outbound->counters.active++;
	state->active = true;
	outbound_files_begin(state);
}
