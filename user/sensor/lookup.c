/* SPDX-License-Identifier: Apache-2.0 */
/* One id's way to its names. */
#include "sensor/lookup_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/bundle.h"
#include "sensor/names.h"

enum {
	DELAY_MIN_MS = 5,
	DELAY_MAX_MS = 160,
};

static void look_up(struct subject *subject);
static void settle(struct subject *subject);

/* --- subjects -------------------------------------------------------------------------------------------------------- */

static bool matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct subject, node)->id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

struct subject *subject_find(const struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct table_node *node = table_find(&lookup->subjects, hash_bytes(id, EVENT_CONTAINER_ID_SIZE), matches, id);

	return node ? table_entry(node, struct subject, node) : NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	look_up(context);
}

/* The subject of that id, made if it is new; NULL without memory. */
struct subject *subject_meet(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = subject_find(lookup, id);

	if (subject)
		return subject;
	subject = calloc(1, sizeof(*subject));
	if (!subject)
		return NULL;
	subject->lookup = lookup;
	subject->delay_ms = DELAY_MIN_MS;
	subject->timer = evtimer_new(lookup->base, on_timer, subject);
	memcpy(subject->id, id, sizeof(subject->id));
	event_container_id_format(id, subject->text);
	if (!subject->timer ||
		table_insert(&lookup->subjects, &subject->node, hash_bytes(id, EVENT_CONTAINER_ID_SIZE)) < 0) {
		if (subject->timer)
			event_free(subject->timer);
		free(subject);
		return NULL;
	}
	return subject;
}

void subject_forget(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;

	if (subject->in_backlog)
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
	table_remove(&lookup->subjects, &subject->node);
	event_free(subject->timer);
	container_meta_release(subject->meta);
	container_meta_release(subject->status);
	free(subject);
}

bool subject_is_complete(const struct subject *subject)
{
	return subject->meta && container_meta_standing(subject->meta) == CONTAINER_COMPLETE;
}

void subject_publish(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;

	subject->unpublished = lookup->ops.publish(lookup->ops.context, container_meta_hold(subject->meta)) < 0;
	if (subject->unpublished)
		container_meta_release(subject->meta);
}

/* Takes names that are new, and publishes them if they say anything new. */
static void take_names(struct subject *subject, const struct event_container *view, enum container_standing standing)
{
	struct container_meta *meta = container_meta_make(view, standing);

	if (!meta)
		return;
	if (subject->meta && container_meta_equal(subject->meta, meta)) {
		container_meta_release(meta);
		return;
	}
	container_meta_release(subject->meta);
	subject->meta = meta;
	/* Half a truth only to who waits for it. */
	if (standing == CONTAINER_COMPLETE || subject->asked)
		subject_publish(subject);
}

/* The sandbox that a container says it is in. */
void subject_take_sandbox_id(struct subject *subject, struct text sandbox_id)
{
	if (!subject->has_sandbox_id)
		subject->has_sandbox_id = event_container_id_parse(sandbox_id, subject->sandbox_id);
}

/* --- what bundles tell ----------------------------------------------------------------------------------------------- */

static void read_bundle(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct event_container view;
	struct bundle bundle;
	size_t i = 0;

	while (i < lookup->state_count && bundle_read(lookup->states[i], subject->text, &bundle) < 0)
		i++;
	if (i == lookup->state_count)
		return;
	subject->is_sandbox = bundle.sandbox;
	subject_take_sandbox_id(subject, bundle.sandbox_id);
	names_bundle(&bundle, &view);
	memcpy(view.id, subject->id, sizeof(view.id));
	take_names(subject, &view, CONTAINER_PARTIAL);
	bundle_free(&bundle);
}

/* --- what runtimes tell ---------------------------------------------------------------------------------------------- */

struct runtime *lookup_runtime(struct lookup *lookup, const struct cri *cri)
{
	for (size_t i = 0; i < lookup->runtime_count; i++)
		if (lookup->runtimes[i].cri == cri)
			return &lookup->runtimes[i];
	return NULL;
}

