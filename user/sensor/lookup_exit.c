/* SPDX-License-Identifier: Apache-2.0 */
/* How a container ended: the runtime knows it a moment after the kernel, and as long as the container is not removed. */
#include "sensor/lookup_inside.h"

#include <errno.h>
#include <event2/event.h>

#include "base/clock.h"

enum {
	EXIT_DELAY_MIN_MS = 5,
	EXIT_DELAY_MAX_MS = 100,
};

static void ask(struct subject *subject);

static void on_exit_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ask(context);
}

bool subject_exit_pending(const struct subject *subject)
{
	return subject->exit_calls > 0 || (subject->exit_timer && evtimer_pending(subject->exit_timer, NULL));
}

/* The names with what is known now of its end. What has no names yet gets them together. */
static void tell(struct subject *subject)
{
	const struct event_container *known = subject_view(subject);

	subject->exit_deadline_ns = 0;
	if (known) {
		const struct event_container *status = container_meta_view(subject->status);
		struct event_container view = *known;

		view.exited = true;
		view.exit_code = status->exit_code;
		view.exit_reason = status->exit_reason;
		/* Published here, for subject_take_names says nothing twice, and half a truth to those who wait only. */
		struct container_meta *meta = container_meta_make(&view, container_meta_standing(subject->meta));

		if (!meta || !subject_put(subject, &subject->meta, meta))
			return;
		subject_publish(subject);
	}
	subject_settle(subject);
}

/* All answers of one attempt are there. */
static void retry(struct subject *subject)
{
	const struct timeval delay = {0, subject->exit_delay_ms * 1000L};

	if (!subject->exit_hopeful || clock_boottime_ns() >= subject->exit_deadline_ns)
		return;
	event_add(subject->exit_timer, &delay);
	subject->exit_delay_ms *= 2;
	if (subject->exit_delay_ms > EXIT_DELAY_MAX_MS)
		subject->exit_delay_ms = EXIT_DELAY_MAX_MS;
}

static void on_exit_answer(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	struct lookup *lookup = context;
	uint8_t bytes[EVENT_CONTAINER_ID_SIZE];
	struct subject *subject = event_container_id_parse(text_of(id), bytes) ? subject_find(lookup, bytes) : NULL;
	const struct cri_container *container;

	(void)method;
	if (!subject || subject->exit_calls == 0 || lookup->stopped)
		return;
	subject->exit_calls--;
	container = !error && answer->container_count > 0 ? answer->containers : NULL;
	if (container && text_equal(container->id, text_of(subject->text))) {
		subject->exit_hopeful = true;
		if (container->state == CRI_CONTAINER_EXITED && subject->exit_deadline_ns) {
			subject_take_status(subject, cri, container);
			if (subject->status && container_meta_view(subject->status)->exited)
				tell(subject);
			return;
		}
	}
	subject->exit_hopeful |= error != -ENOENT && error != -EOPNOTSUPP;
	if (subject->exit_calls == 0)
		retry(subject);
}

/* One attempt. A runtime that is not up now may be soon. */
static void ask(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;

	subject->exit_hopeful = false;
	for (size_t i = 0; i < lookup->runtime_count; i++) {
		struct runtime *runtime = &lookup->runtimes[i];

		if (subject->runtime && subject->runtime != runtime)
			continue;
		if (cri_call(runtime->cri, CRI_CONTAINER_STATE, subject->text, on_exit_answer, lookup) == 0)
			subject->exit_calls++;
		else
			subject->exit_hopeful |= runtime->was_up;
	}
	if (subject->exit_calls == 0)
		retry(subject);
}

void lookup_ask_exit(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct subject *subject = subject_meet(lookup, id);

	if (!subject || subject->is_sandbox || subject->alone)
		return;
	subject->met = true;
	if (subject->meta && container_meta_view(subject->meta)->exited) {
		subject_publish(subject);
		return;
	}
	if (!subject->exit_timer)
		subject->exit_timer = evtimer_new(lookup->base, on_exit_timer, subject);
	if (!subject->exit_timer)
		return;
	subject->exit_deadline_ns = clock_boottime_ns() + LOOKUP_EXIT_NS;
	subject->exit_delay_ms = EXIT_DELAY_MIN_MS;
	if (!subject_is_complete(subject))
		subject_start(subject, true);
	if (!subject_exit_pending(subject))
		ask(subject);
}
