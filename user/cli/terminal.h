/* SPDX-License-Identifier: Apache-2.0 */
/* What a command may expect of whoever reads its output. */
#ifndef TAFFRAIL_CLI_TERMINAL_H
#define TAFFRAIL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is stdout a terminal, and does nothing (NO_COLOR, TERM=dumb) speak against colours? */
static inline bool terminal_has_colour(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe) one thread */

	return isatty(STDOUT_FILENO) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}

#endif