static const struct event_container *view_of(const struct subject *subject)
{
	return subject->meta ? container_meta_view(subject->meta) : NULL;
}

static void take_status(struct subject *subject, const struct cri_container *container)
{
	struct event_container view;

	names_container(container, view_of(subject), &view);
	memcpy(view.id, subject->id, sizeof(view.id));
	container_meta_release(subject->status);
	subject->status = container_meta_make(&view, CONTAINER_PARTIAL);
}

static void take_sandbox(struct subject *subject, const struct cri_sandbox *sandbox)
{
	struct lookup *lookup = subject->lookup;
	struct event_container view;
	struct table_node *node;

	names_sandbox(sandbox, view_of(subject), &view);
	memcpy(view.id, subject->id, sizeof(view.id));
	subject->is_sandbox = true;
	subject->stale = false;
	take_names(subject, &view, CONTAINER_COMPLETE);
	/* No subject is made here: the sandbox they look for is this one. */
	table_for_each(&lookup->subjects, node) {
		struct subject *other = table_entry(node, struct subject, node);

		if (other != subject && other->has_sandbox_id &&
			memcmp(other->sandbox_id, subject->id, sizeof(subject->id)) == 0)
			settle(other);
	}
}

/* One answer for one id. */
static void on_answer(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	struct lookup *lookup = context;
	uint8_t bytes[EVENT_CONTAINER_ID_SIZE];
	struct subject *subject = event_container_id_parse(text_of(id), bytes) ? subject_find(lookup, bytes) : NULL;

	lookup->calls--;
	if (!subject)
		return;
	subject->calls--;
	if (error == -EBADMSG || error == -EIO)
		log_limited("%s: an answer about container %s cannot be used", cri_path(cri), id);

	bool found = !error && (answer->sandbox_count > 0 || answer->container_count > 0);

	/* An answer about another id is a lie, or a prefix of an id that was taken for a whole one. */
	if (found) {
		struct text told = answer->container_count ? answer->containers->id : answer->sandboxes->id;

		found = text_equal(told, text_of(subject->text));
	}
	if (found) {
		subject->runtime = lookup_runtime(lookup, cri);
		subject->seen = subject->runtime ? subject->runtime->generation : 0;
		if (method == CRI_CONTAINER_STATUS)
			take_status(subject, answer->containers);
		else if (method == CRI_LIST_CONTAINERS)
			subject_take_sandbox_id(subject, answer->containers->sandbox_id);
		else
			take_sandbox(subject, answer->sandboxes);
	}
	settle(subject);
}

static void call(struct subject *subject, struct cri *cri, enum cri_method method)
{
	struct lookup *lookup = subject->lookup;

	if (cri_call(cri, method, subject->text, on_answer, lookup) == 0) {
		subject->calls++;
		lookup->calls++;
	}
}

/* --- one id's way ---------------------------------------------------------------------------------------------------- */

/* May a runtime still tell something? */
static bool is_hopeful(const struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->runtime_count; i++)
		if (lookup->runtimes[i].was_up || cri_state(lookup->runtimes[i].cri) != CRI_ABSENT)
			return true;
	return false;
}

void subject_start_backlog(struct lookup *lookup)
{
	struct subject *subject;

	while (lookup->calls < LOOKUP_CALLS_MAX && (subject = TAILQ_FIRST(&lookup->backlog))) {
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
		subject->in_backlog = false;
		look_up(subject);
	}
}

/* Tried for a second from now on, at once, or when it is its turn. */
void subject_start(struct subject *subject, bool at_once)
{
	struct lookup *lookup = subject->lookup;

	subject->deadline_ns = clock_boottime_ns() + LOOKUP_WAIT_NS;
	subject->delay_ms = DELAY_MIN_MS;
	if (subject->calls > 0 || evtimer_pending(subject->timer, NULL))
		return;
	if (at_once) {
		look_up(subject);
	} else if (!subject->in_backlog) {
		TAILQ_INSERT_TAIL(&lookup->backlog, subject, backlog);
		subject->in_backlog = true;
		subject_start_backlog(lookup);
	}
}

