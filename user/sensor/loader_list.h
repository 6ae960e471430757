/* SPDX-License-Identifier: Apache-2.0 */
/* What an iterator's program tells: the loader's own. */
#ifndef TAFFRAIL_SENSOR_LOADER_LIST_H
#define TAFFRAIL_SENSOR_LOADER_LIST_H

#include "sensor/loader.h"

struct bpf_program;

/* Gives each record that the iterator writes to `callback`. Returns how many, or -errno. */
ssize_t loader_list(struct bpf_program *program, loader_callback *callback, void *context);

#endif
