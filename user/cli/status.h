/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail status: does what the kernel saw balance with what is stored and what is declared lost? */
#ifndef TAFFRAIL_CLI_STATUS_H
#define TAFFRAIL_CLI_STATUS_H

/* `argv[0]` is the command, "status". Returns the exit code. */
int status_run(int argc, char **argv);

#endif
