/* SPDX-License-Identifier: Apache-2.0 */
/* Deeds that stand in a file of their own, or are part of another. Each returns an exit code. */
#ifndef TAFFRAIL_DEEDS_H
#define TAFFRAIL_DEEDS_H

/* IP PORT: does not wait for an answer. */
int call(char **words);
/* NAME IP PORT: the same, by a name that has been asked for. */
int call_by_name(char **words);

#endif
