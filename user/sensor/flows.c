/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/flows_inside.h"

int flows_open(struct flows **out, const struct flows_ops *ops)
{
	struct flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return -ENOMEM;
	table_init(&flows->table);
	table_init(&flows->names);
	flows->ops = *ops;
	flows->early = calloc(FLOWS_EARLY_MAX, sizeof(*flows->early));
	if (!flows->early || resolved_open(&flows->resolved) < 0) {
		flows_close(flows);
		return -ENOMEM;
	}
	for (size_t i = 0; i < FLOWS_EARLY_MAX; i++) {
		flows->early[i].spare = flows->spare_early;
		flows->spare_early = &flows->early[i];
	}
	*out = flows;
	return 0;
}

void flows_watch(struct flows *flows, const struct flows_watcher *watcher)
{
	flows->watcher = *watcher;
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static bool is_name(const struct table_node *node, const void *key)
{
	const struct flows_name *name = table_entry(node, struct flows_name, node);

	return text_equal((struct text){name->text, name->length}, *(const struct text *)key);
}

/* The same text once, however many flows have it. NULL where it is empty, and without memory. */
struct flows_name *flows_name_take(struct flows *flows, struct text text)
{
	uint64_t hash = hash_bytes(text.data, text.length);
	struct table_node *node = text.length > 0 ? table_find(&flows->names, hash, is_name, &text) : NULL;
	struct flows_name *name = node ? table_entry(node, struct flows_name, node) : NULL;

	if (text.length == 0)
		return NULL;
	if (!name) {
		name = malloc(sizeof(*name) + text.length);
		if (!name)
			return NULL;
		name->users = 0;
		name->length = text.length;
		memcpy(name->text, text.data, text.length);
		if (table_insert(&flows->names, &name->node, hash) < 0) {
			free(name);
			return NULL;
		}
	}
	name->users++;
	return name;
}

static void name_leave(struct flows *flows, struct flows_name *name)
{
	if (!name || --name->users > 0)
		return;
	table_remove(&flows->names, &name->node);
	free(name);
}

struct text flows_name_text(const struct flows_name *name)
{
	return name ? (struct text){name->text, name->length} : (struct text){0};
}

/* --- the table ------------------------------------------------------------------------------------------------------------ */

static bool matches(const struct table_node *node, const void *id)
{
	return table_entry(node, struct flows_entry, node)->id == *(const uint64_t *)id;
}

static struct flows_entry *find(const struct flows *flows, uint64_t id)
{
	struct table_node *node = id ? table_find(&flows->table, hash_bytes(&id, sizeof(id)), matches, &id) : NULL;

	return node ? table_entry(node, struct flows_entry, node) : NULL;
}

static void leave(struct flows_entry *entry)
{
	*(entry->older ? &entry->older->newer : &entry->list->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &entry->list->newest) = entry->older;
}

static void join(struct flows_entry *entry, struct flows_list *list)
{
	entry->list = list;
	entry->newer = NULL;
	entry->older = list->newest;
	*(list->newest ? &list->newest->newer : &list->oldest) = entry;
	list->newest = entry;
}

/* It stays for a while: its last record may still wait for names. */
static void put_aside(struct flows *flows, struct flows_entry *entry)
{
	leave(entry);
	join(entry, &flows->ended);
}

struct flows_owner flows_owner_of(const struct flows_entry *entry)
{
	return (struct flows_owner){entry->in_container ? entry->container : NULL, entry->image};
}

void flows_tell(struct flows *flows, struct flows_entry *entry, uint64_t now_ns)
{
	struct flows_owner owner = flows_owner_of(entry);

	if (flows->watcher.flow)
		flows->watcher.flow(flows->watcher.context, &entry->flow, &owner, now_ns);
}

void flows_give_early(struct flows *flows, struct flows_entry *entry)
{
	if (!entry->early)
		return;
	entry->early->spare = flows->spare_early;
	flows->spare_early = entry->early;
	entry->early = NULL;
}

static void forget(struct flows *flows, struct flows_entry *entry)
{
	struct flows_owner owner = flows_owner_of(entry);

	if (flows->watcher.over)
		flows->watcher.over(flows->watcher.context, &entry->flow, &owner);
	table_remove(&flows->table, &entry->node);
	leave(entry);
	flows_give_early(flows, entry);
	name_leave(flows, entry->domain);
	name_leave(flows, entry->server);
	if (entry->image)
		flows->ops.release(entry->image);
	entry->older = flows->spare;
	flows->spare = entry;
}

static struct event_address end_of(
	const struct kernel_tuple *tuple, const struct kernel_address *address, uint16_t port_be)
{
	struct event_address end = {.family = (uint8_t)tuple->family, .port = ntohs(port_be)};

	memcpy(end.bytes, address->bytes, tuple->family == AF_INET ? 4 : 16);
	return end;
}

static bool is_inet(const struct kernel_tuple *tuple)
{
	return tuple->family == AF_INET || tuple->family == AF_INET6;
}

/* What a record says of a flow's beginning. */
struct beginning {
	const struct record *record;
	const struct kernel_tuple *tuple;
	const struct event_process *image;
	uint64_t id, start_ns, now_ns;
	bool inbound;
	enum flow_state state;
};

static void set_image(struct flows *flows, struct flows_entry *entry, const struct event_process *image)
{
	if (!image || image == entry->image)
		return;
	if (entry->image)
		flows->ops.release(entry->image);
	entry->image = flows->ops.hold(image);
}

/* A new flow, in place of one that has the number, if there is any. NULL without memory. */
static struct flows_entry *begin(struct flows *flows, const struct beginning *from)
{
	const struct kernel_header *header = from->record->header;
	struct flows_entry *entry = find(flows, from->id);

	if (entry)
		forget(flows, entry);
	if (table_count(&flows->table) == FLOWS_MAX) {
		flows->pushed_out += !flows->ended.oldest;
		forget(flows, flows->ended.oldest ? flows->ended.oldest : flows->open.oldest);
	}
	entry = flows->spare;
	if (entry)
		flows->spare = entry->older;
	else
		entry = malloc(sizeof(*entry));
	if (!entry)
		return NULL;
	*entry = (struct flows_entry){.id = from->id, .heard_ns = from->now_ns};
	entry->in_container = header->flags & KERNEL_IN_CONTAINER;
	memcpy(entry->container, header->container_id, sizeof(entry->container));
	entry->flow.start_ns = entry->flow.last_ns = from->start_ns;
	entry->flow.local = end_of(from->tuple, &from->tuple->local, from->tuple->local_port_be);
	entry->flow.remote = end_of(from->tuple, &from->tuple->remote, from->tuple->remote_port_be);
	entry->flow.transport = (uint8_t)from->tuple->protocol;
	entry->flow.inbound = from->inbound;
	entry->flow.state = from->state;
	if (table_insert(&flows->table, &entry->node, hash_bytes(&entry->id, sizeof(entry->id))) < 0) {
		entry->older = flows->spare;
		flows->spare = entry;
		return NULL;
	}
	join(entry, &flows->open);
	set_image(flows, entry, from->image);
	entry->domain =
		flows_name_take(flows, resolved_find(flows->resolved, entry->in_container ? entry->container : NULL,
					       &entry->flow.remote, from->now_ns));
	entry->flow.name = flows_name_text(entry->domain);
	return entry;
}

static void hear(struct flows *flows, struct flows_entry *entry, uint64_t now_ns)
{
	entry->heard_ns = now_ns;
	leave(entry);
	join(entry, &flows->open);
}

static bool same_peer(const struct flows_entry *entry, const struct kernel_tuple *tuple)
{
	struct event_address remote = end_of(tuple, &tuple->remote, tuple->remote_port_be);

	return flow_address_equal(&entry->flow.remote, &remote) && entry->flow.remote.port == remote.port;
}

/* The flow that goes on, or a new one. */
static struct flows_entry *find_or_begin(struct flows *flows, const struct beginning *from)
{
	struct flows_entry *entry = find(flows, from->id);

	if (!entry || entry->list == &flows->ended || !same_peer(entry, from->tuple)) {
		entry = begin(flows, from);
		if (entry)
			entry->flow.partial = from->start_ns == 0;
		return entry;
	}
	hear(flows, entry, from->now_ns);
	set_image(flows, entry, from->image);
	return entry;
}

/* --- records ---------------------------------------------------------------------------------------------------------------- */

static enum flow_state state_of(const struct kernel_network *network)
{
	if (network->result_unknown)
		return FLOW_SYN_SENT;
	switch (-network->result) {
	case 0: return FLOW_ESTABLISHED;
	case ETIMEDOUT: return FLOW_TIMED_OUT;
	default: return FLOW_REFUSED;
	}
}

/* CONNECT, CONNECT_DONE, ACCEPT of TCP; those of datagrams have numbers of their own. */
static void take_network(struct flows *flows, const struct kernel_network *network, struct beginning *from)
{
	struct flows_entry *entry;

	if (!from->id || from->tuple->protocol != IPPROTO_TCP || !is_inet(from->tuple))
		return;
	switch (network->header.kind) {
	case KERNEL_CONNECT:
		from->state = FLOW_SYN_SENT;
		entry = begin(flows, from);
		break;
	case KERNEL_CONNECT_DONE:
		from->state = state_of(network);
		entry = find_or_begin(flows, from);
		if (!entry)
			return;
		entry->flow.state = from->state;
		entry->flow.local = end_of(from->tuple, &from->tuple->local, from->tuple->local_port_be);
		break;
	default: /* ACCEPT: its number is good if it was accepted */
		if (network->result < 0 || network->result_unknown)
			return;
		from->inbound = true;
		from->state = FLOW_ESTABLISHED;
		entry = find_or_begin(flows, from);
		break;
	}
	if (!entry)
		return;
	flows_tell(flows, entry, from->now_ns);
	flows_flush_early(flows, entry);
	if (flow_has_failed(&entry->flow) || (network->header.kind == KERNEL_CONNECT_DONE && network->result_unknown))
		put_aside(flows, entry);
}

static void set_counts(struct flow *flow, uint64_t sent, uint64_t received, uint64_t packets_sent,
	uint64_t packets_received, uint64_t last_ns)
{
	flow->bytes_out = sent;
	flow->bytes_in = received;
	flow->packets_out = packets_sent;
	flow->packets_in = packets_received;
	flow->last_ns = last_ns;
}

static void take_disconnect(
	struct flows *flows, const struct kernel_disconnect *end, const struct beginning *from, uint64_t boot_unix_ns)
{
	struct flows_entry *entry = find_or_begin(flows, from);

	if (!entry)
		return;
	set_counts(&entry->flow, end->bytes_sent, end->bytes_received, end->packets_sent, end->packets_received,
		boot_unix_ns + end->header.time_ns);
	flows_tell(flows, entry, from->now_ns);
	flows_flush_early(flows, entry);
	put_aside(flows, entry);
}

static void take_flow(
	struct flows *flows, const struct kernel_flow *flow, const struct beginning *from, uint64_t boot_unix_ns)
{
	struct flows_entry *entry = find_or_begin(flows, from);

	if (!entry)
		return;
	set_counts(&entry->flow, flow->bytes_sent, flow->bytes_received, flow->packets_sent, flow->packets_received,
		boot_unix_ns + flow->last_ns);
	flows_tell(flows, entry, from->now_ns);
	if (flow->final)
		flows_flush_early(flows, entry); /* nobody has accepted it */
	if (flow->final)
		put_aside(flows, entry);
}

static bool is_sample(const struct kernel_header *header)
{
	return header->kind == KERNEL_SAMPLE || header->kind == KERNEL_ANSWER;
}

bool flows_take(struct flows *flows, const struct record *record, const struct event_process *image,
	uint64_t boot_unix_ns, uint64_t now_ns)
{
	struct beginning from = {.record = record, .image = image, .now_ns = now_ns};
	uint64_t start_ns;

	switch (record->header->kind) {
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_ACCEPT:
		from.tuple = &record->network->tuple;
		from.id = record->network->connection;
		from.start_ns = boot_unix_ns + record->header->time_ns;
		take_network(flows, record->network, &from);
		return !is_sample(record->header);
	case KERNEL_DISCONNECT:
		from.tuple = &record->disconnect->tuple;
		from.id = record->disconnect->connection;
		start_ns = record->disconnect->established_ns;
		from.inbound = record->disconnect->accepted;
		break;
	case KERNEL_FLOW:
		from.tuple = &record->flow->tuple;
		from.id = record->flow->connection;
		start_ns = record->flow->start_ns;
		from.inbound = record->flow->inbound;
		break;
	case KERNEL_SAMPLE:
	case KERNEL_ANSWER:
		from.tuple = &record->sample->tuple;
		from.id = record->sample->connection;
		start_ns = record->sample->start_ns;
		from.inbound = record->sample->inbound;
		break;
	default: return !is_sample(record->header);
	}
	if (!from.id || !is_inet(from.tuple))
		return !is_sample(record->header);
	from.start_ns = start_ns ? boot_unix_ns + start_ns : 0;
	from.state = from.tuple->protocol == IPPROTO_TCP ? FLOW_ESTABLISHED : FLOW_OPEN;
	if (is_sample(record->header)) {
		struct flows_entry *entry = find_or_begin(flows, &from);

		return entry && flows_take_sample(flows, entry, record, boot_unix_ns, now_ns);
	}
	if (record->header->kind == KERNEL_FLOW)
		take_flow(flows, record->flow, &from, boot_unix_ns);
	else
		take_disconnect(flows, record->disconnect, &from, boot_unix_ns);
	return true;
}

static uint64_t id_of(const struct kernel_header *header)
{
	const struct record record = {.header = header};

	switch (header->kind) {
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_CONNECT_RETURNED:
	case KERNEL_ACCEPT: return record.network->connection;
	case KERNEL_DISCONNECT: return record.disconnect->connection;
	case KERNEL_FLOW: return record.flow->connection;
	case KERNEL_SAMPLE:
	case KERNEL_ANSWER: return record.sample->connection;
	default: return 0;
	}
}

void flows_describe(
	const struct flows *flows, const struct record *record, uint64_t now_ns, struct event_network *network)
{
	const struct kernel_header *header = record->header;
	const struct event_address *remote = network->ingress ? &network->source : &network->destination;
	const struct flows_entry *entry = find(flows, id_of(header));

	if (entry && flow_address_equal(&entry->flow.remote, remote) && entry->flow.remote.port == remote->port) {
		network->server_name = flows_name_text(entry->server);
		if (!network->ingress)
			network->domain = entry->flow.name;
		return;
	}
	if (!network->ingress && (remote->family == AF_INET || remote->family == AF_INET6))
		network->domain = resolved_find(flows->resolved,
			header->flags & KERNEL_IN_CONTAINER ? header->container_id : NULL, remote, now_ns);
}

bool flows_knows(const struct flows *flows, const struct kernel_header *header)
{
	return (header->kind != KERNEL_FLOW && header->kind != KERNEL_SAMPLE) || find(flows, id_of(header));
}

void flows_expire(struct flows *flows, uint64_t now_ns)
{
	while (flows->ended.oldest && flows->ended.oldest->heard_ns + FLOWS_KEPT_NS < now_ns)
		forget(flows, flows->ended.oldest);
}

size_t flows_count(const struct flows *flows)
{
	return table_count(&flows->table);
}

uint64_t flows_pushed_out(const struct flows *flows)
{
	return flows->pushed_out;
}

void flows_close(struct flows *flows)
{
	struct flows_entry *entry;

	if (!flows)
		return;
	while (flows->open.oldest)
		forget(flows, flows->open.oldest);
	while (flows->ended.oldest)
		forget(flows, flows->ended.oldest);
	while ((entry = flows->spare)) {
		flows->spare = entry->older;
		free(entry);
	}
	resolved_close(flows->resolved);
	free(flows->early);
	table_free(&flows->table);
	table_free(&flows->names);
	free(flows);
}
