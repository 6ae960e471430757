/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/container_meta.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct container_meta {
	atomic_uint references;
	enum container_standing standing;
	struct event_container view;
	/* Then the labels, the addresses and the bytes of all strings. */
	_Alignas(struct event_label) char tail[];
};

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

static size_t bytes_of(const struct event_container *view)
{
	size_t bytes = view->label_count * sizeof(struct event_label) + view->pod_ip_count * sizeof(struct text);

	for (size_t i = 0; i < TEXTS; i++)
		bytes += text_get(view, i).length;
	for (size_t i = 0; i < view->label_count; i++)
		bytes += view->labels[i].key.length + view->labels[i].value.length;
	for (size_t i = 0; i < view->pod_ip_count; i++)
		bytes += view->pod_ips[i].length;
	return bytes;
}

static struct text copy_text(struct text text, char **to)
{
	struct text copy = {*to, text.length};

	if (text.length)
		memcpy(*to, text.data, text.length);
	*to += text.length;
	return copy;
}

struct container_meta *container_meta_make(const struct event_container *view, enum container_standing standing)
{
	static _Atomic uint64_t versions;
	struct container_meta *meta = malloc(sizeof(*meta) + bytes_of(view));

	if (!meta)
		return NULL;

	struct event_label *labels = (void *)meta->tail;
	struct text *ips = (void *)(labels + view->label_count);
	char *strings = (char *)(ips + view->pod_ip_count);

	atomic_init(&meta->references, 1);
	meta->standing = standing;
	meta->view = *view;
	meta->view.version = atomic_fetch_add(&versions, 1) + 1;
	meta->view.labels = labels;
	meta->view.pod_ips = ips;
	for (size_t i = 0; i < TEXTS; i++)
		*text_at(&meta->view, i) = copy_text(text_get(view, i), &strings);
	for (size_t i = 0; i < view->label_count; i++) {
		labels[i].key = copy_text(view->labels[i].key, &strings);
		labels[i].value = copy_text(view->labels[i].value, &strings);
	}
	for (size_t i = 0; i < view->pod_ip_count; i++)
		ips[i] = copy_text(view->pod_ips[i], &strings);
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

bool container_meta_equal(const struct container_meta *a, const struct container_meta *b)
{
	const struct event_container *x = &a->view, *y = &b->view;

	if (a->standing != b->standing || memcmp(x->id, y->id, sizeof(x->id)) != 0 || x->attempt != y->attempt ||
		x->sandbox != y->sandbox || x->label_count != y->label_count || x->pod_ip_count != y->pod_ip_count)
		return false;
	for (size_t i = 0; i < TEXTS; i++)
		if (!text_equal(text_get(x, i), text_get(y, i)))
			return false;
	for (size_t i = 0; i < x->label_count; i++)
		if (!text_equal(x->labels[i].key, y->labels[i].key) ||
			!text_equal(x->labels[i].value, y->labels[i].value))
			return false;
	for (size_t i = 0; i < x->pod_ip_count; i++)
		if (!text_equal(x->pod_ips[i], y->pod_ips[i]))
			return false;
	return true;
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
