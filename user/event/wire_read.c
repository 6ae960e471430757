/* SPDX-License-Identifier: Apache-2.0 */
#include "event/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/table.h"
#include "event/wire_inside.h"
#include "taffrail/v1/stream.pb-c.h"

/* Memory of one batch: blocks, each as large as was asked for or larger; freed together. */
struct wire_arena {
	struct arena_block *blocks;
	size_t taken;
	size_t left; /* what may still be taken in all */
};

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

enum { BLOCK_SIZE = 64 << 10, MEMORY_PER_BYTE = 64, MEMORY_BASE = 1 << 20, LINEAGE_MAX = 1024 };

static void *arena_take(void *context, size_t size)
{
	struct wire_arena *arena = context;
	struct arena_block *block = arena->blocks;

	size = (size + 15) & ~(size_t)15;
	if (!block || size > block->size - block->used) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		if (room > arena->left)
			return NULL;
		block = malloc(sizeof(*block) + room);
		if (!block)
			return NULL;
		arena->left -= room;
		arena->taken += room;
		*block = (struct arena_block){.next = arena->blocks, .size = room};
		arena->blocks = block;
	}
	block->used += size;
	return block->bytes + block->used - size;
}

static void arena_leave(void *context, void *pointer)
{
	(void)context;
	(void)pointer; /* all of it goes together */
}

void *wire_arena_zeroed(struct wire_arena *arena, size_t count, size_t size)
{
	void *taken = arena_take(arena, count * size);

	return taken ? memset(taken, 0, count * size) : NULL;
}

/* --- what a batch defines -------------------------------------------------------------------------------------------- */

struct defined_process {
	struct table_node node;
	struct event_process view;
	unsigned int depth; /* of its chain of parents */
};

struct defined_container {
	struct table_node node;
	struct event_container view;
};

struct reader {
	struct wire_arena *arena;
	struct table processes, containers;
	bool part;       /* sequences may be left out */
	uint64_t due;    /* the lowest sequence that may come next */
	uint64_t absent; /* sequences that may still be left out, in a batch that says how many were taken out */
	char *why;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *reader, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reader->why, WIRE_WHY_SIZE, format, arguments);
	va_end(arguments);
	return -EBADMSG;
}

struct process_key {
	uint8_t entity[EVENT_ENTITY_SIZE];
	uint32_t exec_counter;
};

static bool process_matches(const struct table_node *node, const void *key)
{
	const struct event_process *view = &table_entry(node, struct defined_process, node)->view;
	const struct process_key *wanted = key;

	return view->exec_counter == wanted->exec_counter &&
	       memcmp(view->entity, wanted->entity, sizeof(view->entity)) == 0;
}

static bool container_matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct defined_container, node)->view.id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

/* The process that a reference names, as last defined; NULL and refused if there is none. */
static struct defined_process *find_process(struct reader *reader, const Taffrail__V1__ProcessRef *reference)
{
	struct process_key key = {.exec_counter = reference->exec_counter};
	struct table_node *node;

	if (reference->entity.len != EVENT_ENTITY_SIZE) {
		refuse(reader, "an entity id has %zu bytes", reference->entity.len);
		return NULL;
	}
	memcpy(key.entity, reference->entity.data, sizeof(key.entity));
	node = table_find(&reader->processes, hash_bytes(&key, sizeof(key)), process_matches, &key);
	if (!node)
		refuse(reader, "a process is referred to that the batch does not hold");
	return node ? table_entry(node, struct defined_process, node) : NULL;
}

static int read_container(struct reader *reader, const Taffrail__V1__Container *message)
{
	struct defined_container *container;
	struct event_container *view;

	if (message->id.len != EVENT_CONTAINER_ID_SIZE)
		return refuse(reader, "a container id has %zu bytes", message->id.len);
	container = wire_arena_zeroed(reader->arena, 1, sizeof(*container));
	if (!container)
		return -ENOMEM;
	view = &container->view;
	memcpy(view->id, message->id.data, sizeof(view->id));
	if (wire_read_container(reader->arena, view, message) < 0)
		return -ENOMEM;
	/* A later definition is found before an earlier one (table.h). */
	return table_insert(&reader->containers, &container->node, hash_bytes(view->id, sizeof(view->id)));
}

