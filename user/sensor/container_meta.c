/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/container_meta.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct container_meta {
	atomic_uint references;
	enum container_standing standing;
	size_t bytes;
	struct event_container view;
	struct event_spec spec; /* what view.spec points at, if it does */
	/* Then the lists and the bytes of all strings. */
	_Alignas(struct event_label) char tail[];
};

_Static_assert(_Alignof(struct event_label) >= _Alignof(struct event_mount) &&
		       _Alignof(struct event_label) >= _Alignof(struct text),
	"each list may follow each other");

/* The view's strings that stand alone, for code that treats all alike. */
static const size_t text_offsets[] = {
	offsetof(struct event_container, name),
	offsetof(struct event_container, image_name),
	offsetof(struct event_container, image_tag),
	offsetof(struct event_container, image_digest),
	offsetof(struct event_container, pod_name),
	offsetof(struct event_container, pod_namespace),
	offsetof(struct event_container, pod_uid),
	offsetof(struct event_container, sandbox_id),
	offsetof(struct event_container, runtime),
	offsetof(struct event_container, workload_kind),
	offsetof(struct event_container, workload_name),
	offsetof(struct event_container, users),
	offsetof(struct event_container, groups),
	offsetof(struct event_container, exit_reason),
};
enum { TEXTS = sizeof(text_offsets) / sizeof(text_offsets[0]) };

static struct text *text_at(struct event_container *view, size_t index)
{
	return (struct text *)(void *)((char *)view + text_offsets[index]);
}

static struct text text_get(const struct event_container *view, size_t index)
{
	return *(const struct text *)(const void *)((const char *)view + text_offsets[index]);
}

static size_t mounts_of(const struct event_spec *spec)
{
	return spec->mount_count < EVENT_MOUNTS_MAX ? spec->mount_count : EVENT_MOUNTS_MAX;
}

static size_t labels_bytes(const struct event_label *labels, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += labels[i].key.length + labels[i].value.length;
	return bytes;
}

static size_t spec_bytes(const struct event_spec *spec)
{
	size_t bytes = spec->args.length;

	for (size_t i = 0; i < mounts_of(spec); i++)
		bytes += spec->mounts[i].source.length + spec->mounts[i].destination.length +
			 spec->mounts[i].type.length + spec->mounts[i].options.length;
	return bytes;
}

/* Room for copies: lists first, for they are aligned, then bytes. */
struct room {
	char *lists, *bytes;
};

static size_t lists_size(const struct event_container *view)
{
	return (view->label_count + view->annotation_count) * sizeof(struct event_label) +
	       view->pod_ip_count * sizeof(struct text) +
	       (view->spec ? mounts_of(view->spec) * sizeof(struct event_mount) : 0);
}

static size_t bytes_size(const struct event_container *view)
{
	size_t bytes = labels_bytes(view->labels, view->label_count) +
		       labels_bytes(view->annotations, view->annotation_count) +
		       (view->spec ? spec_bytes(view->spec) : 0);

	for (size_t i = 0; i < TEXTS; i++)
		bytes += text_get(view, i).length;
	for (size_t i = 0; i < view->pod_ip_count; i++)
		bytes += view->pod_ips[i].length;
	return bytes;
}

static void *take_list(struct room *room, size_t size)
{
	void *list = room->lists;

	room->lists += size;
	return list;
}

static struct text copy_text(struct room *room, struct text text)
{
	struct text copy = {room->bytes, text.length};

	if (text.length)
		memcpy(room->bytes, text.data, text.length);
	room->bytes += text.length;
	return copy;
}

static const struct event_label *copy_labels(struct room *room, const struct event_label *labels, size_t count)
{
	struct event_label *copies = take_list(room, count * sizeof(*copies));

	for (size_t i = 0; i < count; i++) {
		copies[i].key = copy_text(room, labels[i].key);
		copies[i].value = copy_text(room, labels[i].value);
	}
	return copies;
}

static const struct text *copy_texts(struct room *room, const struct text *texts, size_t count)
{
	struct text *copies = take_list(room, count * sizeof(*copies));

	for (size_t i = 0; i < count; i++)
		copies[i] = copy_text(room, texts[i]);
	return copies;
}

static struct event_spec copy_spec(struct room *room, const struct event_spec *spec)
{
	struct event_spec copy = *spec;
	struct event_mount *mounts;

