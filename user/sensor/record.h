/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checked record: what the stages of the sensor speak of to one another.
 *
 * The bytes come from outside the process (a ring, later a recording): every length, offset and count is compared
 * before it is used, and what does not hold is refused, never repaired.
 */
#ifndef TAFFRAIL_SENSOR_RECORD_H
#define TAFFRAIL_SENSOR_RECORD_H

#include <stddef.h>

#include "bpf/kernel_event.h"
#include "event/event.h"

/* A view of bytes that the ring, or whoever copied them, owns. header->kind tells which of the others is meant. */
struct record {
	union {
		const struct kernel_header *header;
		const struct kernel_exec *exec; /* also PROCESS */
		const struct kernel_exec_failed *exec_failed;
		const struct kernel_fork *fork;
		const struct kernel_exit *exit;
		const struct kernel_open *open;
		const struct kernel_network *network;
		const struct kernel_received *received;
		const struct kernel_disconnect *disconnect;
		const struct kernel_socket *socket;
		const struct kernel_tamper *tamper;
		const struct kernel_cgroup_left *cgroup_left;
		const struct kernel_nested *nested;
		const struct kernel_change *change;
		const struct kernel_deed *deed;
		const struct kernel_flow *flow;
		const struct kernel_sample *sample; /* also ANSWER */
	};
};

/*
 * Checks `length` bytes, 8-byte aligned, and makes a record of them.
 * Returns 0, or -EBADMSG with `*why` set to a literal that says what is wrong.
 */
int record_check(struct record *record, const void *bytes, size_t length, const char **why);

/* A string of a checked record. */
struct text record_text(const struct record *record, struct kernel_string string);

/*
 * The action of the events that come of a kind; 0 for PROCESS and NESTED, of which none comes. Of a SAMPLE or ANSWER comes one where it
 * is of a DNS answer alone.
 */
enum event_action record_action(enum kernel_kind kind);

#endif