static void read_credentials(struct event_process *view, const Taffrail__V1__Process *message)
{
	view->uid = message->uid;
	view->gid = message->gid;
	view->real_uid = message->real_uid;
	view->real_gid = message->real_gid;
	view->login_uid = message->login_uid;
	view->session_id = message->session_id;
	view->pgid = message->pgid;
	view->sid = message->sid;
	view->cap_inheritable = message->cap_inheritable;
	view->cap_permitted = message->cap_permitted;
	view->cap_effective = message->cap_effective;
	view->cap_bounding = message->cap_bounding;
	view->cap_ambient = message->cap_ambient;
}

static void read_image(struct event_process *view, const Taffrail__V1__Process *message)
{
	memcpy(view->entity, message->entity.data, sizeof(view->entity));
	view->exec_counter = message->exec_counter;
	view->pid = message->pid;
	view->vpid = message->vpid;
	view->start_ns = message->start_ns;
	view->name = text_of_bytes(message->name);
	view->executable = text_of_bytes(message->executable);
	view->script = text_of_bytes(message->script);
	view->args = text_of_bytes(message->args);
	view->args_count = message->args_count;
	view->environment = text_of_bytes(message->environment);
	view->working_directory = text_of_bytes(message->working_directory);
	view->tty = text_of_bytes(message->tty);
	view->tty_major = message->tty_major;
	view->tty_minor = message->tty_minor;
	read_credentials(view, message);
	view->inode = message->inode;
	view->ctime_ns = message->ctime_ns;
	view->mtime_ns = message->mtime_ns;
	view->namespace_ns = message->namespace_ns;
	if (message->fd_types.len == sizeof(view->fd_types))
		memcpy(view->fd_types, message->fd_types.data, sizeof(view->fd_types));
	view->upper = message->upper;
	view->copied_up = message->copied_up;
	view->memfd = message->memfd;
	view->deleted = message->deleted;
	view->foreign = message->foreign;
	view->image_known = message->image_known;
	view->truncated = message->truncated;
	view->entry = (unsigned int)message->entry <= EVENT_ENTRY_RUNTIME_EXEC ? (enum event_entry)message->entry : 0;
	view->setup = message->setup;
}

/* A parent must have been defined before: so parents make no circle. The entry leader may be the process itself. */
static int read_process(struct reader *reader, const Taffrail__V1__Process *message)
{
	struct defined_process *process, *parent = NULL, *leader;
	struct process_key key = {.exec_counter = message->exec_counter};

	if (message->entity.len != EVENT_ENTITY_SIZE)
		return refuse(reader, "an entity id has %zu bytes", message->entity.len);
	if (message->container_id.len != 0 && message->container_id.len != EVENT_CONTAINER_ID_SIZE)
		return refuse(reader, "a container id has %zu bytes", message->container_id.len);
	process = wire_arena_zeroed(reader->arena, 1, sizeof(*process));
	if (!process)
		return -ENOMEM;
	read_image(&process->view, message);
	process->view.in_container = message->container_id.len > 0;
	if (process->view.in_container)
		memcpy(process->view.container_id, message->container_id.data, EVENT_CONTAINER_ID_SIZE);
	if (message->parent) {
		parent = find_process(reader, message->parent);
		if (!parent)
			return -EBADMSG;
		process->depth = parent->depth + 1;
		if (process->depth > LINEAGE_MAX)
			return refuse(reader, "a lineage is longer than %d", LINEAGE_MAX);
		process->view.parent = &parent->view;
	}
	memcpy(key.entity, process->view.entity, sizeof(key.entity));
	if (table_insert(&reader->processes, &process->node, hash_bytes(&key, sizeof(key))) < 0)
		return -ENOMEM;
	if (message->entry_leader) {
		leader = find_process(reader, message->entry_leader);
		if (!leader)
			return -EBADMSG;
		process->view.entry_leader = &leader->view;
	}
	return 0;
}

