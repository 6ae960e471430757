/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_flow.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

void loader_flow_options(struct taffrail_bpf *skeleton, const struct loader_flow_options *options)
{
	skeleton->rodata->flow_interval = options->interval_s;
	skeleton->rodata->flow_idle = options->idle_s ? options->idle_s : LOADER_FLOW_IDLE_S;
	skeleton->rodata->flow_samples = options->samples;
	skeleton->rodata->flow_ranges = options->range_count > 0;
}

int loader_flow_ranges(struct taffrail_bpf *skeleton, const struct loader_flow_options *options)
{
	const uint8_t one = 1;

	for (size_t i = 0; i < options->range_count; i++)
		if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.flow_inside), &options->ranges[i], &one, BPF_ANY) <
			0)
			return -errno;
	return 0;
}

void loader_flow_clock(struct taffrail_bpf__bss *variables, uint64_t now_ns)
{
	atomic_store((_Atomic __u32 *)&variables->flow_seconds, (uint32_t)(now_ns / 1000000000));
}

int loader_iterate(const struct bpf_program *program, int map_fd)
{
	union bpf_iter_link_info over;
	struct bpf_iter_attach_opts options;
	struct bpf_link *link;
	char nothing[64];
	ssize_t length = -1;
	int fd, error = 0;

	/*
	 * No initializer, and not LIBBPF_OPTS, which is one: neither sets the padding behind the last field, and libbpf (1.1)
	 * refuses options with any byte set there: -EINVAL, now and then, by what the stack held before.
	 */
	memset(&over, 0, sizeof(over));
	memset(&options, 0, sizeof(options));
	over.map.map_fd = (__u32)map_fd;
	options.sz = sizeof(options);
	options.link_info = &over;
	options.link_info_len = sizeof(over);
	link = bpf_program__attach_iter(program, map_fd >= 0 ? &options : NULL);
	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0)
		error = -errno;
	while (!error && length != 0) {
		length = read(fd, nothing, sizeof(nothing));
		if (length < 0 && errno != EAGAIN && errno != EINTR)
			error = -errno;
	}
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return error;
}
