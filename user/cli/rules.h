/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail rules: are rules right, and what do they compile to? */
#ifndef TAFFRAIL_CLI_RULES_H
#define TAFFRAIL_CLI_RULES_H

/* `argv[0]` is the command, "rules". Returns the exit code. */
int rules_run(int argc, char **argv);

#endif