/* --- events ----------------------------------------------------------------------------------------------------------- */

static int read_network(struct reader *reader, struct event_network *network, const Taffrail__V1__Network *message)
{
	int error = wire_read_network(reader->arena, network, message);

	if (error == -EBADMSG)
		return refuse(reader, "an address has bytes or a port that none has, or a flow cannot be one");
	return error;
}

static int read_deed(struct reader *reader, struct event_deed *deed, const Taffrail__V1__Deed *message)
{
	wire_read_deed(deed, message);
	return message->socket ? read_network(reader, &deed->socket, message->socket) : 0;
}

static int read_coverage(struct reader *reader, struct event_coverage *coverage, const Taffrail__V1__Coverage *message)
{
	struct event_promise *promises = wire_arena_zeroed(reader->arena, message->n_promise, sizeof(*promises));

	if (!promises)
		return -ENOMEM;
	if (!wire_read_promises(promises, message))
		return refuse(reader, "a promise is in a state that is none");
	coverage->promises = promises;
	coverage->count = message->n_promise;
	coverage->release = text_of(message->kernel_release);
	coverage->mode = text_of(message->kernel_mode);
	return 0;
}

static int read_rule(struct reader *reader, struct event *event, const Taffrail__V1__Rule *message)
{
	struct event_rule *rule = wire_arena_zeroed(reader->arena, 1, sizeof(*rule));

	int error = rule ? wire_read_rule(reader->arena, rule, message) : -ENOMEM;

	if (error == -EBADMSG)
		return refuse(reader, "a rule, of severity %u, cannot be one", message->severity);
	event->rule = rule;
	return error;
}

static int read_filtered(struct reader *reader, struct event_filtered *filtered, const Taffrail__V1__Filtered *message)
{
	uint64_t *counts = wire_arena_zeroed(reader->arena, EVENT_ACTIONS_END, sizeof(*counts));

	if (!counts)
		return -ENOMEM;
	if (message->n_kind != message->n_kind_count)
		return refuse(reader, "%zu kinds have %zu counts", message->n_kind, message->n_kind_count);
	for (size_t i = 0; i < message->n_kind; i++)
		if (event_action_name((int)message->kind[i]))
			counts[(int)message->kind[i]] += message->kind_count[i];
	filtered->count = message->count;
	filtered->in_kernel = message->in_kernel;
	filtered->counts = counts;
	filtered->start_ns = message->start_ns;
	filtered->end_ns = message->end_ns;
	return 0;
}

static int read_life(struct reader *reader, struct event *event, const Taffrail__V1__Life *message)
{
	if (message->spec && message->spec->n_mount > EVENT_MOUNTS_MAX)
		return refuse(reader, "a container has %zu mounts", message->spec->n_mount);
	return wire_read_life(reader->arena, event, message);
}

static int read_cgroup(struct reader *reader, struct event_cgroup *cgroup, const Taffrail__V1__Cgroup *message)
{
	if (message->other_id.len != 0 && message->other_id.len != EVENT_CONTAINER_ID_SIZE)
		return refuse(reader, "a container id has %zu bytes", message->other_id.len);
	wire_read_cgroup(cgroup, message);
	return 0;
}

