/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter of system calls (seccomp(2)), made rule by rule: the first that fits decides. Calls by the tables of other
 * machines (32-bit, x32) have other numbers: they are judged by one rule of their own.
 */
#ifndef TAFFRAIL_FILTER_H
#define TAFFRAIL_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

enum { FILTER_MAX = 640 };

struct filter {
	struct sock_filter code[FILTER_MAX];
	size_t length;
	int error; /* -E2BIG: more rules than fit */
};

/* `foreign`: what becomes of other tables' calls (SECCOMP_RET_…). On amd64 32-bit calls of the number `except` pass; -1: none. */
void filter_begin(struct filter *filter, uint32_t foreign, int except);

void filter_call(struct filter *filter, int call, uint32_t action);

/* A call of which argument `index` (from 0; its lower 32 bits), of which the bits in `mask`, are `value`. */
void filter_argument(
	struct filter *filter, int call, unsigned int index, uint32_t mask, uint32_t value, uint32_t action);

/* For this thread, those that it makes, and those that there are. `other`: what becomes of all other calls. 0 or -errno. */
int filter_install(struct filter *filter, uint32_t other);

#endif
