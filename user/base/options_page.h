/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAFFRAIL_OPTIONS_PAGE_H
#define TAFFRAIL_OPTIONS_PAGE_H

#include "base/options.h"

/* Prints, as Markdown, the program's "options" and keys, or its "metrics". False: it has no such page. */
bool options_page(const struct program_spec *program, const char *of);

#endif