/* Does the detail fit the action? */
static bool detail_fits(const Taffrail__V1__Event *message)
{
	switch (message->detail_case) {
	case TAFFRAIL__V1__EVENT__DETAIL_FILE:
		return message->action == TAFFRAIL__V1__ACTION__ACTION_OPEN ||
		       message->action == TAFFRAIL__V1__ACTION__ACTION_EXEC;
	case TAFFRAIL__V1__EVENT__DETAIL_NETWORK:
		return event_action_category((enum event_action)message->action) == EVENT_NETWORK &&
		       (!message->network->dns || message->action == TAFFRAIL__V1__ACTION__ACTION_DNS);
	case TAFFRAIL__V1__EVENT__DETAIL_END: return message->action == TAFFRAIL__V1__ACTION__ACTION_END;
	case TAFFRAIL__V1__EVENT__DETAIL_LOST: return message->action == TAFFRAIL__V1__ACTION__ACTION_LOST;
	case TAFFRAIL__V1__EVENT__DETAIL_COVERAGE: return message->action == TAFFRAIL__V1__ACTION__ACTION_COVERAGE;
	case TAFFRAIL__V1__EVENT__DETAIL_FILTERED: return message->action == TAFFRAIL__V1__ACTION__ACTION_FILTERED;
	case TAFFRAIL__V1__EVENT__DETAIL_BUDGET: return message->action == TAFFRAIL__V1__ACTION__ACTION_BUDGET;
	case TAFFRAIL__V1__EVENT__DETAIL_LIFE:
		return message->action == TAFFRAIL__V1__ACTION__ACTION_CONTAINER_STARTED ||
		       message->action == TAFFRAIL__V1__ACTION__ACTION_CONTAINER_STOPPED;
	case TAFFRAIL__V1__EVENT__DETAIL_CGROUP: return message->action == TAFFRAIL__V1__ACTION__ACTION_CGROUP_LEFT;
	case TAFFRAIL__V1__EVENT__DETAIL_ATTRIBUTION:
		return message->action == TAFFRAIL__V1__ACTION__ACTION_ATTRIBUTION;
	case TAFFRAIL__V1__EVENT__DETAIL_CHANGE:
		return event_action_category((enum event_action)message->action) == EVENT_CHANGE;
	case TAFFRAIL__V1__EVENT__DETAIL_DEED:
		return event_action_category((enum event_action)message->action) == EVENT_DEED;
	default: return message->action != TAFFRAIL__V1__ACTION__ACTION_FILTERED;
	}
}

static int read_detail(struct reader *reader, struct event *event, const Taffrail__V1__Event *message)
{
	if (!detail_fits(message))
		return refuse(reader, "an event of action %d has another's details", (int)message->action);
	switch (message->detail_case) {
	case TAFFRAIL__V1__EVENT__DETAIL_FILE: wire_read_file(&event->file, message->file); return 0;
	case TAFFRAIL__V1__EVENT__DETAIL_NETWORK: return read_network(reader, &event->network, message->network);
	case TAFFRAIL__V1__EVENT__DETAIL_CHANGE: wire_read_change(&event->change, message->change); return 0;
	case TAFFRAIL__V1__EVENT__DETAIL_DEED: return read_deed(reader, &event->deed, message->deed);
	case TAFFRAIL__V1__EVENT__DETAIL_END:
		event->end.code = message->end->code;
		event->end.signal = message->end->signal;
		return 0;
	case TAFFRAIL__V1__EVENT__DETAIL_LOST: wire_read_lost(&event->lost, message->lost); return 0;
	case TAFFRAIL__V1__EVENT__DETAIL_COVERAGE: return read_coverage(reader, &event->coverage, message->coverage);
	case TAFFRAIL__V1__EVENT__DETAIL_FILTERED: return read_filtered(reader, &event->filtered, message->filtered);
	case TAFFRAIL__V1__EVENT__DETAIL_BUDGET: wire_read_budget(&event->budget, message->budget); return 0;
	case TAFFRAIL__V1__EVENT__DETAIL_LIFE: return read_life(reader, event, message->life);
	case TAFFRAIL__V1__EVENT__DETAIL_CGROUP: return read_cgroup(reader, &event->cgroup, message->cgroup);
	case TAFFRAIL__V1__EVENT__DETAIL_ATTRIBUTION:
		wire_read_attribution(&event->attribution, message->attribution);
		return 0;
	default: return 0;
	}
}

