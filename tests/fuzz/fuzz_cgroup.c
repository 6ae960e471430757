/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups, which whoever may make cgroups chooses: as a path, and as a /proc/PID/cgroup. */
#include "fuzz.h"

#include "sensor/cgroup.h"

/* An id that was found stands in the text. */
static void expect_there(struct text text, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	char digits[2 * EVENT_CONTAINER_ID_SIZE + 1];

	event_container_id_format(id, digits);
	fuzz_expect(memmem(text.data, text.length, digits, sizeof(digits) - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text text = {(const char *)bytes, length};
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	if (cgroup_container(text, id))
		expect_there(text, id);
	if (cgroup_parse(text, id))
		expect_there(text, id);
	return 0;
}
