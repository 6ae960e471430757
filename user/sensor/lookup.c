/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/lookup.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "sensor/bundle.h"
#include "sensor/names.h"

enum {
	DELAY_MIN_MS = 5,
	DELAY_MAX_MS = 160,
	ID_TEXT_SIZE = 2 * EVENT_CONTAINER_ID_SIZE + 1,
};

/* One id, of a container or a sandbox. */
struct subject {
	struct table_node node;
	TAILQ_ENTRY(subject) backlog;
	struct lookup *lookup;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	char text[ID_TEXT_SIZE];
	struct container_meta *meta;   /* the best so far, or NULL */
	struct container_meta *status; /* of a container: its own names, without the pod's, or NULL */
	uint8_t sandbox_id[EVENT_CONTAINER_ID_SIZE];
	bool is_sandbox, has_sandbox_id;
	bool asked, in_backlog, unpublished;
	bool stale;              /* a sandbox that is listed otherwise than its names say */
	struct runtime *runtime; /* that knows it, or NULL */
	uint32_t seen;           /* runtime->generation when it was listed last */
	uint64_t gone_ns;        /* when it was not listed any more, or 0 */
	unsigned calls;
	struct event *timer; /* the next attempt */
	unsigned delay_ms;
	uint64_t deadline_ns;
};

struct runtime {
	struct cri *cri;
	bool named, was_up, tried;
	unsigned lists; /* answers that are still to come */
	bool listed, list_failed;
	uint32_t generation;
};

struct lookup {
	struct event_base *base;
	struct lookup_ops ops;
	struct runtime runtimes[LOOKUP_RUNTIMES_MAX];
	size_t runtime_count;
	char *states[LOOKUP_STATES_MAX];
	size_t state_count;
	struct table subjects;
	TAILQ_HEAD(subjects, subject) backlog;
	size_t calls;
};

static void look_up(struct subject *subject);
static void settle(struct subject *subject);

/* --- subjects -------------------------------------------------------------------------------------------------------- */

static bool matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct subject, node)->id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

static struct subject *find(const struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
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
static struct subject *meet(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = find(lookup, id);

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

static void forget(struct subject *subject)
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

static bool is_complete(const struct subject *subject)
{
	return subject->meta && container_meta_standing(subject->meta) == CONTAINER_COMPLETE;
}

static void publish(struct subject *subject)
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
		publish(subject);
}

/* The sandbox that a container says it is in. */
static void take_sandbox_id(struct subject *subject, struct text sandbox_id)
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
	take_sandbox_id(subject, bundle.sandbox_id);
	names_bundle(&bundle, &view);
	memcpy(view.id, subject->id, sizeof(view.id));
	take_names(subject, &view, CONTAINER_PARTIAL);
	bundle_free(&bundle);
}

/* --- what runtimes tell ---------------------------------------------------------------------------------------------- */

static struct runtime *runtime_of(struct lookup *lookup, const struct cri *cri)
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
	struct subject *subject = event_container_id_parse(text_of(id), bytes) ? find(lookup, bytes) : NULL;

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
		subject->runtime = runtime_of(lookup, cri);
		subject->seen = subject->runtime ? subject->runtime->generation : 0;
		if (method == CRI_CONTAINER_STATUS)
			take_status(subject, answer->containers);
		else if (method == CRI_LIST_CONTAINERS)
			take_sandbox_id(subject, answer->containers->sandbox_id);
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

static void start_backlog(struct lookup *lookup)
{
	struct subject *subject;

	while (lookup->calls < LOOKUP_CALLS_MAX && (subject = TAILQ_FIRST(&lookup->backlog))) {
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
		subject->in_backlog = false;
		look_up(subject);
	}
}

/* Tried for a second from now on, at once, or when it is its turn. */
static void start(struct subject *subject, bool at_once)
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
		start_backlog(lookup);
	}
}

