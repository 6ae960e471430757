/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

/* A connection that is being made, or is open. */
struct connection {
	struct table_node node;
	uint64_t id;
	struct queue *queue;
	struct connection *older, *newer;  /* in its queue */
	const struct event_process *image; /* held */
	struct kernel_network begin;       /* while it waits */
};

/* By age, the oldest first. */
struct queue {
	struct connection *oldest, *newest;
	size_t count;
};

enum { SPARE_MAX = 1024 };

struct connection_table {
	struct table connections;
	struct queue waiting;     /* CONNECT has come, nothing has left yet */
	struct queue reported;    /* its document has left as unknown; the outcome will be dropped */
	struct queue open;        /* established: keeps its image for the end */
	struct connection *spare; /* by `older`: for those to come, so that a connection costs no allocation */
	size_t spare_count;
	const struct event_process *last; /* image of the connection that ended last: good until the next call */
	struct connection_ops ops;
};

int connection_open(struct connection_table **out, const struct connection_ops *ops)
{
	struct connection_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table_init(&table->connections);
	table->ops = *ops;
	*out = table;
	return 0;
}

static bool matches(const struct table_node *node, const void *id)
{
	return table_entry(node, struct connection, node)->id == *(const uint64_t *)id;
}

static struct connection *find(struct connection_table *table, uint64_t id)
{
	struct table_node *node = table_find(&table->connections, hash_bytes(&id, sizeof(id)), matches, &id);

	return node ? table_entry(node, struct connection, node) : NULL;
}

static void leave_queue(struct connection *connection)
{
	struct queue *queue = connection->queue;

	*(connection->older ? &connection->older->newer : &queue->oldest) = connection->newer;
	*(connection->newer ? &connection->newer->older : &queue->newest) = connection->older;
	queue->count--;
}

static void join_queue(struct connection *connection, struct queue *queue)
{
	connection->queue = queue;
	connection->newer = NULL;
	connection->older = queue->newest;
	*(queue->newest ? &queue->newest->newer : &queue->oldest) = connection;
	queue->newest = connection;
	queue->count++;
}

static struct connection *take_spare(struct connection_table *table)
{
	struct connection *connection = table->spare;

	if (!connection)
		return malloc(sizeof(*connection));
	table->spare = connection->older;
	table->spare_count--;
	return connection;
}

static void give_back(struct connection_table *table, struct connection *connection)
{
	if (table->spare_count == SPARE_MAX) {
		free(connection);
		return;
	}
	connection->older = table->spare;
	table->spare = connection;
	table->spare_count++;
}

static void forget(struct connection_table *table, struct connection *connection)
{
	table_remove(&table->connections, &connection->node);
	leave_queue(connection);
	if (table->last)
		table->ops.release(table->last);
	table->last = connection->image;
	give_back(table, connection);
}

static void send_unknown(struct connection_table *table, struct connection *connection)
{
	struct record record = {.network = &connection->begin};

	leave_queue(connection);
	join_queue(connection, &table->reported);
	table->ops.send(table->ops.context, &record, connection->image);
}

/* Keeps a connection in `queue`. False where there is no memory: then nothing is kept. */
static bool keep(struct connection_table *table, const struct record *record, const struct event_process *image,
	struct queue *queue)
{
	struct connection *connection = take_spare(table);

	if (!connection)
		return false;
	memset(connection, 0, sizeof(*connection));
	connection->id = record->network->connection;
	connection->begin = *record->network;
	connection->begin.header.size = sizeof(connection->begin);
	connection->begin.unix_name = (struct kernel_string){0};
	if (table_insert(&table->connections, &connection->node, hash_bytes(&connection->id, sizeof(connection->id))) <
		0) {
		give_back(table, connection);
		return false;
	}
	connection->image = image ? table->ops.hold(image) : NULL;
	join_queue(connection, queue);
	if (connection_count(table) > CONNECTION_MAX) {
		struct connection *oldest = table->open.oldest ? table->open.oldest : table->reported.oldest;

		if (!oldest) {
			oldest = table->waiting.oldest;
			send_unknown(table, oldest);
		}
		forget(table, oldest);
	}
	return true;
}

