/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the families share: a folder of their own, and a sensor that was asked for some kinds. */
#ifndef TAFFRAIL_TESTS_KERNEL_FAMILY_H
#define TAFFRAIL_TESTS_KERNEL_FAMILY_H

#include <json-c/json.h>

/* A folder below /tmp, empty when a test begins; without a link in its path. */
extern char family_folder[];
void family_set_up(void);
void family_tear_down(void);

/* The sensor's `record:` asks for these kinds, as in "chmod, rename". Before watch. */
void family_ask(const char *kinds);

/* The same, and it judges by rules: the YAML of one file. Of the rules that an event meets each is told. */
void family_judge(const char *kinds, const char *rules);

/* A path below the folder; good for some more calls. */
const char *family_path(const char *name);

/* The one document that came by this system call. */
struct json_object *by_call(const char *action, const char *call);

#endif
