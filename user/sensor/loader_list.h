/* SPDX-License-Identifier: Apache-2.0 */
/* What an iterator's program tells: the loader's own. */
#ifndef TAFFRAIL_SENSOR_LOADER_LIST_H
#define TAFFRAIL_SENSOR_LOADER_LIST_H

#include "sensor/loader.h"

struct bpf_program;

/* Of an iterator that this program writes, the caller's; -errno. Whoever reads it needs no rights. */
int loader_iterator(struct bpf_program *program);

/* Gives each record that the iterator writes to `callback`. Returns how many, or -errno. */
ssize_t loader_list(int fd, loader_callback *callback, void *context);

#endif
