/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file of ECS lines holds already: the ids behind the place that an output noted last. A collector that was killed
 * had written more than it had noted, and does not write that again.
 */
#ifndef TAFFRAIL_COLLECTOR_SINKS_WRITTEN_H
#define TAFFRAIL_COLLECTOR_SINKS_WRITTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/numbers.h"
#include "base/text.h"

enum { WRITTEN_MAX = 4 << 20 }; /* lines; of what stands behind more than these some may be written again */

/* All zero: nothing. */
struct written {
	struct numbers ids; /* their hashes, ascending */
};

/*
 * Reads the lines from byte `from` on (the start of one, or the end). `whole` becomes the end of the last line that has
 * one. 0 or -errno.
 */
int written_read(struct written *written, const char *path, uint64_t from, uint64_t *whole);

/* Is the document with this line's event.id among them? */
bool written_has(const struct written *written, struct text line);

/* May run twice. */
void written_free(struct written *written);

#endif
