/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a container's users and groups, by its own /etc/passwd and /etc/group (passwd(5), group(5)), which are the
 * container's to write: names for people and for rules, no proof.
 */
#ifndef TAFFRAIL_SENSOR_USERS_H
#define TAFFRAIL_SENSOR_USERS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

enum {
	USERS_FILE_MAX = 256 << 10, /* a longer file is not read */
	USERS_LIST_MAX = 16 << 10,  /* bytes of a list; what comes after that has no name */
};

/* Appends "ID:NAME\n" for each line of a passwd or group file whose third part is a number. */
void users_parse(struct text file, struct buffer *list);

/*
 * Reads both files of the container whose root directory is `root`, as this process names it; links in it lead nowhere
 * else (rooted.h). A file that is not there leaves its list empty.
 */
void users_read(const char *root, struct buffer *users, struct buffer *groups);

/* The name of an id in such a list; empty where it has none. */
struct text users_find(struct text list, uint32_t id);

#endif
