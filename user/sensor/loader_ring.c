/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

/* As the kernel writes them (kernel/bpf/ringbuf.c): a record's length with two bits, its page, then the record. */
enum { RECORD_HEAD = 8 };
#define RECORD_BUSY (1u << 31)
#define RECORD_DISCARDED (1u << 30)

static void *map(size_t size, int protection, int fd, off_t at)
{
	void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, at);

	return memory == MAP_FAILED ? NULL : memory;
}

int ring_open(struct ring *ring, int fd, size_t size)
{
	long page = sysconf(_SC_PAGESIZE);

	if (size < (size_t)page || size & (size - 1))
		return -EINVAL;
	ring->size = size;
	ring->consumed = map((size_t)page, PROT_READ | PROT_WRITE, fd, 0);
	if (!ring->consumed)
		return -errno;
	/* The data twice, one behind the other: a record that goes on at the start is in one piece. */
	ring->produced = map((size_t)page + 2 * size, PROT_READ, fd, page);
	if (!ring->produced)
		return -errno;
	ring->data = (const char *)ring->produced + page;
	return 0;
}

size_t ring_read(struct ring *ring, loader_callback *callback, void *context, size_t limit)
{
	size_t given = 0;
	int result = 0;

	if (ring->reading)
		return 0;
	ring->reading = true;
	while (given < limit && result >= 0) {
		unsigned long at = atomic_load_explicit(ring->consumed, memory_order_relaxed);
		const char *record = ring->data + (at & (ring->size - 1));
		unsigned long held;
		uint32_t head, length;

		/* What a former life left may say anything: between records, and not past the end, is where it can be. */
		held = atomic_load_explicit(ring->produced, memory_order_acquire) - at;
		if (at % RECORD_HEAD || held == 0 || held > ring->size)
			break;
		head = atomic_load_explicit((const _Atomic uint32_t *)(const void *)record, memory_order_acquire);
		length = head & ~(RECORD_BUSY | RECORD_DISCARDED);
		if (head & RECORD_BUSY || length > ring->size - RECORD_HEAD)
			break;
		if (!(head & RECORD_DISCARDED)) {
			result = callback(context, record + RECORD_HEAD, length);
			given++;
		}
		at += (length + RECORD_HEAD + 7ul) & ~7ul;
		atomic_store_explicit(ring->consumed, at, memory_order_release);
	}
	ring->reading = false;
	return given;
}

size_t ring_holds(const struct ring *ring)
{
	return atomic_load(ring->produced) - atomic_load(ring->consumed);
}

void ring_close(struct ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (ring->consumed)
		munmap(ring->consumed, page);
	if (ring->produced)
		munmap(ring->produced, page + 2 * ring->size);
	*ring = (struct ring){0};
}
