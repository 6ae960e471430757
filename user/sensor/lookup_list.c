/* SPDX-License-Identifier: Apache-2.0 */
/* Whom to look for: what runtimes list, and what is forgotten again. */
#include "sensor/lookup_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/names.h"

/* --- lists ----------------------------------------------------------------------------------------------------------- */

/* The subject of an id that a runtime lists; NULL if it is no id of ours, or one too many. */
static struct subject *list_one(struct lookup *lookup, struct runtime *runtime, struct text text)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	struct subject *subject;

	if (!event_container_id_parse(text, id))
		return NULL;
	subject = subject_find(lookup, id);
	if (!subject && table_count(&lookup->subjects) >= LOOKUP_LISTED_MAX)
		log_limited("%s: more than %d pods and containers: what is listed now is looked up when it is met",
			cri_path(runtime->cri), LOOKUP_LISTED_MAX);
	else if (!subject)
		subject = subject_meet(lookup, id);
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
	struct runtime *runtime = lookup_runtime(lookup, cri);
	struct table_node *node;

	(void)method;
	(void)id;
	lookup->calls--;
	if (lookup->stopped)
		return;
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
		if (subject_is_complete(subject))
			subject->stale = !names_agree(container_meta_view(subject->meta), &answer->sandboxes[i]);
		if (subject->stale || !subject_is_complete(subject))
			subject_start(subject, false);
	}
	for (size_t i = 0; !error && i < answer->container_count; i++) {
		struct subject *subject = list_one(lookup, runtime, answer->containers[i].id);

		if (!subject)
			continue;
		subject->is_sandbox = false;
		subject_take_sandbox_id(subject, answer->containers[i].sandbox_id);
		if (!subject_is_complete(subject))
			subject_start(subject, false);
	}
	subject_start_backlog(lookup);
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

/* May somebody still ask for it? Above the limit only what a runtime lists is kept. */
static bool is_kept(const struct subject *subject, uint64_t now_ns, bool crowded)
{
	const struct runtime *runtime = subject->runtime;

	if (!runtime)
		return false;
	if (subject->gone_ns)
		return !crowded && now_ns - subject->gone_ns < LOOKUP_KEEP_NS;
	/* Of one that fails to list nobody will ever hear that it is gone. */
	return !crowded || runtime->lists > 0 || subject->seen == runtime->generation;
}

void lookup_tick(struct lookup *lookup, uint64_t now_ns)
{
	struct table_node *node;

	table_for_each(&lookup->subjects, node) {
		struct subject *subject = table_entry(node, struct subject, node);
		bool idle = subject->calls == 0 && (!subject->in_backlog || subject->gone_ns) &&
			    now_ns >= subject->deadline_ns && !subject_exit_pending(subject);

		if (subject->unpublished)
			subject_publish(subject);
		if (!idle || subject->unpublished)
			continue;
		if (!is_kept(subject, now_ns, table_count(&lookup->subjects) > LOOKUP_SUBJECTS_MAX))
			subject_forget(subject);
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
	struct runtime *runtime = lookup_runtime(lookup, cri);
	struct table_node *node;

	if (!runtime)
		return;
	runtime->tried = true;
	runtime->was_up |= cri_state(cri) == CRI_UP;
	list(lookup, runtime);
	table_for_each(&lookup->subjects, node) {
		struct subject *subject = table_entry(node, struct subject, node);

		/* From the loop, for looking up may add to this table. */
		if (subject->asked && !subject_is_complete(subject) && subject->calls == 0)
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

int lookup_open(struct lookup **out, struct event_base *base, const struct lookup_ops *ops,
	const struct lookup_options *options)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return -ENOMEM;
	lookup->base = base;
	lookup->ops = *ops;
	lookup->options = *options;
	if (!options->names_bytes)
		lookup->options.names_bytes = LOOKUP_NAMES_BYTES;
	lookup->root = strdup(options->root);
	if (!lookup->root) {
		free(lookup);
		return -ENOMEM;
	}
	table_init(&lookup->subjects);
	TAILQ_INIT(&lookup->backlog);
	TAILQ_INIT(&lookup->waiting);
	*out = lookup;
	return 0;
}

void lookup_stop(struct lookup *lookup)
{
	if (lookup)
		lookup->stopped = true;
}

void lookup_close(struct lookup *lookup)
{
	struct table_node *node;

	if (!lookup)
		return;
	table_for_each(&lookup->subjects, node)
		subject_forget(table_entry(node, struct subject, node));
	table_free(&lookup->subjects);
	for (size_t i = 0; i < lookup->state_count; i++)
		free(lookup->states[i]);
	free(lookup->root);
	free(lookup);
}
