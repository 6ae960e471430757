/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail p2p: who in a capture takes part in a network of peers, and why it is said. */
#ifndef TAFFRAIL_CLI_P2P_H
#define TAFFRAIL_CLI_P2P_H

#include "base/buffer.h"
#include "detect/p2p.h"

/* `argv[0]` is the command. Returns the exit code. */
int p2p_run(int argc, char **argv);

/* Appends one document, without a line's end. */
void p2p_write_json(struct buffer *out, const struct event_address *address, const struct p2p_report *report);
/* Appends lines for a person. */
void p2p_write_lines(struct buffer *out, const struct event_address *address, const struct p2p_report *report);

#endif
