/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process image: what an exec made of a process, with its strings, held by everything that refers to it. Of the
 * process table alone; others see its view (process.h).
 */
#ifndef TAFFRAIL_SENSOR_IMAGE_H
#define TAFFRAIL_SENSOR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/kernel_event.h"
#include "event/event.h"

struct record;
struct image_block; /* strings of an image; those of a forked child are its parent's */

struct image {
	struct event_process view; /* first: what others hold is a pointer to it */
	size_t references;
	struct image_block *block;
	struct image *parent; /* held */
	struct image *leader; /* held, unless it is this image itself */
	unsigned int depth;
	bool former;         /* as a former life of the sensor knew it */
	bool census;         /* as the kernel told of it when it was there already; its exec may still be in a ring */
	struct image *older; /* of the same process, held by the process */
};

/*
 * An image with ids alone and no reference yet. `seed` is of the boot: within one, (start, pid) maps to the entity id one
 * to one. NULL without memory.
 */
struct image *image_new(const uint64_t seed[2], uint32_t pid, uint64_t start_ns, uint64_t boot_unix_ns);

/* A copy of what a former life of the sensor has said of an image, without parent, leader and reference. NULL without memory. */
struct image *image_former(const struct event_process *view);

/* The entity id alone. */
void image_entity(const uint64_t seed[2], uint64_t start_ns, uint32_t pid, uint8_t entity[EVENT_ENTITY_SIZE]);

/* Copies `texts`, which are of the image's view, into one block of the image's own and points them there. 0 or -ENOMEM. */
int image_keep_strings(struct image *image, struct text *const texts[], size_t count);

/* What a record of an exec or of the census says of it, without its ancestors. 0 or -ENOMEM: then it is to be freed. */
int image_fill(struct image *image, const struct record *record);

/* What a child has of its parent, whose image it runs: same strings, same file. */
void image_fork(struct image *image, struct image *parent);

/* Arguments, NUL-separated, in the place of those that it has. 0 or -ENOMEM. */
int image_set_arguments(struct image *image, struct text args);

/* Holds the parent. Where the chain would become too long a copy without ancestors takes the parent's place. */
void image_set_parent(struct image *image, struct image *parent);

/* Holds the leader, unless it is the image itself. Once for an image. */
void image_set_leader(struct image *image, struct image *leader);

void image_set_container(struct image *image, const struct kernel_header *header);

/* One reference less; NULL is allowed. The last frees the image, and what it held. */
void image_release(struct image *image);

#endif
