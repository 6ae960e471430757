/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/names.h"

#include "sensor/bundle_spec.h"

void names_image(struct text reference, struct event_container *view)
{
	const char *at = reference.length ? memchr(reference.data, '@', reference.length) : NULL;
	struct text name = reference;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	view->image_name = view->image_tag = view->image_digest = (struct text){0};
	if (at) {
		name.length = (size_t)(at - reference.data);
		view->image_digest = (struct text){at + 1, reference.length - name.length - 1};
	} else if (text_starts_with(reference, TEXT_LITERAL("sha256:")) || event_container_id_parse(reference, id)) {
		view->image_digest = reference;
		return;
	}
	/* A tag's colon comes after the last slash; one before it belongs to a registry's port. */
	for (size_t i = name.length; i > 0 && name.data[i - 1] != '/'; i--)
		if (name.data[i - 1] == ':') {
			view->image_tag = (struct text){name.data + i, name.length - i};
			name.length = i - 1;
			break;
		}
	view->image_name = name;
}

/* The name from the first that has one, the digest from `ref` rather than `image`. */
static void name_image(
	struct text image, struct text ref, const struct event_container *before, struct event_container *view)
{
	struct event_container by_ref = {0};

	names_image(image, view);
	names_image(ref, &by_ref);
	if (by_ref.image_digest.length)
		view->image_digest = by_ref.image_digest;
	if (view->image_name.length)
		return;
	if (before && before->image_name.length) {
		view->image_name = before->image_name;
		view->image_tag = before->image_tag;
	} else {
		view->image_name = by_ref.image_name;
		view->image_tag = by_ref.image_tag;
	}
}

void names_bundle(const struct bundle *bundle, struct event_container *view)
{
	*view = (struct event_container){
		.name = bundle->sandbox ? TEXT_LITERAL("POD") : bundle->container_name,
		.pod_name = bundle->pod_name,
		.pod_namespace = bundle->pod_namespace,
		.pod_uid = bundle->pod_uid,
		.labels = bundle->labels,
		.label_count = bundle->label_count,
		.annotations = bundle->annotations,
		.annotation_count = bundle->annotation_count,
		.sandbox_id = bundle->sandbox_id,
		.runtime = bundle->runtime,
		.attempt = bundle->attempt,
		.qos = names_qos(bundle->cgroup),
		.source = EVENT_SOURCE_BUNDLE,
		.sandbox = bundle->sandbox,
		.spec = bundle->written ? &bundle->written->view : NULL,
	};
	name_image(bundle->image, bundle->image_ref, NULL, view);
	if (bundle->label_count > 0)
		names_workload(view);
}

static void fill(struct text *to, struct text from)
{
	if (to->length == 0)
		*to = from;
}

void names_state(const struct state *state, struct event_container *view)
{
	struct event_container image = {0};

	if (view->name.length == 0)
		view->source = EVENT_SOURCE_STATE;
	view->sandbox |= state->sandbox;
	fill(&view->name, view->sandbox ? TEXT_LITERAL("POD") : state->name);
	fill(&view->runtime, state->runtime);
	fill(&view->sandbox_id, state->sandbox_id);
	fill(&view->pod_name, state->pod_name);
	fill(&view->pod_namespace, state->pod_namespace);
	fill(&view->pod_uid, state->pod_uid);
	if (view->attempt == 0)
		view->attempt = state->attempt;
	name_image(state->image, state->image_id, NULL, &image);
	if (view->image_name.length == 0) {
		view->image_name = image.image_name;
		view->image_tag = image.image_tag;
	}
	fill(&view->image_digest, image.image_digest);
}

