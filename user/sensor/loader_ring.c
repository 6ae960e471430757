/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/libbpf.h>

static int give_record(void *context, void *bytes, size_t size)
{
	struct ring *ring = context;
	int result = ring->callback(ring->context, bytes, size);

	return --ring->left == 0 || result < 0 ? -ECANCELED : 0;
}

int ring_open(struct ring *ring, int fd)
{
	long page = sysconf(_SC_PAGESIZE);
	void *consumed = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, 0);
	void *produced = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, page);

	ring->consumed = consumed == MAP_FAILED ? NULL : consumed;
	ring->produced = produced == MAP_FAILED ? NULL : produced;
	if (!ring->consumed || !ring->produced)
		return -errno;
	ring->reader = ring_buffer__new(fd, give_record, ring, NULL);
	return ring->reader ? 0 : -errno;
}

size_t ring_read(struct ring *ring, loader_callback *callback, void *context, size_t limit)
{
	if (ring->reading || limit == 0)
		return 0;
	ring->callback = callback;
	ring->context = context;
	ring->left = limit;
	ring->reading = true;
	(void)ring_buffer__consume(ring->reader);
	ring->reading = false;
	return limit - ring->left;
}

size_t ring_holds(const struct ring *ring)
{
	return atomic_load(ring->produced) - atomic_load(ring->consumed);
}

void ring_close(struct ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	ring_buffer__free(ring->reader);
	if (ring->consumed)
		munmap(ring->consumed, page);
	if (ring->produced)
		munmap(ring->produced, page);
	*ring = (struct ring){0};
}