/* Something has become known: is it all now? And if not, what next? */
static void settle(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct subject *sandbox = NULL;
	struct event_container view;

	if (subject->has_sandbox_id && !subject->is_sandbox)
		sandbox = subject_find(lookup, subject->sandbox_id);
	if (subject->status && sandbox && subject_is_complete(sandbox)) {
		names_merge(container_meta_view(subject->status), container_meta_view(sandbox->meta), &view);
		take_names(subject, &view, CONTAINER_COMPLETE);
	} else if (subject->status && subject->has_sandbox_id && !sandbox &&
		   (sandbox = subject_meet(lookup, subject->sandbox_id))) {
		sandbox->is_sandbox = true;
		subject_start(sandbox, true);
	}
	if (subject->calls > 0 || evtimer_pending(subject->timer, NULL) || subject->in_backlog)
		return;
	if (subject_is_complete(subject) && !subject->stale) {
		subject->asked = false;
		subject_start_backlog(lookup);
		return;
	}

	uint64_t now_ns = clock_boottime_ns();

	if (now_ns < subject->deadline_ns) {
		const struct timeval delay = {0, subject->delay_ms * 1000L};

		event_add(subject->timer, &delay);
		subject->delay_ms = subject->delay_ms < DELAY_MAX_MS ? 2 * subject->delay_ms : DELAY_MAX_MS;
	}
	subject_start_backlog(lookup);
}

/* No runtime is there that could tell more: whoever waits is told so. */
static void give_up(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct event_container view = {0};
	bool named = false;

	for (size_t i = 0; i < lookup->runtime_count; i++)
		named |= lookup->runtimes[i].named;
	if (subject->meta)
		view = *container_meta_view(subject->meta);
	memcpy(view.id, subject->id, sizeof(view.id));
	take_names(subject, &view, named ? CONTAINER_ABANDONED : CONTAINER_ALONE);
	subject->asked = false;
	subject->deadline_ns = 0;
}

/* One attempt at what is not known yet. */
static void look_up(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	bool know_kind;

	if (!subject->meta)
		read_bundle(subject);
	know_kind = subject->meta || subject->has_sandbox_id || subject->status || subject->is_sandbox;
	for (size_t i = 0; i < lookup->runtime_count; i++) {
		struct cri *cri = lookup->runtimes[i].cri;

		if (cri_state(cri) != CRI_UP || (subject->runtime && subject->runtime != &lookup->runtimes[i]))
			continue;
		if (!subject->is_sandbox && !subject->status)
			call(subject, cri, CRI_CONTAINER_STATUS);
		if (!subject->is_sandbox && !subject->has_sandbox_id)
			call(subject, cri, CRI_LIST_CONTAINERS);
		if (subject->is_sandbox || !know_kind)
			call(subject, cri, CRI_SANDBOX_STATUS);
	}
	if (subject->asked && !subject_is_complete(subject) && !is_hopeful(lookup))
		give_up(subject);
	else
		settle(subject);
}

void lookup_ask(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = subject_meet(lookup, id);

	if (!subject)
		return;
	if (subject_is_complete(subject)) {
		subject_publish(subject);
		return;
	}
	subject->asked = true;
	/* Names that were given up once start anew. */
	if (subject->meta && container_meta_standing(subject->meta) == CONTAINER_PARTIAL) {
		subject_publish(subject);
	} else {
		container_meta_release(subject->meta);
		subject->meta = NULL;
	}
	for (size_t i = 0; i < lookup->runtime_count; i++)
		(void)cri_hurry(lookup->runtimes[i].cri);
	if (subject->in_backlog) {
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
		subject->in_backlog = false;
	}
	subject_start(subject, true);
}

void lookup_expect(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = subject_meet(lookup, id);

	if (subject && !subject_is_complete(subject))
		subject_start(subject, true);
}
