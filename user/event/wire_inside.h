/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the wire face share with one another, and nobody else. */
#ifndef TAFFRAIL_EVENT_WIRE_INSIDE_H
#define TAFFRAIL_EVENT_WIRE_INSIDE_H

#include "base/buffer.h"
#include "event/event.h"
#include "taffrail/v1/event.pb-c.h"

static inline ProtobufCBinaryData bytes_at(const uint8_t *data, size_t size)
{
	return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
}

static inline ProtobufCBinaryData bytes_of(struct text text)
{
	return bytes_at((const uint8_t *)text.data, text.length);
}

static inline struct text text_of_bytes(ProtobufCBinaryData bytes)
{
	return (struct text){(const char *)bytes.data, bytes.len};
}

/* Memory that goes with the batch that is read; NULL where it is short, or the batch has had its share. */
struct wire_arena;
void *wire_arena_zeroed(struct wire_arena *arena, size_t count, size_t size);

/* Room for strings of the schema: protobuf-c wants a NUL behind them. */
struct wire_strings {
	char *room;
	size_t used, size;
};

/* A copy of `text`; "" where it is empty, or does not fit any more. */
char *wire_string(struct wire_strings *strings, struct text text);

/* --- containers (wire_container.c) ------------------------------------------------------------------------------------ */

/* Fills an initialised message; its strings and lists are in `room`, as long as nobody else uses it. False without memory. */
bool wire_set_container(Taffrail__V1__Container *message, struct buffer *room, const struct event_container *container);
/* The view of a message whose id was checked. 0 or -ENOMEM. */
int wire_read_container(struct wire_arena *arena, struct event_container *view, const Taffrail__V1__Container *message);

/* The messages of a container's life, until the event is packed. */
struct wire_life {
	Taffrail__V1__Life life;
	Taffrail__V1__Spec spec;
	Taffrail__V1__Cgroup cgroup;
	void *room; /* of strings and lists: the caller frees it, NULL or not */
};

/* Of the spec with CONTAINER_STARTED, of the end with CONTAINER_STOPPED. Without memory what needs none. */
void wire_set_life(Taffrail__V1__Event *message, struct wire_life *parts, const struct event *event);
void wire_set_cgroup(Taffrail__V1__Event *message, struct wire_life *parts, const struct event_cgroup *cgroup);
/* Of messages whose number of mounts and ids were checked; the event has its action. 0 or -ENOMEM. */
int wire_read_life(struct wire_arena *arena, struct event *event, const Taffrail__V1__Life *message);
void wire_read_cgroup(struct event_cgroup *cgroup, const Taffrail__V1__Cgroup *message);

/* --- files, networks, deeds (wire_detail.c) ----------------------------------------------------------------------------- */

/* The messages of one event's detail, until it is packed. */
struct wire_detail {
	Taffrail__V1__File file;
	Taffrail__V1__Change change;
	Taffrail__V1__Deed deed;
	Taffrail__V1__Network network;
	Taffrail__V1__Address source, destination;
	Taffrail__V1__Dns dns;
	ProtobufCBinaryData resolved[EVENT_RESOLVED_MAX];
};

void wire_set_file(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_file *file);
void wire_set_change(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_change *change);
void wire_set_deed(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_deed *deed);
void wire_set_network(Taffrail__V1__Event *message, struct wire_detail *detail, const struct event_network *network);

void wire_read_file(struct event_file *file, const Taffrail__V1__File *message);
void wire_read_change(struct event_change *change, const Taffrail__V1__Change *message);
/* All but its socket. */
void wire_read_deed(struct event_deed *deed, const Taffrail__V1__Deed *message);
/* 0, -ENOMEM, or -EBADMSG: an address has bytes or a port that none has, a state is none, or DNS's answers are too many. */
int wire_read_network(struct wire_arena *arena, struct event_network *network, const Taffrail__V1__Network *message);

/* --- health (wire_health.c) ------------------------------------------------------------------------------------------- */

/* The messages of wire_health.c, until the event is packed. */
struct wire_health {
	Taffrail__V1__Lost lost;
	Taffrail__V1__Filtered filtered;
	Taffrail__V1__Budget budget;
	uint64_t counts[EVENT_ACTIONS_END];
	Taffrail__V1__Action kinds[64];
	char stage[64];
	Taffrail__V1__Coverage coverage;
	Taffrail__V1__Attribution attribution;
	void *room; /* of strings and lists: the caller frees it, NULL or not */
};

/* Where there is no memory the message keeps what needs none. */
void wire_set_lost(Taffrail__V1__Event *message, struct wire_health *health, const struct event_lost *lost);
void wire_set_budget(Taffrail__V1__Event *message, struct wire_health *health, const struct event_budget *budget);
void wire_read_budget(struct event_budget *budget, const Taffrail__V1__Budget *message);
void wire_set_filtered(Taffrail__V1__Event *message, struct wire_health *health, const struct event_filtered *filtered);
void wire_set_coverage(Taffrail__V1__Event *message, struct wire_health *health, const struct event_coverage *coverage);
void wire_set_attribution(
	Taffrail__V1__Event *message, struct wire_health *health, const struct event_attribution *attribution);

void wire_read_lost(struct event_lost *lost, const Taffrail__V1__Lost *message);
/* Fills message->n_promise of them; false if one's state is none. */
bool wire_read_promises(struct event_promise *promises, const Taffrail__V1__Coverage *message);
void wire_read_attribution(struct event_attribution *attribution, const Taffrail__V1__Attribution *message);

/* --- rules (wire_rule.c) ---------------------------------------------------------------------------------------------- */

/* The messages of a rule, until the event is packed. */
struct wire_rule {
	Taffrail__V1__Rule rule;
	Taffrail__V1__Output outputs[EVENT_OUTPUTS_MAX], *output_list[EVENT_OUTPUTS_MAX];
	char *tags[EVENT_TAGS_MAX];
	void *room;     /* of strings: the caller frees it, NULL or not */
	void *detector; /* the same of what wire_set_detector made */
};

/* Without memory the message keeps what needs none. */
void wire_set_rule(Taffrail__V1__Event *message, struct wire_rule *parts, const struct event_rule *rule);
/* 0, -ENOMEM, or -EBADMSG: a severity, a type or a number is none, or there are too many. */
int wire_read_rule(struct wire_arena *arena, struct event_rule *rule, const Taffrail__V1__Rule *message);

/* wire_detector.c: the message of a detector and all its parts, which the caller frees as one; NULL without memory. */
struct wire_detector;
struct wire_detector *wire_set_detector(Taffrail__V1__Rule *message, const struct event_detector *detector);
/* As wire_read_rule. */
int wire_read_detector(
	struct wire_arena *arena, struct event_detector *detector, const Taffrail__V1__Detector *message);

#endif
