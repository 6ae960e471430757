/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor's one event thread, from the rings to the stream. */
#ifndef TAFFRAIL_SENSOR_PIPELINE_H
#define TAFFRAIL_SENSOR_PIPELINE_H

#include "sensor/settings.h"

struct http_board;
struct pipeline;

/*
 * First of all, while there is one thread: the loader becomes a process of its own, so that the caller can give up its rights before
 * anything of strangers is read. A replay has none. Returns 0, or -errno after it has logged one sentence that says what is missing and what to do.
 */
int pipeline_part(struct pipeline **pipeline, const struct settings *settings);

/*
 * Opens every stage. Returns 0, or -errno after it has logged one sentence that says what is missing and what to do; then the
 * pipeline is closed. `board`: where its health and metrics are shown; NULL: nowhere.
 */
int pipeline_open(struct pipeline *pipeline, struct http_board *board);

/*
 * Carries events until pipeline_stop, then drains the rings and everything that waits. Returns 0, or -errno when the
 * stdout's reader has gone.
 */
int pipeline_run(struct pipeline *pipeline);

/* Asks pipeline_run to end. Safe in a signal handler. */
void pipeline_stop(struct pipeline *pipeline);

/* Asks for the configuration and the rules to be read again. Safe in a signal handler. */
void pipeline_reload(struct pipeline *pipeline);

/* How often the configuration was read again. From any thread. */
void pipeline_reloads(const struct pipeline *pipeline, struct config_reloads *counters);

void pipeline_close(struct pipeline *pipeline);

#endif
