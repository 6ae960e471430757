/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring by its bare system calls: as much as the tests need, and nothing between them and the kernel. */
#ifndef TAFFRAIL_TESTS_KERNEL_URING_H
#define TAFFRAIL_TESTS_KERNEL_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>

struct uring {
	int fd;
	unsigned int flags; /* IORING_SETUP_* */
	unsigned int *sq_head, *sq_tail, *sq_mask, *sq_array, *sq_flags;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned int pending; /* taken, not submitted */
};

/* 0, or -1 with errno. `cq_entries` 0: as many as the kernel likes. */
int uring_open(struct uring *ring, unsigned int entries, unsigned int cq_entries, unsigned int flags);
/* The next free entry, zeroed but for its opcode, descriptor, flags (IOSQE_*) and user_data. */
struct io_uring_sqe *uring_take(struct uring *ring, int opcode, int fd, unsigned int flags, uint64_t user_data);
/* Submits what was taken and waits for `wait` completions. 0, or -1 with errno. */
int uring_submit(struct uring *ring, unsigned int wait);
/* Takes one completion; waits at least 20 seconds for it. False: none came. */
bool uring_completion(struct uring *ring, struct io_uring_cqe *out);
/* The ring's file in /proc/self/fdinfo; -1 where that does not list the completions that found the queue full (before 5.16). */
int uring_fdinfo(const struct uring *ring);
/*
 * Waits up to 20 seconds until `number` completions are there that nobody has taken, with those that found the queue full.
 * It opens nothing meanwhile. False: they did not come.
 */
bool uring_await(const struct uring *ring, int fdinfo, unsigned int number);
/* Submits the one entry that was taken and returns its result. */
int uring_do(struct uring *ring);

#endif
