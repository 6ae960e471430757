/* SPDX-License-Identifier: Apache-2.0 */
/* One id's way to its names. */
#include "sensor/lookup_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/names.h"

enum {
	DELAY_MIN_MS = 5,
	DELAY_MAX_MS = 160,
};

static void look_up(struct subject *subject);

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

bool subject_put(struct subject *subject, struct container_meta **place, struct container_meta *meta)
{
	struct lookup *lookup = subject->lookup;
	size_t others = lookup->names_bytes - container_meta_bytes(*place);

	if (meta && (others > lookup->options.names_bytes ||
			    container_meta_bytes(meta) > lookup->options.names_bytes - others)) {
		log_limited(
			"more than %zu MiB of names: some containers stay without", lookup->options.names_bytes >> 20);
		container_meta_release(meta);
		return false;
	}
	lookup->names_bytes = others + container_meta_bytes(meta);
	container_meta_release(*place);
	*place = meta;
	return true;
}

static void stop_waiting(struct subject *subject)
{
	if (subject->is_waiting)
		TAILQ_REMOVE(&subject->lookup->waiting, subject, waiting);
	subject->is_waiting = false;
}

void subject_forget(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;

	stop_waiting(subject);
	if (subject->in_backlog)
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
	table_remove(&lookup->subjects, &subject->node);
	event_free(subject->timer);
	if (subject->exit_timer)
		event_free(subject->exit_timer);
	(void)subject_put(subject, &subject->meta, NULL);
	(void)subject_put(subject, &subject->status, NULL);
	free(subject->files);
	buffer_free(&subject->users);
	buffer_free(&subject->groups);
	free(subject);
}

static void take_users(const struct subject *subject, struct event_container *view)
{
	view->users = (struct text){subject->users.data, subject->users.length};
	view->groups = (struct text){subject->groups.data, subject->groups.length};
}

bool subject_is_complete(const struct subject *subject)
{
	return subject->meta && container_meta_standing(subject->meta) == CONTAINER_COMPLETE;
}

/* The same names with those of its users, which have just become known. */
static void add_users(struct subject *subject)
{
	struct event_container view = *container_meta_view(subject->meta);
	struct container_meta *meta;

	take_users(subject, &view);
	meta = container_meta_make(&view, container_meta_standing(subject->meta));
	if (meta)
		(void)subject_put(subject, &subject->meta, meta);
}

void subject_publish(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;

	if (subject_read_users(subject))
		add_users(subject);
	subject->unpublished = lookup->ops.publish(lookup->ops.context, container_meta_hold(subject->meta)) < 0;
	if (subject->unpublished)
		container_meta_release(subject->meta);
}

/* Before it runs its bundle or its files may not be there yet, with the names of its users: its first event asks again. */
static bool may_have_users(const struct subject *subject)
{
	return !subject->met && (subject->files || subject->created) && subject->users.length == 0;
}

void subject_take_names(struct subject *subject, const struct event_container *view, enum container_standing standing)
{
	struct event_container whole = *view;
	struct container_meta *meta;

	(void)subject_read_users(subject);
	take_users(subject, &whole);
	meta = container_meta_make(&whole, standing);
	if (!meta)
		return;
	if (subject->meta && container_meta_equal(subject->meta, meta)) {
		container_meta_release(meta);
		return;
	}
	if (!subject_put(subject, &subject->meta, meta))
		return;
	/* Half a truth only to who waits for it. */
	if (subject->asked || (standing == CONTAINER_COMPLETE && !may_have_users(subject)))
		subject_publish(subject);
}

void subject_take_sandbox_id(struct subject *subject, struct text sandbox_id)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	if (!event_container_id_parse(sandbox_id, id))
		return;
	memcpy(subject->sandbox_id, id, sizeof(id));
	subject->has_sandbox_id = true;
}

/* --- what runtimes tell ---------------------------------------------------------------------------------------------- */

struct runtime *lookup_runtime(struct lookup *lookup, const struct cri *cri)
{
	for (size_t i = 0; i < lookup->runtime_count; i++)
		if (lookup->runtimes[i].cri == cri)
			return &lookup->runtimes[i];
	return NULL;
}

const struct event_container *subject_view(const struct subject *subject)
{
	return subject->meta ? container_meta_view(subject->meta) : NULL;
}