/* Something has become known: is it all now? And if not, what next? */
static void settle(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct subject *sandbox = NULL;
	struct event_container view;

	if (subject->has_sandbox_id && !subject->is_sandbox)
		sandbox = find(lookup, subject->sandbox_id);
	if (subject->status && sandbox && is_complete(sandbox)) {
		names_merge(container_meta_view(subject->status), container_meta_view(sandbox->meta), &view);
		take_names(subject, &view, CONTAINER_COMPLETE);
	} else if (subject->status && subject->has_sandbox_id && !sandbox &&
		   (sandbox = meet(lookup, subject->sandbox_id))) {
		sandbox->is_sandbox = true;
		start(sandbox, true);
	}
	if (subject->calls > 0 || evtimer_pending(subject->timer, NULL) || subject->in_backlog)
		return;
	if (is_complete(subject) && !subject->stale) {
		subject->asked = false;
		start_backlog(lookup);
		return;
	}

	uint64_t now_ns = clock_boottime_ns();

	if (now_ns < subject->deadline_ns) {
		const struct timeval delay = {0, subject->delay_ms * 1000L};

		event_add(subject->timer, &delay);
		subject->delay_ms = subject->delay_ms < DELAY_MAX_MS ? 2 * subject->delay_ms : DELAY_MAX_MS;
	}
	start_backlog(lookup);
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
	if (subject->asked && !is_complete(subject) && !is_hopeful(lookup))
		give_up(subject);
	else
		settle(subject);
}

void lookup_ask(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = meet(lookup, id);

	if (!subject)
		return;
	if (is_complete(subject)) {
		publish(subject);
		return;
	}
	subject->asked = true;
	/* Names that were given up once start anew. */
	if (subject->meta && container_meta_standing(subject->meta) == CONTAINER_PARTIAL) {
		publish(subject);
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
	start(subject, true);
}

void lookup_expect(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = meet(lookup, id);

	if (subject && !is_complete(subject))
		start(subject, true);
}

/* --- lists ----------------------------------------------------------------------------------------------------------- */

/* The subject of an id that a runtime lists; NULL if it is no id of ours. */
static struct subject *list_one(struct lookup *lookup, struct runtime *runtime, struct text text)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	struct subject *subject = event_container_id_parse(text, id) ? meet(lookup, id) : NULL;

	if (!subject)
		return NULL;
	subject->runtime = runtime;
	subject->seen = runtime->generation;
	subject->gone_ns = 0;
	return subject;
}

static void on_list(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	struct lookup *lookup = context;
	struct runtime *runtime = runtime_of(lookup, cri);
	struct table_node *node;

	(void)method;
	(void)id;
	lookup->calls--;
	runtime->lists--;
	if (error) {
		runtime->list_failed = true;
		if (error != -ECANCELED)
			log_limited("%s: the runtime did not list its containers: %s", cri_path(cri), strerror(-error));
	}
	for (size_t i = 0; !error && i < answer->sandbox_count; i++) {
		struct subject *subject = list_one(lookup, runtime, answer->sandboxes[i].id);

		if (!subject)
			continue;
		subject->is_sandbox = true;
		if (is_complete(subject))
			subject->stale = !names_agree(container_meta_view(subject->meta), &answer->sandboxes[i]);
		if (subject->stale || !is_complete(subject))
			start(subject, false);
	}
	for (size_t i = 0; !error && i < answer->container_count; i++) {
		struct subject *subject = list_one(lookup, runtime, answer->containers[i].id);

		if (!subject)
			continue;
		take_sandbox_id(subject, answer->containers[i].sandbox_id);
		if (!is_complete(subject))
			start(subject, false);
	}
	start_backlog(lookup);
	if (runtime->lists > 0 || runtime->list_failed)
		return;
	runtime->listed = true;
	table_for_each(&lookup->subjects, node) {
		struct subject *subject = table_entry(node, struct subject, node);

		if (subject->runtime == runtime && subject->seen != runtime->generation && !subject->gone_ns)
			subject->gone_ns = clock_boottime_ns();
	}
}

