/* SPDX-License-Identifier: Apache-2.0 */
/* What Docker and Podman keep of a container: its first 64 bytes are the id that is looked for. */
#include "fuzz.h"

#include "sensor/container.h"
#include "sensor/names.h"
#include "sensor/state.h"

enum { DIGITS = 2 * EVENT_CONTAINER_ID_SIZE };

static void expect_named(int error, struct state *state)
{
	struct event_container view = {0};
	struct container_meta *meta;

	if (error) {
		fuzz_expect(!state->document);
		return;
	}
	names_state(state, &view);
	fuzz_expect(view.runtime.length > 0 && view.source == EVENT_SOURCE_STATE);
	meta = container_meta_make(&view, CONTAINER_ALONE);
	state_free(state);
	fuzz_expect(meta);
	container_meta_release(meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text id = {(const char *)bytes, DIGITS}, text;
	struct state state;

	if (length < DIGITS)
		return 0;
	text = (struct text){(const char *)bytes + DIGITS, length - DIGITS};
	expect_named(state_parse_docker(text, id, &state), &state);
	expect_named(state_parse_storage(text, id, &state), &state);
	return 0;
}