void subject_take_status(struct subject *subject, const struct cri *cri, const struct cri_container *container)
{
	const struct event_container *before =
		subject->status ? container_meta_view(subject->status) : subject_view(subject);
	struct container_meta *status;
	struct event_container view;
	struct event_spec spec;

	names_container(container, before, &view);
	subject->created = container->state == CRI_CONTAINER_CREATED;
	view.runtime = text_of(cri_name(cri));
	memcpy(view.id, subject->id, sizeof(view.id));
	if (view.spec) {
		spec = *view.spec;
		spec.privileged |= container->privileged;
		view.spec = &spec;
	}
	status = container_meta_make(&view, CONTAINER_PARTIAL);
	if (status)
		(void)subject_put(subject, &subject->status, status);
}

static bool is_of_sandbox(const struct subject *subject, const struct subject *sandbox)
{
	return subject != sandbox && subject->has_sandbox_id &&
	       memcmp(subject->sandbox_id, sandbox->id, sizeof(sandbox->id)) == 0;
}

/* The names of a sandbox have come, or have changed: so have those of its containers. */
static void settle_containers(struct subject *sandbox, bool changed)
{
	struct lookup *lookup = sandbox->lookup;
	struct subject *subject = NULL;
	struct table_node *node;

	if (!subject_is_complete(sandbox)) /* for want of memory */
		return;
	/* Those that have waited for it, from the start each time: what settles may start others. */
	do {
		TAILQ_FOREACH(subject, &lookup->waiting, waiting)
		if (is_of_sandbox(subject, sandbox))
			break;
		if (subject) {
			stop_waiting(subject);
			subject_settle(subject);
		}
	} while (subject);
	/* No subject is made here: the sandbox they look for is this one. */
	if (changed)
		table_for_each(&lookup->subjects, node)
			if (is_of_sandbox(table_entry(node, struct subject, node), sandbox))
				subject_settle(table_entry(node, struct subject, node));
}

static void take_sandbox(struct subject *subject, const struct cri *cri, const struct cri_sandbox *sandbox)
{
	struct lookup *lookup = subject->lookup;
	struct event_label annotations[LOOKUP_ANNOTATIONS_MAX];
	bool changed = subject_is_complete(subject);
	struct event_container view;

	if (sandbox->labels_cut)
		log_limited("pod %s has more labels than an event carries: some are left away", subject->text);
	names_sandbox(sandbox, subject_view(subject), &view);
	view.runtime = text_of(cri_name(cri));
	view.annotation_count = names_choose(view.annotations, view.annotation_count, lookup->options.annotations,
		lookup->options.annotation_count, annotations, LOOKUP_ANNOTATIONS_MAX);
	view.annotations = annotations;
	memcpy(view.id, subject->id, sizeof(view.id));
	subject->is_sandbox = true;
	subject->stale = false;
	subject->host_namespaces = sandbox->host_namespaces;
	subject_take_names(subject, &view, CONTAINER_COMPLETE);
	settle_containers(subject, changed);
}

/* A container's own names with its pod's. */
static void merge(struct subject *subject, const struct subject *sandbox)
{
	const struct event_container *pod = container_meta_view(sandbox->meta);
	struct event_container view;
	struct event_spec spec;

	names_merge(container_meta_view(subject->status), pod, &view);
	if (view.spec) {
		/* A container joins these of its sandbox by a path, and they may be the host's there. */
		const uint32_t shared = EVENT_NAMESPACE_NETWORK | EVENT_NAMESPACE_IPC | EVENT_NAMESPACE_UTS;

		spec = *view.spec;
		spec.host_namespaces |=
			sandbox->host_namespaces | (pod->spec ? pod->spec->host_namespaces & shared : 0);
		view.spec = &spec;
	}
	subject_take_names(subject, &view, CONTAINER_COMPLETE);
}

/* One answer for one id. */
static void on_answer(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	struct lookup *lookup = context;
	uint8_t bytes[EVENT_CONTAINER_ID_SIZE];
	struct subject *subject = event_container_id_parse(text_of(id), bytes) ? subject_find(lookup, bytes) : NULL;

	lookup->calls--;
	if (!subject || lookup->stopped)
		return;
	subject->calls--;
	/* containerd looks further for a verbose answer, and what it looks for may be gone. */
	if (method == CRI_CONTAINER_STATUS && error == -EIO)
		subject->terse = true;
	else if (error == -EBADMSG || error == -EIO)
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
		if (answer->container_count > 0)
			subject_take_sandbox_id(subject, answer->containers->sandbox_id);
		if (method == CRI_CONTAINER_STATUS || method == CRI_CONTAINER_STATE)
			subject_take_status(subject, cri, answer->containers);
		else if (method == CRI_SANDBOX_STATUS)
			take_sandbox(subject, cri, answer->sandboxes);
	}
	subject_settle(subject);
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

	/* Each that can call nobody comes back here at once: not one inside the other. */
	if (lookup->starting)
		return;
	lookup->starting = true;
	while (lookup->calls < LOOKUP_CALLS_MAX && (subject = TAILQ_FIRST(&lookup->backlog))) {
		TAILQ_REMOVE(&lookup->backlog, subject, backlog);
		subject->in_backlog = false;
		look_up(subject);
	}
	lookup->starting = false;
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

