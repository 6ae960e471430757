/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of another root directory: the host's, seen from a container. Its symbolic links are followed as the host follows
 * them: an absolute one (/var/run → /run) starts at that root, and none leads out of it.
 */
#ifndef TAFFRAIL_ROOTED_H
#define TAFFRAIL_ROOTED_H

#include <limits.h>
#include <stddef.h>

#include "base/text.h"

/*
 * Opens `path` (absolute, below `root`; "" is /) for reading, by openat2 (Linux 5.6); `flags`: O_DIRECTORY, or 0 for a regular file:
 * what is neither is never opened (-EINVAL), and a file is opened by /proc (-ENOTSUP without). A link at its end is not followed (-ELOOP). Where a filter of system calls refuses openat2, links before the end are followed by this process's own root.
 * The descriptor, or -errno.
 */
int rooted_open(const char *root, const char *path, int flags);

/*
 * Reads a regular file to its end. 0, or -errno: -EINVAL if it is no regular file, -EFBIG above `limit` bytes; then there is
 * nothing to free.
 */
int rooted_read(const char *root, const char *path, size_t limit, char **bytes, size_t *length);

/*
 * Where `path` is, as this process names it: `root` and what it leads to there, all links followed. What does not exist yet
 * stays as it is said. 0 or -ENAMETOOLONG.
 */
int rooted_resolve(const char *root, const char *path, char whole[PATH_MAX]);

#endif