	copy.mount_count = mounts_of(spec);
	copy.mounts_cut = spec->mounts_cut || copy.mount_count < spec->mount_count;
	copy.args = copy_text(room, spec->args);
	mounts = take_list(room, copy.mount_count * sizeof(*mounts));
	for (size_t i = 0; i < copy.mount_count; i++) {
		mounts[i].source = copy_text(room, spec->mounts[i].source);
		mounts[i].destination = copy_text(room, spec->mounts[i].destination);
		mounts[i].type = copy_text(room, spec->mounts[i].type);
		mounts[i].options = copy_text(room, spec->mounts[i].options);
	}
	copy.mounts = mounts;
	return copy;
}

struct container_meta *container_meta_make(const struct event_container *view, enum container_standing standing)
{
	static _Atomic uint64_t versions;
	size_t lists = lists_size(view), bytes = sizeof(struct container_meta) + lists + bytes_size(view);
	struct container_meta *meta = malloc(bytes);
	struct room room;

	if (!meta)
		return NULL;
	room = (struct room){meta->tail, meta->tail + lists};
	atomic_init(&meta->references, 1);
	meta->standing = standing;
	meta->bytes = bytes;
	meta->view = *view;
	meta->view.version = atomic_fetch_add(&versions, 1) + 1;
	for (size_t i = 0; i < TEXTS; i++)
		*text_at(&meta->view, i) = copy_text(&room, text_get(view, i));
	meta->view.labels = copy_labels(&room, view->labels, view->label_count);
	meta->view.annotations = copy_labels(&room, view->annotations, view->annotation_count);
	meta->view.pod_ips = copy_texts(&room, view->pod_ips, view->pod_ip_count);
	if (view->spec) {
		meta->spec = copy_spec(&room, view->spec);
		meta->view.spec = &meta->spec;
	}
	return meta;
}

const struct event_container *container_meta_view(const struct container_meta *meta)
{
	return &meta->view;
}

enum container_standing container_meta_standing(const struct container_meta *meta)
{
	return meta->standing;
}

size_t container_meta_bytes(const struct container_meta *meta)
{
	return meta ? meta->bytes : 0;
}

static bool labels_equal(const struct event_label *x, const struct event_label *y, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!text_equal(x[i].key, y[i].key) || !text_equal(x[i].value, y[i].value))
			return false;
	return true;
}

static bool mounts_equal(const struct event_mount *x, const struct event_mount *y, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!text_equal(x[i].source, y[i].source) || !text_equal(x[i].destination, y[i].destination) ||
			!text_equal(x[i].type, y[i].type) || !text_equal(x[i].options, y[i].options))
			return false;
	return true;
}

static bool specs_equal(const struct event_spec *x, const struct event_spec *y)
{
	if (!x || !y)
		return x == y;
	return x->uid == y->uid && x->gid == y->gid && x->privileged == y->privileged &&
	       x->read_only_root == y->read_only_root && x->capabilities == y->capabilities &&
	       x->host_namespaces == y->host_namespaces && x->mounts_cut == y->mounts_cut &&
	       x->mount_count == y->mount_count && text_equal(x->args, y->args) &&
	       mounts_equal(x->mounts, y->mounts, x->mount_count);
}

static bool numbers_equal(const struct event_container *x, const struct event_container *y)
{
	return memcmp(x->id, y->id, sizeof(x->id)) == 0 && x->attempt == y->attempt && x->sandbox == y->sandbox &&
	       x->qos == y->qos && x->source == y->source && x->exited == y->exited && x->exit_code == y->exit_code &&
	       x->label_count == y->label_count && x->annotation_count == y->annotation_count &&
	       x->pod_ip_count == y->pod_ip_count;
}

bool container_meta_equal(const struct container_meta *a, const struct container_meta *b)
{
	const struct event_container *x = &a->view, *y = &b->view;

	if (a->standing != b->standing || !numbers_equal(x, y) || !specs_equal(x->spec, y->spec))
		return false;
	for (size_t i = 0; i < TEXTS; i++)
		if (!text_equal(text_get(x, i), text_get(y, i)))
			return false;
	for (size_t i = 0; i < x->pod_ip_count; i++)
		if (!text_equal(x->pod_ips[i], y->pod_ips[i]))
			return false;
	return labels_equal(x->labels, y->labels, x->label_count) &&
	       labels_equal(x->annotations, y->annotations, x->annotation_count);
}

struct container_meta *container_meta_hold(struct container_meta *meta)
{
	if (meta)
		atomic_fetch_add_explicit(&meta->references, 1, memory_order_relaxed);
	return meta;
}

void container_meta_release(struct container_meta *meta)
{
	/* acq_rel: whoever frees has seen all that the others did with it. */
	if (meta && atomic_fetch_sub_explicit(&meta->references, 1, memory_order_acq_rel) == 1)
		free(meta);
}
