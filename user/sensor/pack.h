/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor's own rules, the files of deploy/rules, as they were when it was built. */
#ifndef TAFFRAIL_SENSOR_PACK_H
#define TAFFRAIL_SENSOR_PACK_H

struct pack_file {
	const char *name; /* "deploy/rules/execution.yaml" */
	const unsigned char *begin, *end;
};

/* In the order of their names; the last has no name. Made by scripts/pack-rules.sh. */
extern const struct pack_file pack_files[];

#endif
