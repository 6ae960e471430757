/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file: YAML. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"

static struct {
	bool on;
	char *word;
	uint64_t number, size, duration;
	struct config_list list;
} got;

static const struct config_key keys[] = {
	{"on", CONFIG_BOOL, &got.on, 0, 0, ""},
	{"word", CONFIG_TEXT, &got.word, 0, 0, ""},
	{"a.number", CONFIG_NUMBER, &got.number, 3, 100, ""},
	{"a.size", CONFIG_SIZE, &got.size, 1024, 1ull << 40, ""},
	{"a.b.duration", CONFIG_DURATION, &got.duration, 10, 3600000, ""},
	{"list", CONFIG_LIST, &got.list, 0, 0, ""},
	CONFIG_END,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return fuzz_without_messages(argc, argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	int fd = memfd_create("config", MFD_CLOEXEC), error;
	char path[64];

	fuzz_expect(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	got.number = 3;
	got.size = 1024;
	got.duration = 10;
	error = config_read(keys, path);
	fuzz_expect(error == 0 || error == -22);
	fuzz_expect(got.number >= 3 && got.number <= 100);
	fuzz_expect(got.size >= 1024 && got.size <= 1ull << 40);
	fuzz_expect(got.duration >= 10 && got.duration <= 3600000);
	for (size_t i = 0; i < got.list.count; i++)
		fuzz_expect(strlen(got.list.items[i]) <= length);
	config_free(keys);
	close(fd);
	return 0;
}