static void list(struct lookup *lookup, struct runtime *runtime)
{
	static const enum cri_method methods[] = {CRI_LIST_SANDBOXES, CRI_LIST_CONTAINERS};

	if (runtime->lists > 0 || cri_state(runtime->cri) != CRI_UP)
		return;
	runtime->generation++;
	runtime->list_failed = false;
	for (size_t i = 0; i < 2; i++)
		if (cri_call(runtime->cri, methods[i], "", on_list, lookup) == 0) {
			runtime->lists++;
			lookup->calls++;
		} else {
			runtime->list_failed = true;
		}
}

void lookup_list(struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->runtime_count; i++)
		list(lookup, &lookup->runtimes[i]);
}

void lookup_tick(struct lookup *lookup, uint64_t now_ns)
{
	uint64_t keep_ns = table_count(&lookup->subjects) > LOOKUP_SUBJECTS_MAX ? 0 : LOOKUP_KEEP_NS;
	struct table_node *node;

	table_for_each(&lookup->subjects, node) {
		struct subject *subject = table_entry(node, struct subject, node);
		bool idle = subject->calls == 0 && !subject->in_backlog && now_ns >= subject->deadline_ns;

		if (subject->unpublished)
			publish(subject);
		if (!idle || subject->unpublished)
			continue;
		if (subject->gone_ns ? now_ns - subject->gone_ns >= keep_ns : !subject->runtime)
			forget(subject);
	}
}

/* --- runtimes -------------------------------------------------------------------------------------------------------- */

int lookup_add_runtime(struct lookup *lookup, struct cri *cri, bool named)
{
	if (lookup->runtime_count == LOOKUP_RUNTIMES_MAX)
		return -ENOSPC;
	lookup->runtimes[lookup->runtime_count++] = (struct runtime){.cri = cri, .named = named};
	return 0;
}

void lookup_runtime_changed(struct lookup *lookup, struct cri *cri)
{
	const struct timeval now = {0, 0};
	struct runtime *runtime = runtime_of(lookup, cri);
	struct table_node *node;

	if (!runtime)
		return;
	runtime->tried = true;
	runtime->was_up |= cri_state(cri) == CRI_UP;
	list(lookup, runtime);
	table_for_each(&lookup->subjects, node) {
		struct subject *subject = table_entry(node, struct subject, node);

		/* From the loop, for looking up may add to this table. */
		if (subject->asked && !is_complete(subject) && subject->calls == 0)
			event_add(subject->timer, &now);
	}
}

bool lookup_add_state(struct lookup *lookup, const char *directory)
{
	for (size_t i = 0; i < lookup->state_count; i++)
		if (strcmp(lookup->states[i], directory) == 0)
			return false;
	if (lookup->state_count == LOOKUP_STATES_MAX || !(lookup->states[lookup->state_count] = strdup(directory)))
		return false;
	lookup->state_count++;
	return true;
}

bool lookup_settled(const struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->runtime_count; i++) {
		const struct runtime *runtime = &lookup->runtimes[i];

		if (!runtime->tried || (cri_state(runtime->cri) == CRI_UP && !runtime->listed && !runtime->list_failed))
			return false;
	}
	return lookup->calls == 0 && TAILQ_EMPTY(&lookup->backlog);
}

size_t lookup_count(const struct lookup *lookup)
{
	return table_count(&lookup->subjects);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int lookup_open(struct lookup **out, struct event_base *base, const struct lookup_ops *ops)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return -ENOMEM;
	lookup->base = base;
	lookup->ops = *ops;
	table_init(&lookup->subjects);
	TAILQ_INIT(&lookup->backlog);
	*out = lookup;
	return 0;
}

void lookup_close(struct lookup *lookup)
{
	struct table_node *node;

	if (!lookup)
		return;
	table_for_each(&lookup->subjects, node)
		forget(table_entry(node, struct subject, node));
	table_free(&lookup->subjects);
	for (size_t i = 0; i < lookup->state_count; i++)
		free(lookup->states[i]);
	free(lookup);
}
