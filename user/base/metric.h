/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: one row of a table describes each, for the page that Prometheus reads (text format 0.0.4) and for the
 * documentation. A page is written family by family: metric_begin, then all its samples.
 */
#ifndef TAFFRAIL_METRIC_H
#define TAFFRAIL_METRIC_H

#include <stdint.h>

#include "base/buffer.h"

enum { METRIC_LABELS_MAX = 4 };

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_spec {
	const char *name; /* with its unit; a counter's ends in _total; NULL ends a table */
	enum metric_type type;
	const char *help;                      /* one sentence */
	const char *labels[METRIC_LABELS_MAX]; /* in the order in which samples give their values */
};

/* Begins a family, of which samples follow. What does not fit into memory is missing at the end: `page->failed`. */
void metric_begin(struct buffer *page, const struct metric_spec *spec);

/* A sample. `values`: of the labels, NUL-terminated, any bytes (what is no UTF-8 is replaced); NULL: there are no labels. */
void metric_count(struct buffer *page, const struct metric_spec *spec, const char *const *values, uint64_t number);
void metric_number(struct buffer *page, const struct metric_spec *spec, const char *const *values, double number);

/* A family of one sample without labels. */
void metric_one(struct buffer *page, const struct metric_spec *spec, uint64_t number);

/* "counter", "gauge". */
const char *metric_type_name(enum metric_type type);

#endif
