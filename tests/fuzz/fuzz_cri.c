/* SPDX-License-Identifier: Apache-2.0 */
/* What a container runtime answers; the first byte is the method. */
#include "fuzz.h"

#include "sensor/container.h"
#include "sensor/cri.h"
#include "sensor/names.h"

static void expect_named(const struct event_container *view)
{
	struct container_meta *meta = container_meta_make(view, CONTAINER_COMPLETE);

	fuzz_expect(meta && view->image_name.length <= CRI_MESSAGE_MAX);
	container_meta_release(meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct event_container pod = {0}, own, view;
	const char *every = "*";
	struct cri_answer answer;
	struct event_label first;

	if (length == 0)
		return 0;
	if (cri_decode(bytes[0] % CRI_METHODS, bytes + 1, length - 1, &answer) < 0) {
		fuzz_expect(!answer.arena);
		return 0;
	}
	for (size_t i = 0; i < answer.sandbox_count; i++) {
		names_sandbox(&answer.sandboxes[i], i ? &pod : NULL, &view);
		fuzz_expect(view.workload_name.length > 0 || view.pod_name.length == 0);
		fuzz_expect(view.annotation_count == 0 ||
			    names_choose(view.annotations, view.annotation_count, &every, 1, &first, 1) == 1);
		fuzz_expect(names_agree(&view, &answer.sandboxes[i]));
		expect_named(&view);
		pod = view;
	}
	for (size_t i = 0; i < answer.container_count; i++) {
		names_container(&answer.containers[i], &pod, &own);
		fuzz_expect(own.exited == (answer.containers[i].state == CRI_CONTAINER_EXITED));
		names_merge(&own, &pod, &view);
		expect_named(&view);
	}
	fuzz_expect(answer.state_directory.length == 0 || answer.state_directory.data[0] == '/');
	cri_answer_free(&answer);
	return 0;
}
