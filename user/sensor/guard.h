/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on the sensor itself: what it shuts out, what it notices, and what it says then. docs/threats.md lists them. */
#ifndef TAFFRAIL_SENSOR_GUARD_H
#define TAFFRAIL_SENSOR_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"
#include "sensor/record.h"

enum { GUARD_MESSAGE = 256 };

/*
 * Nobody without CAP_SYS_PTRACE may trace this process or read its memory any more, whatever user he is, and it dumps no
 * core. The signals that its canary causes are blocked from here on.
 */
void guard_harden(void);

/* An alert in the making: the rule and its message. */
struct guard_alert {
	struct event_rule rule;
	char message[GUARD_MESSAGE];
};

/* The process that traces the one of `fd`, which is guard_open's (TracerPid), or 0; -errno if that cannot be told. */
int guard_open(pid_t pid);
pid_t guard_tracer(int fd);
/* The same, in the text of a /proc/PID/status. */
pid_t guard_parse_tracer(struct text status);

/* The alerts. guard_signal: of a TAMPER record; guard_cgroup_left: of the event of a CGROUP_LEFT. */
void guard_cgroup_left(struct guard_alert *alert, const struct event *event);
void guard_signal(struct guard_alert *alert, const struct record *record);
void guard_traced(struct guard_alert *alert, pid_t tracer);
void guard_forged(struct guard_alert *alert);
/* A collector claims that event of this sensor, which has not made it. */
void guard_claimed(struct guard_alert *alert, uint64_t sequence);
void guard_detached(struct guard_alert *alert, const char *hook, const char *promise);

#endif