/* Not itself, no container of another sandbox, and nobody speaks for what another runtime knows. */
static bool may_be_sandbox_of(const struct subject *sandbox, const struct subject *subject)
{
	bool elsewhere = sandbox->status && sandbox->has_sandbox_id &&
			 memcmp(sandbox->sandbox_id, sandbox->id, sizeof(sandbox->id)) != 0;

	return sandbox != subject && !elsewhere && (!sandbox->runtime || sandbox->runtime == subject->runtime);
}

/* A container's own names are known, but not its pod's. `sandbox`: its subject, or NULL. */
static void seek_sandbox(struct subject *subject, struct subject *sandbox)
{
	if (!subject->is_waiting) {
		TAILQ_INSERT_TAIL(&subject->lookup->waiting, subject, waiting);
		subject->is_waiting = true;
	}
	if (sandbox && sandbox->is_sandbox)
		return;
	sandbox = subject_meet(subject->lookup, subject->sandbox_id);
	if (!sandbox || !may_be_sandbox_of(sandbox, subject))
		return;
	/* Its own annotations may have said otherwise (bundle.h). */
	sandbox->is_sandbox = true;
	sandbox->alone = false;
	subject_start(sandbox, true);
}

void subject_settle(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct subject *sandbox = NULL;

	if (subject->has_sandbox_id && !subject->is_sandbox)
		sandbox = subject_find(lookup, subject->sandbox_id);
	if (subject->status && sandbox && subject_is_complete(sandbox)) {
		stop_waiting(subject);
		merge(subject, sandbox);
	} else if (subject->status && subject->has_sandbox_id && !subject->is_sandbox) {
		seek_sandbox(subject, sandbox);
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
	subject_take_names(subject, &view, named ? CONTAINER_ABANDONED : CONTAINER_ALONE);
	subject->asked = false;
	subject->deadline_ns = 0;
}

/* One attempt at what is not known yet. */
static void look_up(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	bool know_kind;

	if (!subject->meta)
		subject_read_disk(subject);
	if (subject->alone) {
		subject->asked = false;
		subject->deadline_ns = 0;
		return;
	}
	/* A bundle may tell a spec and no name. */
	know_kind = (subject->meta && subject_view(subject)->name.length > 0) || subject->has_sandbox_id ||
		    subject->status || subject->is_sandbox;
	for (size_t i = 0; i < lookup->runtime_count; i++) {
		struct cri *cri = lookup->runtimes[i].cri;

		if (cri_state(cri) != CRI_UP || (subject->runtime && subject->runtime != &lookup->runtimes[i]))
			continue;
		if (!subject->is_sandbox && !subject->status)
			call(subject, cri, subject->terse ? CRI_CONTAINER_STATE : CRI_CONTAINER_STATUS);
		if (!subject->is_sandbox && !subject->has_sandbox_id)
			call(subject, cri, CRI_LIST_CONTAINERS);
		if (subject->is_sandbox || !know_kind)
			call(subject, cri, CRI_SANDBOX_STATUS);
	}
	if (subject->asked && !subject_is_complete(subject) && !is_hopeful(lookup))
		give_up(subject);
	else
		subject_settle(subject);
}

void lookup_ask(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = subject_meet(lookup, id);

	if (!subject)
		return;
	subject->met = true;
	if (subject_is_complete(subject) || (subject->alone && subject->meta)) {
		/* It was read when its folder was made, maybe before its maker wrote all of it. */
		if (subject->alone && !subject_view(subject)->spec)
			subject_read_disk(subject);
		subject_publish(subject);
		return;
	}
	subject->asked = true;
	/* Names that were given up once start anew. */
	if (subject->meta && container_meta_standing(subject->meta) == CONTAINER_PARTIAL) {
		subject_publish(subject);
	} else {
		(void)subject_put(subject, &subject->meta, NULL);
		subject->unpublished = false;
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
