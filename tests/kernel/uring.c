/* SPDX-License-Identifier: Apache-2.0 */
#include "uring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int uring_open(struct uring *ring, unsigned int entries, unsigned int cq_entries, unsigned int flags)
{
	struct io_uring_params params = {
		.flags = flags | (cq_entries ? IORING_SETUP_CQSIZE : 0), .cq_entries = cq_entries};
	size_t sq, cq;
	char *queues;

	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, entries, &params);
	if (ring->fd < 0)
		return -1;
	ring->flags = flags;
	sq = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	queues = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
		IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (queues == MAP_FAILED || (void *)ring->sqes == MAP_FAILED)
		return -1;
	ring->sq_head = (void *)(queues + params.sq_off.head);
	ring->sq_tail = (void *)(queues + params.sq_off.tail);
	ring->sq_mask = (void *)(queues + params.sq_off.ring_mask);
	ring->sq_flags = (void *)(queues + params.sq_off.flags);
	ring->sq_array = (void *)(queues + params.sq_off.array);
	ring->cq_head = (void *)(queues + params.cq_off.head);
	ring->cq_tail = (void *)(queues + params.cq_off.tail);
	ring->cq_mask = (void *)(queues + params.cq_off.ring_mask);
	ring->cqes = (void *)(queues + params.cq_off.cqes);
	return 0;
}

struct io_uring_sqe *uring_take(struct uring *ring, int opcode, int fd, unsigned int flags, uint64_t user_data)
{
	unsigned int at = (*ring->sq_tail + ring->pending) & *ring->sq_mask;
	struct io_uring_sqe *sqe = &ring->sqes[at];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (uint8_t)opcode;
	sqe->fd = fd;
	sqe->flags = (uint8_t)flags;
	sqe->user_data = user_data;
	ring->sq_array[at] = at;
	ring->pending++;
	return sqe;
}

int uring_submit(struct uring *ring, unsigned int wait)
{
	unsigned int count = ring->pending, enter = wait ? IORING_ENTER_GETEVENTS : 0;

	__atomic_store_n(ring->sq_tail, *ring->sq_tail + count, __ATOMIC_RELEASE);
	ring->pending = 0;
	if (ring->flags & IORING_SETUP_SQPOLL) {
		if (__atomic_load_n(ring->sq_flags, __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
			enter |= IORING_ENTER_SQ_WAKEUP;
		if (!enter)
			return 0;
	}
	return syscall(SYS_io_uring_enter, ring->fd, count, wait, enter, NULL, 0) < 0 ? -1 : 0;
}

bool uring_completion(struct uring *ring, struct io_uring_cqe *out)
{
	struct timespec pause = {.tv_nsec = 1000 * 1000};

	for (int i = 0; i < 20000; i++) {
		unsigned int head = *ring->cq_head;

		if (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
			*out = ring->cqes[head & *ring->cq_mask];
			__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
			return true;
		}
		/* Runs what waits for this task, and fetches what found the queue full. */
		syscall(SYS_io_uring_enter, ring->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
		nanosleep(&pause, NULL);
	}
	return false;
}

static void read_fdinfo(int fdinfo, char *text, size_t room)
{
	ssize_t length = pread(fdinfo, text, room - 1, 0);

	text[length > 0 ? length : 0] = '\0';
}

int uring_fdinfo(const struct uring *ring)
{
	char path[64], text[16384];
	int fdinfo;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring->fd);
	fdinfo = open(path, O_RDONLY | O_CLOEXEC);
	read_fdinfo(fdinfo, text, sizeof(text));
	if (strstr(text, "\nCqOverflowList:"))
		return fdinfo;
	close(fdinfo);
	return -1;
}

/* One line each; the kernel lists a completion after its tracepoint. */
static unsigned int overflown(int fdinfo)
{
	static const char line[] = "\n  user_data=";
	char text[16384];
	unsigned int number = 0;

	read_fdinfo(fdinfo, text, sizeof(text));
	for (const char *at = text; (at = strstr(at, line)); at += sizeof(line) - 1)
		number++;
	return number;
}

bool uring_await(const struct uring *ring, int fdinfo, unsigned int number)
{
	struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	for (int i = 0; i < 2000; i++) {
		unsigned int queued = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - *ring->cq_head;

		if (queued + overflown(fdinfo) >= number)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

int uring_do(struct uring *ring)
{
	struct io_uring_cqe event;

	if (uring_submit(ring, 0) < 0 || !uring_completion(ring, &event))
		return -1000;
	return event.res;
}
