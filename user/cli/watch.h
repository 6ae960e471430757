/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail watch: events as they happen, one line each, or as ECS JSON. */
#ifndef TAFFRAIL_CLI_WATCH_H
#define TAFFRAIL_CLI_WATCH_H

/* Runs until Ctrl-C, the end of the collector, or of stdout's reader. `argv[0]` is the command. Returns the exit code. */
int watch_run(int argc, char **argv);

#endif