void names_sandbox(
	const struct cri_sandbox *sandbox, const struct event_container *before, struct event_container *view)
{
	*view = (struct event_container){
		.name = TEXT_LITERAL("POD"),
		.pod_name = sandbox->name,
		.pod_namespace = sandbox->namespace,
		.pod_uid = sandbox->uid,
		.pod_ips = sandbox->ips,
		.pod_ip_count = sandbox->ip_count,
		.labels = sandbox->labels,
		.label_count = sandbox->label_count,
		.annotations = sandbox->annotations,
		.annotation_count = sandbox->annotation_count,
		.sandbox_id = sandbox->id,
		.attempt = sandbox->attempt,
		.qos = names_qos(sandbox->cgroup),
		.source = EVENT_SOURCE_CRI,
		.sandbox = true,
		.spec = before && before->spec ? before->spec : sandbox->spec,
	};
	if (view->qos == EVENT_QOS_UNKNOWN && before)
		view->qos = before->qos;
	name_image(sandbox->image, (struct text){0}, before, view);
	names_workload(view);
}

void names_container(
	const struct cri_container *container, const struct event_container *before, struct event_container *view)
{
	*view = (struct event_container){
		.name = container->name,
		.attempt = container->attempt,
		.qos = names_qos(container->cgroup),
		.source = EVENT_SOURCE_CRI,
		.spec = before && before->spec ? before->spec : container->spec,
		.exited = container->state == CRI_CONTAINER_EXITED,
	};
	if (view->exited) {
		view->exit_code = container->exit_code;
		view->exit_reason = container->reason;
	}
	if (view->qos == EVENT_QOS_UNKNOWN && before)
		view->qos = before->qos;
	name_image(container->image, container->image_ref, before, view);
}

void names_merge(const struct event_container *own, const struct event_container *sandbox, struct event_container *view)
{
	*view = *sandbox;
	memcpy(view->id, own->id, sizeof(view->id));
	view->name = own->name;
	view->image_name = own->image_name;
	view->image_tag = own->image_tag;
	view->image_digest = own->image_digest;
	view->attempt = own->attempt;
	if (own->qos != EVENT_QOS_UNKNOWN)
		view->qos = own->qos;
	view->spec = own->spec;
	view->exited = own->exited;
	view->exit_code = own->exit_code;
	view->exit_reason = own->exit_reason;
	view->sandbox = false;
}

static bool is_chosen(struct text key, struct text pattern)
{
	if (pattern.length > 0 && pattern.data[pattern.length - 1] == '*')
		return text_starts_with(key, (struct text){pattern.data, pattern.length - 1});
	return text_equal(key, pattern);
}

size_t names_choose(const struct event_label *labels, size_t count, const char *const *keys, size_t key_count,
	struct event_label *chosen, size_t room)
{
	size_t taken = 0, bytes = 0;

	for (size_t i = 0; i < count && taken < room; i++) {
		size_t length = labels[i].key.length + labels[i].value.length;
		bool wanted = false;

		for (size_t j = 0; !wanted && j < key_count; j++)
			wanted = is_chosen(labels[i].key, text_of(keys[j]));
		if (!wanted || length > NAMES_CHOSEN_BYTES - bytes)
			continue;
		chosen[taken++] = labels[i];
		bytes += length;
	}
	return taken;
}

static bool labels_equal(struct event_label a, struct event_label b)
{
	return text_equal(a.key, b.key) && text_equal(a.value, b.value);
}

bool names_agree(const struct event_container *view, const struct cri_sandbox *sandbox)
{
	if (!text_equal(view->pod_name, sandbox->name) || !text_equal(view->pod_namespace, sandbox->namespace) ||
		!text_equal(view->pod_uid, sandbox->uid) || view->label_count != sandbox->label_count)
		return false;
	for (size_t i = 0; i < sandbox->label_count; i++) {
		/* Mostly in the same place: a runtime's are sorted. */
		bool found = labels_equal(sandbox->labels[i], view->labels[i]);

		for (size_t j = 0; !found && j < view->label_count; j++)
			found = labels_equal(sandbox->labels[i], view->labels[j]);
		if (!found)
			return false;
	}
	return true;
}
