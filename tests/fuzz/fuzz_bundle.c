/* SPDX-License-Identifier: Apache-2.0 */
/* A container's config.json, up to the document of an event that carries its names. */
#include "fuzz.h"

#include "event/ecs.h"
#include "sensor/bundle.h"
#include "sensor/container.h"
#include "sensor/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct event_host host = {.id = TEXT_STATIC("h")};
	struct event event = {.action = EVENT_FORK, .host = &host, .count = 1};
	struct event_container view;
	struct container_meta *meta;
	struct buffer out = {0};
	struct bundle bundle;

	if (bundle_parse((struct text){(const char *)bytes, length}, &bundle) < 0) {
		fuzz_expect(!bundle.document);
		return 0;
	}
	fuzz_expect(bundle.sandbox_id.length > 0);
	names_bundle(&bundle, &view);
	meta = container_meta_make(&view, CONTAINER_PARTIAL);
	fuzz_expect(meta);
	bundle_free(&bundle);
	event.container = container_meta_view(meta);
	ecs_write(&out, &event);
	fuzz_expect_document(&out);
	buffer_free(&out);
	container_meta_release(meta);
	return 0;
}
