/* SPDX-License-Identifier: Apache-2.0 */
/* The table of flows, for the two files that it is made of. */
#ifndef TAFFRAIL_SENSOR_FLOWS_INSIDE_H
#define TAFFRAIL_SENSOR_FLOWS_INSIDE_H

#include "base/table.h"
#include "sensor/flows.h"
#include "sensor/resolved.h"

enum {
	FLOWS_EARLY_MESSAGES = 4,
	FLOWS_LENGTH = 2, /* bytes of the length before a DNS message over TCP */
};

/* A name that flows have, with how many do. */
struct flows_name {
	struct table_node node;
	size_t users, length;
	char text[];
};

/* Messages of a connection that nobody has accepted yet. */
struct flows_early {
	struct flows_early *spare;
	size_t count;
	struct {
		uint64_t time_ns;
		unsigned int number;
		bool out;
		size_t length, whole;
		uint8_t bytes[FLOW_SAMPLE_BYTES];
	} messages[FLOWS_EARLY_MESSAGES];
};

struct flows_entry;

/* By what was heard of them. */
struct flows_list {
	struct flows_entry *oldest, *newest;
};

struct flows_entry {
	struct table_node node;
	struct flows_list *list;
	struct flows_entry *older, *newer; /* in it; spares by `older` */
	uint64_t id;
	struct flow flow;                  /* its name is the table's */
	const struct event_process *image; /* held */
	bool in_container;
	uint8_t container[EVENT_CONTAINER_ID_SIZE];
	uint64_t heard_ns;
	struct flows_name *domain, *server;
	struct flows_early *early;
};

struct flows {
	struct table table, names;
	struct flows_list open, ended; /* those that ended are kept for FLOWS_KEPT_NS */
	struct flows_entry *spare;
	struct flows_early *early, *spare_early; /* FLOWS_EARLY_MAX, taken at the start */
	struct resolved *resolved;
	struct flows_ops ops;
	struct flows_watcher watcher;
	uint64_t pushed_out;
	/* What flows_answer hands out. */
	struct payload_dns answer;
	struct event_dns dns;
	uint8_t joined[FLOW_SAMPLE_NAME_BYTES + FLOWS_LENGTH];
};

/* flows.c */
struct flows_owner flows_owner_of(const struct flows_entry *entry);
void flows_tell(struct flows *flows, struct flows_entry *entry, uint64_t now_ns);
/* Gives back the room of messages that waited. */
void flows_give_early(struct flows *flows, struct flows_entry *entry);
/* The same text once, however many flows have it. NULL where it is empty, and without memory. */
struct flows_name *flows_name_take(struct flows *flows, struct text text);
struct text flows_name_text(const struct flows_name *name);

/* flows_message.c. Messages that waited for an owner go on. */
void flows_flush_early(struct flows *flows, struct flows_entry *entry);
/* A SAMPLE of that flow. Returns as flows_take. */
bool flows_take_sample(struct flows *flows, struct flows_entry *entry, const struct record *record,
	uint64_t boot_unix_ns, uint64_t now_ns);

#endif
