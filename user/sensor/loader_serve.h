/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that holds the rights over BPF, taffrail-loader: it answers what loader_call.h lets be asked, one request after
 * another, and ends with the worker, whose child it is.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_SERVE_H
#define TAFFRAIL_SENSOR_LOADER_SERVE_H

#include "sensor/loader.h"

/*
 * In the child: serves what comes from `socket`, till its other end is closed. At the first request that is wrong it ends:
 * whoever sends that is no worker any more. `counters` is shared with the worker, and has room for KERNEL_LANES of each CPU.
 */
_Noreturn void loader_serve(int socket, const struct loader_options *options, struct kernel_counters *counters);

#endif
