/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of /proc; the first byte says which: a process's arguments, which it may write itself, up to its document; the
 * status in which a tracer stands; a mount table.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "event/ecs.h"
#include "event/line.h"
#include "sensor/cgroup.h"
#include "sensor/guard.h"
#include "sensor/process.h"

static void try_arguments(struct text args)
{
	static const struct event_host host = {.id = TEXT_STATIC("h")};
	static const struct line_style plain = {false, 0};
	struct kernel_exec exec = {.header = {.kind = KERNEL_PROCESS, .size = sizeof(exec), .tgid = 7, .start_ns = 9}};
	const struct record record = {.exec = &exec};
	struct event event = {.action = EVENT_EXEC, .host = &host, .count = 1};
	struct process_table *table;
	struct buffer out = {0};

	fuzz_expect(process_open(&table, "0f6c2f0e") == 0);
	event.process = process_apply(table, &record, 1700000000000000000ull);
	fuzz_expect(event.process && process_set_arguments(table, 7, 9, args) == 0);
	fuzz_expect(text_equal(event.process->args, args) && event.process->args_count <= args.length);
	ecs_write(&out, &event);
	fuzz_expect_document(&out);
	buffer_clear(&out);
	line_write(&out, &event, &plain);
	fuzz_expect_clean(out.data, out.length - 1, false);
	buffer_free(&out);
	process_close(table);
}

static void try_mounts(const uint8_t *bytes, size_t length)
{
	static int fd = -1;
	char path[64];
	const char *mode;

	if (fd < 0)
		fd = memfd_create("mounts", MFD_CLOEXEC);
	fuzz_expect(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, length, 0) == (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	mode = cgroup_mode(path);
	fuzz_expect(strlen(mode) == 0 || memmem(bytes, length, "cgroup", 6));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct text text = {(const char *)bytes + 1, length - 1};

	if (length == 0)
		return 0;
	switch (bytes[0] % 3) {
	case 0:
		if (text.length <= KERNEL_ARGS_MAX)
			try_arguments(text);
		break;
	case 1: fuzz_expect(guard_parse_tracer(text) <= 0 || memmem(text.data, text.length, "TracerPid", 9)); break;
	default: try_mounts(bytes + 1, length - 1);
	}
	return 0;
}
