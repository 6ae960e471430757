/* SPDX-License-Identifier: Apache-2.0 */
/* A loader from inside: loader.c reads the files, link.c brings names together, build.c makes the set. */
#ifndef TAFFRAIL_DETECT_LOADER_H
#define TAFFRAIL_DETECT_LOADER_H

#include "detect/definitions.h"

struct rules_loader {
	struct arena arena; /* the definitions' and the report's */
	struct sources sources;
	struct definitions definitions;
};

/*
 * link.c: puts lists' items where their names stand in all conditions, parses them, and finds the macros that they name.
 * `expressions` gets those of the rules, NULL for a rule that has none because of a problem, which was noted; a rule that
 * names what is not there is marked as broken.
 */
void loader_link(struct rules_loader *loader, struct expression **expressions);

/* build.c: makes the set. 0, -EINVAL or -ENOMEM. */
int loader_build(struct rules_loader *loader, struct rules *rules, struct expression **expressions,
	const struct rules_options *options);

#endif
