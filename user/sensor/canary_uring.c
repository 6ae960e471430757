/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the canary does through io_uring, by its bare system calls. All of it runs in the child. Where io_uring is switched
 * off, or a filter of system calls refuses it, io_uring_setup fails and the deed is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sensor/canary_inside.h"

/* One request at a time; of completions there is room for two. */
struct ring {
	int fd;
	struct io_uring_params params;
	unsigned char *submissions, *completions;
	struct io_uring_sqe *entry;
};

static size_t submissions_size(const struct ring *ring)
{
	return ring->params.sq_off.array + ring->params.sq_entries * sizeof(__u32);
}

static size_t completions_size(const struct ring *ring)
{
	return ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe);
}

static _Atomic __u32 *word(unsigned char *memory, __u32 offset)
{
	return (_Atomic __u32 *)(void *)(memory + offset);
}

static void *map(const struct ring *ring, size_t size, unsigned long long what)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, (off_t)what);

	return memory == MAP_FAILED ? NULL : memory;
}

static void ring_close(struct ring *ring)
{
	if (ring->submissions)
		munmap(ring->submissions, submissions_size(ring));
	if (ring->completions)
		munmap(ring->completions, completions_size(ring));
	if (ring->entry)
		munmap(ring->entry, ring->params.sq_entries * sizeof(*ring->entry));
	close(ring->fd);
}

static int ring_open(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0)
		return -errno;
	ring->submissions = map(ring, submissions_size(ring), IORING_OFF_SQ_RING);
	ring->completions = map(ring, completions_size(ring), IORING_OFF_CQ_RING);
	ring->entry = map(ring, ring->params.sq_entries * sizeof(*ring->entry), IORING_OFF_SQES);
	if (ring->submissions && ring->completions && ring->entry)
		return 0;
	ring_close(ring);
	return -ENOMEM;
}

/* Submits a request and waits until `wait` have completed. 0 or -errno. */
static int ring_submit(struct ring *ring, const struct io_uring_sqe *request, unsigned int wait)
{
	_Atomic __u32 *tail = word(ring->submissions, ring->params.sq_off.tail);

	*ring->entry = *request;
	atomic_store(word(ring->submissions, ring->params.sq_off.array), 0);
	atomic_fetch_add(tail, 1);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0) < 0)
		return -errno;
	return 0;
}

/* One request by a ring of its own; returns its result. */
static int ring_do(const struct io_uring_sqe *request)
{
	const struct io_uring_cqe *completion;
	struct ring ring;
	int result = ring_open(&ring);

	if (result < 0)
		return result;
	result = ring_submit(&ring, request, 1);
	if (result == 0 && atomic_load(word(ring.completions, ring.params.cq_off.tail)) == 0)
		result = -EIO;
	if (result == 0) {
		completion = (const void *)(ring.completions + ring.params.cq_off.cqes);
		result = completion->res;
	}
	ring_close(&ring);
	return result;
}

int ring_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	const struct io_uring_sqe request = {
		.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)address, .off = length};

	return ring_do(&request);
}

int ring_accept(int fd)
{
	const struct io_uring_sqe request = {.opcode = IORING_OP_ACCEPT, .fd = fd, .accept_flags = O_CLOEXEC};

	return ring_do(&request);
}

static struct io_uring_sqe open_request(const struct canary_deed *deed)
{
	return (struct io_uring_sqe){.opcode = IORING_OP_OPENAT,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)deed->text,
		.open_flags = deed->flags | O_CLOEXEC,
		.user_data = (uintptr_t)deed};
}

int deed_uring_open(struct canary_place *place, struct canary_deed *deed, int variant)
{
	struct io_uring_sqe request;
	int fd;

	(void)variant;
	memcpy(deed->path, place->exe, sizeof(deed->path));
	deed_text(deed, "/proc/self/././exe");
	deed->flags = O_RDONLY | O_NONBLOCK;
	request = open_request(deed);
	fd = ring_do(&request);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Two requests for nothing fill the queue of completions: what comes of the third, the open, finds no room there. */
int deed_uring_overflow(struct canary_place *place, struct canary_deed *deed, int variant)
{
	const struct io_uring_sqe nothing = {.opcode = IORING_OP_NOP};
	struct io_uring_sqe request;
	struct ring ring;
	int error = ring_open(&ring);

	(void)variant;
	if (error)
		return error;
	memcpy(deed->path, place->exe, sizeof(deed->path));
	deed_text(deed, "/proc/self/./././exe");
	deed->flags = O_RDONLY | O_NONBLOCK;
	request = open_request(deed);
	for (__u32 i = 0; i < ring.params.cq_entries && !error; i++)
		error = ring_submit(&ring, &nothing, 1);
	if (!error)
		error = ring_submit(&ring, &request, 0);
	/* A thread of the kernel's may have to open it. */
	for (int i = 0; !error; i++) {
		if (atomic_load(word(ring.submissions, ring.params.sq_off.flags)) & IORING_SQ_CQ_OVERFLOW)
			break;
		if (i == CANARY_PATIENCE_MS)
			error = -ETIME;
		(void)poll(NULL, 0, 1);
	}
	ring_close(&ring);
	return error;
}
