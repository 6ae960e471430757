/* SPDX-License-Identifier: Apache-2.0 */
/* A container's config.json, as each of its makers writes it, up to the document of an event that carries its names. */
#include "fuzz.h"

#include "event/ecs.h"
#include "sensor/bundle.h"
#include "sensor/bundle_spec.h"
#include "sensor/container.h"
#include "sensor/names.h"

static void expect_spec(const struct event_spec *spec)
{
	fuzz_expect(spec && spec->mount_count <= EVENT_MOUNTS_MAX && spec->args.length <= BUNDLE_ARGS_MAX);
	fuzz_expect(spec->host_namespaces < 32);
}

/* The id that CRI-O says it has. */
static struct text id_of(struct text text)
{
	static const struct text key = TEXT_STATIC("io.kubernetes.cri-o.ContainerID\":\"");
	const char *at = text.length ? memmem(text.data, text.length, key.data, key.length) : NULL;
	struct text rest = at ? text_tail(text, (size_t)(at - text.data) + key.length) : (struct text){0};

	return text_next(&rest, '"');
}

static void try_maker(struct text text, enum bundle_maker maker)
{
	static const struct event_host host = {.id = TEXT_STATIC("h")};
	struct event event = {.action = EVENT_FORK, .host = &host, .count = 1};
	struct event_container view;
	struct container_meta *meta;
	struct buffer out = {0};
	struct bundle bundle;

	if (bundle_parse(text, maker, id_of(text), &bundle) < 0) {
		fuzz_expect(!bundle.document && !bundle.labels && !bundle.written);
		return;
	}
	/* What another id stands in has a spec and no names. */
	fuzz_expect(bundle.runtime.length > 0 || (maker == BUNDLE_STORAGE && bundle.pod_name.length == 0));
	fuzz_expect(bundle.alone || maker == BUNDLE_MOBY || bundle.runtime.length == 0 || bundle.sandbox_id.length > 0);
	fuzz_expect(bundle.label_count <= BUNDLE_LABELS_MAX);
	names_bundle(&bundle, &view);
	expect_spec(view.spec);
	fuzz_expect(view.workload_kind.length == 0 || view.workload_name.length > 0);
	meta = container_meta_make(&view, CONTAINER_PARTIAL);
	fuzz_expect(meta);
	bundle_free(&bundle);
	event.container = container_meta_view(meta);
	ecs_write(&out, &event);
	fuzz_expect_document(&out);
	buffer_free(&out);
	container_meta_release(meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	for (enum bundle_maker maker = BUNDLE_CONTAINERD; maker <= BUNDLE_STORAGE; maker++)
		try_maker((struct text){(const char *)bytes, length}, maker);
	return 0;
}