static int read_container_ids(struct reader *reader, struct event *event, const Taffrail__V1__Event *message)
{
	struct table_node *node;

	if (message->nested_id.len != 0 && message->nested_id.len != EVENT_CONTAINER_ID_SIZE)
		return refuse(reader, "a container id has %zu bytes", message->nested_id.len);
	event->nested_id = message->nested_id.len > 0 ? message->nested_id.data : NULL;
	if (message->container_id.len == 0)
		return 0;
	if (message->container_id.len != EVENT_CONTAINER_ID_SIZE)
		return refuse(reader, "a container id has %zu bytes", message->container_id.len);
	node = table_find(&reader->containers, hash_bytes(message->container_id.data, EVENT_CONTAINER_ID_SIZE),
		container_matches, message->container_id.data);
	if (!node)
		return refuse(reader, "a container is referred to that the batch does not hold");
	event->container = &table_entry(node, struct defined_container, node)->view;
	return 0;
}

static int read_event(struct reader *reader, struct event *event, const Taffrail__V1__Event *message)
{
	struct defined_process *process = NULL;
	int error;

	bool known = event_action_name((enum event_action)message->action) != NULL;

	if (message->action == TAFFRAIL__V1__ACTION__ACTION_NONE)
		return refuse(reader, "an event has no action");
	if ((unsigned int)message->outcome > EVENT_UNKNOWN || message->error < 0)
		return refuse(reader, "an event's outcome is %d, its error %d", (int)message->outcome, message->error);
	event->action = known ? (enum event_action)message->action : 0;
	event->newer = known ? 0 : (uint32_t)message->action;
	event->outcome = (enum event_outcome)message->outcome;
	event->error = message->error;
	event->call = message->call < EVENT_CALLS_END ? (enum event_call)message->call : EVENT_CALL_NONE;
	event->result = message->result;
	event->descriptor = (int32_t)(message->descriptor - 1);
	event->sequence = message->sequence;
	event->time_ns = message->time_ns;
	event->pending = message->pending;
	event->io_uring = message->io_uring;
	event->runtime_setup = message->runtime_setup;
	event->left_cgroup = message->left_cgroup;
	event->count = message->count ? message->count : 1;
	event->truncated = message->truncated;
	event->ring = (uint8_t)message->ring;
	event->cpu = (uint16_t)message->cpu;
	event->ring_sequence = message->ring_sequence;
	if (message->process) {
		process = find_process(reader, message->process);
		if (!process)
			return -EBADMSG;
		event->process = &process->view;
	}
	error = read_container_ids(reader, event, message);
	if (!error && message->rule)
		error = read_rule(reader, event, message->rule);
	return error || !known ? error : read_detail(reader, event, message);
}

static int read_host(struct reader *reader, struct event_host *host, const Taffrail__V1__Batch *batch)
{
	if (!batch->host || batch->host->id[0] == '\0')
		return refuse(reader, "the batch does not name its host");
	if (batch->epoch.len != EVENT_EPOCH_SIZE)
		return refuse(reader, "the epoch has %zu bytes", batch->epoch.len);
	host->id = text_of(batch->host->id);
	host->name = text_of(batch->host->name);
	host->boot_id = text_of(batch->host->boot_id);
	host->cluster = text_of(batch->host->cluster);
	memcpy(host->epoch, batch->epoch.data, sizeof(host->epoch));
	return 0;
}

/* Is it the sequence that is due, or one behind a gap that the batch has told of? */
static bool may_follow(struct reader *reader, uint64_t sequence)
{
	uint64_t gap = sequence - reader->due;

	if (sequence < reader->due)
		return false;
	if (reader->part)
		return true;
	if (gap > reader->absent)
		return false;
	reader->absent -= gap;
	return true;
}