static bool is_established(const struct kernel_network *network)
{
	return network->result >= 0 && !network->result_unknown && network->connection != 0 &&
	       network->tuple.protocol == IPPROTO_TCP;
}

static enum connection_verdict judge_begin(struct connection_table *table, const struct record *record,
	struct connection *before, const struct event_process *image)
{
	if (before) { /* its outcome never came, and the socket connects anew */
		if (before->queue == &table->waiting)
			send_unknown(table, before);
		forget(table, before);
	}
	return keep(table, record, image, &table->waiting) ? CONNECTION_HELD : CONNECTION_SEND;
}

static enum connection_verdict judge_done(struct connection_table *table, const struct record *record,
	struct connection *begun, const struct event_process **image)
{
	enum connection_verdict verdict = CONNECTION_SEND;

	if (!begun) {
		if (is_established(record->network))
			(void)keep(table, record, *image, &table->open);
		return CONNECTION_SEND;
	}
	if (begun->queue == &table->reported)
		verdict = CONNECTION_DROP;
	else if (begun->queue == &table->waiting)
		verdict = CONNECTION_JOINED;
	if (begun->image)
		*image = begun->image;
	if (is_established(record->network)) {
		leave_queue(begun);
		join_queue(begun, &table->open);
	} else {
		forget(table, begun);
	}
	return verdict;
}

static enum connection_verdict judge_end(
	struct connection_table *table, struct connection *open, const struct event_process **image)
{
	if (!open)
		return CONNECTION_SEND;
	if (open->queue == &table->waiting) /* its outcome was lost */
		send_unknown(table, open);
	if (open->image)
		*image = open->image;
	forget(table, open);
	return CONNECTION_SEND;
}

enum connection_verdict connection_judge(
	struct connection_table *table, const struct record *record, const struct event_process **image)
{
	bool ends = record->header->kind == KERNEL_DISCONNECT;
	uint64_t id = ends ? record->disconnect->connection : record->network->connection;
	struct connection *connection = id ? find(table, id) : NULL;

	switch (record->header->kind) {
	case KERNEL_CONNECT: return judge_begin(table, record, connection, *image);
	case KERNEL_CONNECT_DONE: return judge_done(table, record, connection, image);
	case KERNEL_DISCONNECT: return judge_end(table, connection, image);
	default: /* ACCEPT */
		if (connection && connection->queue == &table->waiting)
			send_unknown(table, connection);
		if (connection)
			forget(table, connection);
		if (is_established(record->network))
			(void)keep(table, record, *image, &table->open);
		return CONNECTION_SEND;
	}
}

void connection_forget(struct connection_table *table, const struct record *record)
{
	uint64_t id = record->network->connection;
	struct connection *connection = id ? find(table, id) : NULL;

	if (connection && connection->queue == &table->open)
		forget(table, connection);
}

void connection_expire(struct connection_table *table, uint64_t now_ns)
{
	while (table->waiting.oldest) {
		uint64_t begun_ns = table->waiting.oldest->begin.header.time_ns;

		if (now_ns != UINT64_MAX && begun_ns + CONNECTION_WAIT_NS > now_ns)
			return;
		send_unknown(table, table->waiting.oldest);
	}
}

size_t connection_count(const struct connection_table *table)
{
	return table->waiting.count + table->reported.count + table->open.count;
}

void connection_close(struct connection_table *table)
{
	if (!table)
		return;

	struct queue *queues[] = {&table->waiting, &table->reported, &table->open};

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		while (queues[i]->oldest)
			forget(table, queues[i]->oldest);
	for (struct connection *spare; (spare = table->spare);) {
		table->spare = spare->older;
		free(spare);
	}
	if (table->last)
		table->ops.release(table->last);
	table_free(&table->connections);
	free(table);
}
