/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event as one document of the Elastic Common Schema (8.x), with what ECS has no word for under "taffrail.".
 *
 * The shape is a contract: the same event is the same document from the sensor's --stdout and from a collector.
 */
#ifndef TAFFRAIL_EVENT_ECS_H
#define TAFFRAIL_EVENT_ECS_H

#include "base/buffer.h"
#include "event/event.h"

/* Appends the document, without a newline. Short memory shows in out->failed. */
void ecs_write(struct buffer *out, const struct event *event);

enum { ECS_ENTITY_TEXT = 16, ECS_ID_TEXT = 64 };

/* base64url, without padding, of an entity id: exactly ECS_ENTITY_TEXT characters. */
void ecs_entity(char text[ECS_ENTITY_TEXT], const uint8_t entity[EVENT_ENTITY_SIZE]);

/* Lower-case hexadecimal digits of `count` bytes: 2 * count characters. */
void ecs_hex(char *text, const uint8_t *bytes, size_t count);

#endif
