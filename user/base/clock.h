/* SPDX-License-Identifier: Apache-2.0 */
/* Two clocks: boot time, which the kernel's records carry and which never steps, and Unix time, which people read. */
#ifndef TAFFRAIL_CLOCK_H
#define TAFFRAIL_CLOCK_H

#include <stdint.h>

enum { CLOCK_TEXT_SIZE = 31 }; /* 2026-01-02T03:04:05.123456789Z and its NUL */

/* CLOCK_BOOTTIME in nanoseconds. */
uint64_t clock_boottime_ns(void);
/* CLOCK_REALTIME in nanoseconds. */
uint64_t clock_unix_ns(void);
/* The Unix time of boot, in nanoseconds: changes when the clock is set, so ask again now and then. */
uint64_t clock_unix_offset_ns(void);

/* RFC 3339 with nine digits, in UTC: `text` gets 30 characters and a NUL. Times of one second in a row are cheap. */
void clock_format(char text[CLOCK_TEXT_SIZE], uint64_t unix_ns);

#endif
