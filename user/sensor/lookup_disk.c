/* SPDX-License-Identifier: Apache-2.0 */
/* What lies on disk of a container: its bundle, and what Docker and Podman keep. */
#include "sensor/lookup_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/rooted.h"
#include "sensor/bundle.h"
#include "sensor/names.h"
#include "sensor/state.h"
#include "sensor/users.h"

static bool read_bundle(const struct subject *subject, struct bundle *bundle)
{
	const struct lookup *lookup = subject->lookup;

	for (size_t i = 0; i < lookup->state_count; i++)
		if (bundle_read(lookup->root, lookup->states[i], subject->text, bundle) == 0)
			return true;
	return false;
}

static bool read_state(const struct subject *subject, struct state *state)
{
	const struct lookup *lookup = subject->lookup;

	for (size_t i = 0; i < lookup->state_count; i++)
		if (state_read(lookup->root, lookup->states[i], subject->text, state) == 0)
			return true;
	return false;
}

/* Where its files are, if it is known to a runtime alone so far: it is listed before its bundle is made. */
static void find_files(struct subject *subject)
{
	struct bundle bundle = {0};

	if (!subject->files && read_bundle(subject, &bundle)) {
		subject->files = bundle.files;
		bundle.files = NULL;
	}
	bundle_free(&bundle);
}

bool subject_read_users(struct subject *subject)
{
	char root[PATH_MAX];

	if (subject->users.length > 0 || subject->groups.length > 0)
		return false;
	find_files(subject);
	if (!subject->files || rooted_resolve(subject->lookup->root, subject->files, root) < 0)
		return false;
	users_read(root, &subject->users, &subject->groups);
	return subject->users.length > 0 || subject->groups.length > 0;
}

void subject_read_disk(struct subject *subject)
{
	struct lookup *lookup = subject->lookup;
	struct event_label annotations[LOOKUP_ANNOTATIONS_MAX];
	struct event_container view = {0};
	struct bundle bundle = {0};
	struct state state = {0};
	bool found = read_bundle(subject, &bundle);

	if (found) {
		names_bundle(&bundle, &view);
		free(subject->files);
		subject->files = bundle.files;
		bundle.files = NULL;
	}
	if (view.name.length == 0 && read_state(subject, &state)) {
		names_state(&state, &view);
		found = true;
	}
	if (found) {
		subject->alone = (bundle.alone || state.alone) && view.sandbox_id.length == 0;
		subject->is_sandbox |= view.sandbox;
		if (!subject->has_sandbox_id)
			subject_take_sandbox_id(subject, view.sandbox_id);
		view.annotation_count =
			names_choose(view.annotations, view.annotation_count, lookup->options.annotations,
				lookup->options.annotation_count, annotations, LOOKUP_ANNOTATIONS_MAX);
		view.annotations = annotations;
		memcpy(view.id, subject->id, sizeof(view.id));
		subject_take_names(subject, &view, subject->alone ? CONTAINER_ALONE : CONTAINER_PARTIAL);
	}
	bundle_free(&bundle);
	state_free(&state);
}
