/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sensor takes the place of another without a moment in which none looks: the new one has its hooks attached already when it waits
 * for the spool, and the old one says at its end up to what time it has told what happened. What was before is the old one's, what came
 * after the new one's.
 *
 * A file in the spool's directory, "relief": whoever waits holds its lock; whoever ends writes its time into it.
 */
#ifndef TAFFRAIL_SENSOR_RELIEF_H
#define TAFFRAIL_SENSOR_RELIEF_H

#include <stdbool.h>
#include <stdint.h>

/* Waits in the queue of the spool `directory`, which is one place long. A descriptor; -EBUSY: somebody waits, and did so for 100 ms; or -errno. */
int relief_wait(const char *directory);

/*
 * The old one has gone: up to what time (boot time, ns) it has told what happened; 0: it did not say, or said a time that is still to
 * come, which is logged. Nobody waits any more. Takes the descriptor; `directory` as above.
 */
uint64_t relief_take(int waiting, const char *directory);

/* For the old one, before it detaches its hooks. True: somebody waits, and will tell what comes after `time_ns`. */
bool relief_tell(const char *directory, uint64_t time_ns);

#endif
