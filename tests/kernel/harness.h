/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sensor, one cgroup named like a container's (and two beside it), one deed in it, and the documents that came of it.
 *
 * No container runtime is needed: the kernel side decides by the cgroup's name. So these tests run on any kernel that
 * the sensor runs on, also in a guest that has nothing else.
 */
#ifndef TAFFRAIL_TESTS_KERNEL_HARNESS_H
#define TAFFRAIL_TESTS_KERNEL_HARNESS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/documents.h"

enum watch_mode { WATCH_V2, WATCH_V1, WATCH_OUTSIDE };

/* Words that the sensor is given beside --stdout: at most 16, up to NULL. Before watch. */
void sensor_arguments(const char *const *arguments);

/*
 * Starts the sensor (TAFFRAIL_SENSOR, or build/bin/taffrail-sensor) with --stdout and the hooks of TAFFRAIL_HOOKS, if
 * that is set, forks a child into a fresh cgroup, runs `deed` there, waits for its end, ends the sensor with SIGTERM, and
 * keeps the documents of that cgroup's id and the sensor's own of what it left out.
 * Returns the deed's return value, 0 to 255. Everything that it made is removed, also when an assertion fails later.
 */
int watch(int (*deed)(void *argument), void *argument);
/* The same in a cgroup of the v1 pids hierarchy, or one that is not named like a container's. */
int watch_in(enum watch_mode mode, int (*deed)(void *argument), void *argument);
/* The same, but the deed begins before the sensor, and goes on when await_sensor returns. */
int watch_early(int (*deed)(void *argument), void *argument);
void await_sensor(void);

/* Was the sensor told to take function hooks (TAFFRAIL_HOOKS)? They see what a call did, not what was asked for. */
bool watch_by_function(void);

/*
 * Before watch: every document, of whatever container or of none (losses), is shown to `wanted`, and kept only if that
 * says so. For tests of more documents than memory holds.
 */
void watch_filter(bool (*wanted)(struct json_object *document));

/*
 * After watch: is `told` all of what was `made`? Or does no more lack than the kernel passed over, as the sensor declared
 * (events_lost, stage kernel: since 7.0 tracepoints can be preempted)? Only with a sensor of the test's own: one that goes on
 * may declare it after the test.
 */
bool watch_all_told(long told, long made);

/* How much the kernel passed over, of all calls of the machine. */
long watch_passed_over(void);

/* The cgroups of a watch: documents of both containers are kept. For deeds, and for the test after them. */
enum place { PLACE_CONTAINER, PLACE_SECOND, PLACE_OUTSIDE };
/* The directory of the cgroup. */
const char *place_cgroup(enum place place);
/* The container's id; "" outside. */
const char *place_id(enum place place);
/* Moves the calling process there. */
void place_enter(enum place place);

/* The sensor's process, for deeds. */
int harness_sensor(void);

/* open(2) and creat(2) by their own numbers, where the machine has them; else as its libc makes them. */
int old_open(const char *path, int flags, unsigned int mode);
int old_creat(const char *path, unsigned int mode);

/* The documents with this event.action, in order; all if NULL. */
size_t documents(const char *action, struct json_object **found, size_t room);

/*
 * The one document with this action whose value at `path` is `value`; fails the test, printing what there was, if
 * there is none or more than one.
 */
struct json_object *one(const char *action, const char *path, const char *value);
/* How many documents with this action have `value` at `path`. */
size_t count(const char *action, const char *path, const char *value);

/* Fails the test unless the value at `path` is `value` ("" means absent). */
void expect(struct json_object *document, const char *path, const char *value);

#endif
