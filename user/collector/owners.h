/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a host is: a host.id belongs to the certificate name under which something of it was stored first, and no other may
 * write it, until an operator releases it.
 *
 * DIR/owners is a text, a line each: NAME, a blank, HOST. HOST stands as host_text.h says. It is appended to, and written anew only where the disk failed: whoever takes out a line while no collector runs has released
 * that host. OWNERS_MAX hosts at most, and of one name as many as owners_open says: that one certificate went astray must not
 * take all the room there is. From four fifths of either on the log has a warning.
 */
#ifndef TAFFRAIL_COLLECTOR_OWNERS_H
#define TAFFRAIL_COLLECTOR_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { OWNERS_MAX = 65536 };

struct owners;

/*
 * Opens or makes DIR/owners and reads it. 0, or -errno with a sentence in `why`: a line that cannot be read is -EINVAL, for
 * a lost line would give its host away; a last line without its end was cut short while it was written, and is cut off.
 * `max_per_name`: hosts; of a name that has more already all stay.
 */
int owners_open(struct owners **owners, const char *data, size_t max_per_name, char *why, size_t why_size);

/* Whose the host is, or NULL: nobody's yet. Good until owners_close. */
const char *owners_of(const struct owners *owners, struct text host);

/* Makes a host that is nobody's that name's. 0; -ENOSPC: OWNERS_MAX; -EUSERS: the
 * name's share; -ENOMEM; or -errno from the disk, and nothing changed. */
int owners_claim(struct owners *owners, struct text host, const char *name);

struct owners_counters {
	uint64_t hosts;        /* gauge */
	uint64_t names;        /* gauge */
	uint64_t most_of_name; /* gauge: hosts of the name that has most */
	uint64_t over_share;   /* claims that were refused because the name has its share */
	uint64_t over_all;     /* ... because there is no room at all */
};
void owners_counters(const struct owners *owners, struct owners_counters *counters);

/*
 * What was claimed is on the disk once this returns 0; else -errno. Does nothing where nothing was claimed. Once an fsync has
 * failed the file is written anew, now or the next time.
 */
int owners_sync(struct owners *owners);
/* Did the last one fail? */
bool owners_failed(const struct owners *owners);

/* NULL is allowed. */
void owners_close(struct owners *owners);

#endif