static int read_record(struct reader *reader, struct wire_events *events, const Taffrail__V1__Record *record)
{
	struct event *event = &events->events[events->count];
	int error;

	switch (record->record_case) {
	case TAFFRAIL__V1__RECORD__RECORD_CONTAINER: return read_container(reader, record->container);
	case TAFFRAIL__V1__RECORD__RECORD_PROCESS: return read_process(reader, record->process);
	case TAFFRAIL__V1__RECORD__RECORD_EVENT:
		event->host = &events->host;
		error = read_event(reader, event, record->event);
		if (!error && !may_follow(reader, event->sequence))
			error = refuse(reader, "event %llu stands where %llu is due",
				(unsigned long long)event->sequence, (unsigned long long)reader->due);
		reader->due = event->sequence + 1;
		events->count++;
		return error;
	default: return 0; /* a kind that later versions add */
	}
}

static int read_batch(struct reader *reader, struct wire_events *events, const Taffrail__V1__Batch *batch)
{
	int error = read_host(reader, &events->host, batch);

	if (error)
		return error;
	events->first = batch->first;
	events->last = batch->last;
	events->taken_out = batch->taken_out;
	events->has_books = batch->books != NULL;
	if (batch->books)
		events->books = (struct wire_books){batch->books->seen, batch->books->settled, batch->books->held,
			batch->books->undeclared, batch->books->closed};
	if (batch->first == 0 || batch->last > UINT64_MAX - 1 || batch->last + 1 < batch->first)
		return refuse(reader, "sequences run from %llu to %llu", (unsigned long long)batch->first,
			(unsigned long long)batch->last);
	reader->due = batch->first;
	reader->absent = batch->taken_out;
	events->events = wire_arena_zeroed(reader->arena, batch->n_record + 1, sizeof(*events->events));
	if (!events->events)
		return -ENOMEM;
	for (size_t i = 0; i < batch->n_record && !error; i++)
		error = read_record(reader, events, batch->record[i]);
	if (!error &&
		(reader->due - 1 > batch->last || (!reader->part && batch->last - (reader->due - 1) != reader->absent)))
		error = refuse(reader, "%zu events stand for sequences %llu to %llu", events->count,
			(unsigned long long)batch->first, (unsigned long long)batch->last);
	return error;
}

static int read_bytes(struct wire_events *events, const void *bytes, size_t length, bool part, char why[WIRE_WHY_SIZE])
{
	struct reader reader = {.why = why, .part = part};
	ProtobufCAllocator allocator = {arena_take, arena_leave, NULL};
	Taffrail__V1__Batch *batch;
	int error;

	*events = (struct wire_events){0};
	why[0] = '\0';
	events->arena = calloc(1, sizeof(*events->arena));
	if (!events->arena)
		return -ENOMEM;
	events->arena->left = MEMORY_BASE + length * MEMORY_PER_BYTE;
	reader.arena = allocator.allocator_data = events->arena;
	table_init(&reader.processes);
	table_init(&reader.containers);
	batch = taffrail__v1__batch__unpack(&allocator, length, bytes);
	error = batch ? read_batch(&reader, events, batch) : refuse(&reader, "the bytes are no Batch message");
	if (error == -ENOMEM)
		snprintf(why, WIRE_WHY_SIZE, "out of memory");
	table_free(&reader.processes);
	table_free(&reader.containers);
	if (error)
		wire_free(events);
	return error;
}

int wire_read(struct wire_events *events, const void *bytes, size_t length, char why[WIRE_WHY_SIZE])
{
	return read_bytes(events, bytes, length, false, why);
}

int wire_read_part(struct wire_events *events, const void *bytes, size_t length, char why[WIRE_WHY_SIZE])
{
	return read_bytes(events, bytes, length, true, why);
}

size_t wire_memory(const struct wire_events *events)
{
	return events->arena ? events->arena->taken : 0;
}

void wire_free(struct wire_events *events)
{
	for (struct arena_block *block = events->arena ? events->arena->blocks : NULL, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	free(events->arena);
	*events = (struct wire_events){0};
}
