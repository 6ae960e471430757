/* SPDX-License-Identifier: Apache-2.0 */
/* A /proc/PID/cgroup and, behind a NUL, a /proc/PID/mountinfo: whoever mounts chooses names. Mounts are looked up where they are said to be. */
#include "fuzz.h"

#include <errno.h>

#include "sensor/hierarchy.h"

static FILE *open_bytes(const uint8_t *bytes, size_t length)
{
	FILE *file = fmemopen((void *)(uintptr_t)bytes, length, "r");

	fuzz_expect(file);
	return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct hierarchies found;
	const uint8_t *nul = memchr(bytes, '\0', length);
	const char *const roots[] = {NULL, "/sys"};
	size_t first = nul ? (size_t)(nul - bytes) : length;
	char why[512];

	for (size_t i = 0; i < 2; i++) {
		FILE *cgroup = open_bytes(bytes, first);
		FILE *mountinfo = open_bytes(nul ? nul + 1 : bytes, nul ? length - first - 1 : 0);
		int error = hierarchy_read(&found, cgroup, mountinfo, roots[i], why, sizeof(why));

		fuzz_expect(error == 0 || error == -ENOENT);
		fuzz_expect(error ? strlen(why) > 0 : found.v2[0] != '\0');
		fuzz_expect(memchr(found.v2, '\0', sizeof(found.v2)));
		fclose(cgroup);
		fclose(mountinfo);
	}
	return 0;
}
