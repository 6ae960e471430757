/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of this process, under the names that Prometheus's own libraries give it. */
#ifndef TAFFRAIL_HTTP_PROCESS_H
#define TAFFRAIL_HTTP_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/metric.h"

/* The table, which ends with a NULL name. */
extern const struct metric_spec http_process_metrics[];

/* The same of another process: CPU time in seconds, resident bytes. False: it is gone, or its /proc is not to be seen. */
bool http_process_usage(pid_t pid, double *cpu_s, double *resident_bytes);

/* Appends them; what cannot be read is left out. */
void http_process_page(struct buffer *page);

#endif
