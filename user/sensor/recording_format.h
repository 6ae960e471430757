/* SPDX-License-Identifier: Apache-2.0 */
/* How frames lie in the file, for those who write and read them; recording.h says what they mean. */
#ifndef TAFFRAIL_SENSOR_RECORDING_FORMAT_H
#define TAFFRAIL_SENSOR_RECORDING_FORMAT_H

#include "sensor/recording.h"

#define RECORDING_MAGIC "taffrec\n"

struct recording_file_head {
	char magic[8];
	uint32_t version;
	uint32_t zero;
};

struct recording_frame_head {
	uint32_t size; /* of the content, without the zeros behind it */
	uint16_t type;
	uint16_t zero;
	uint64_t now_ns;
};

/* HOST; then the texts id, name, boot_id, cluster. A text is a u32 of length and its bytes, wherever it comes to lie. */
struct recording_host_head {
	uint32_t cpus, lanes;
	uint64_t boot_unix_ns, opens_window_ns, calls;
	uint8_t epoch[EVENT_EPOCH_SIZE];
};

/* PROCESS; then the record and the arguments. */
struct recording_process_head {
	uint32_t record_size, args_size;
};

/*
 * CONTAINER; then the texts that stand alone (recording_text), the addresses, key and value of each label and of each
 * annotation, and of the spec the arguments and of each mount source, destination, type and options.
 */
struct recording_container_head {
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	uint32_t attempt;
	uint32_t ip_count, label_count, annotation_count;
	int32_t exit_code;
	uint8_t sandbox, standing, qos, source;
	uint8_t exited;
	/* Of the spec; without one all of it is 0. */
	uint8_t has_spec, privileged, read_only_root;
	uint8_t mounts_cut, zero;
	uint16_t mount_count;
	uint32_t uid, gid;
	uint32_t host_namespaces, zero2;
	uint64_t capabilities;
};

/* TICK; then the words of the kernel's counters that have changed since the tick before that had any. */
struct recording_tick_head {
	uint64_t boot_unix_ns, bulk_ns;
	uint8_t final, has_counters;
	uint16_t zero;
	uint32_t changes;
};

struct recording_change {
	uint32_t cpu;  /* index among all CPUs' lanes */
	uint32_t word; /* index into struct kernel_counters, taken as u64 */
	uint64_t value;
};

enum {
	RECORDING_ALIGN = 8,
	RECORDING_TEXTS = 14, /* of a container, that stand alone */
	RECORDING_WORDS = sizeof(struct kernel_counters) / sizeof(uint64_t),
};

static inline size_t recording_padding(size_t size)
{
	return -size % RECORDING_ALIGN;
}

/* The texts of a container that stand alone, in their order in the file. */
static inline struct text *recording_text(struct event_container *view, size_t index)
{
	struct text *const texts[RECORDING_TEXTS] = {&view->name, &view->image_name, &view->image_tag,
		&view->image_digest, &view->pod_name, &view->pod_namespace, &view->pod_uid, &view->sandbox_id,
		&view->runtime, &view->workload_kind, &view->workload_name, &view->exit_reason, &view->users,
		&view->groups};

	return texts[index];
}

#endif
