/* SPDX-License-Identifier: Apache-2.0 */
#include "event/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/table.h"
#include "event/wire_inside.h"
#include "event/wire_pack.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	UP_BATCH = 2, /* field numbers of stream.proto and event.proto */
	BATCH_RECORD = 5,
	RECORD_CONTAINER = 1,
	RECORD_PROCESS = 2,
	RECORD_EVENT = 3,
	LENGTH_DELIMITED = 2,       /* protobuf's wire type */
	UP_HEADER = WIRE_UP_HEADER, /* room for the tag of Up.batch and its length, which is known last */
	KEY_SIZE = 40,
	SLOTS_FIRST = 1024, /* a power of two */
	KEPT = 8192,        /* a power of two */
	KEPT_MAX = 1024,    /* bytes of one */
};

/* What a batch holds already: containers and process images by a key of fixed size. Emptied by a new generation. */
struct slot {
	uint8_t key[KEY_SIZE];
	uint32_t generation;
};

/* The bytes of a container or a process, for the next batch that refers to it. */
struct kept {
	uint8_t key[KEY_SIZE];
	struct buffer bytes; /* none: length 0 */
};

struct wire_batch {
	struct buffer *bytes; /* UP_HEADER bytes of room, then the records */
	struct slot *slots;
	size_t slot_count, used;
	uint32_t generation;
	uint64_t taken_out;
	bool has_books;
	struct wire_books books;
	struct kept *kept;   /* KEPT of them, each at one of two places that its key's hash says; or NULL */
	struct buffer parts; /* of a container's message, while it is packed */
};

static struct buffer *new_bytes(size_t room)
{
	struct buffer *bytes = calloc(1, sizeof(*bytes));

	if (!bytes)
		return NULL;
	if (!buffer_reserve(bytes, room)) {
		free(bytes);
		return NULL;
	}
	bytes->length = UP_HEADER;
	return bytes;
}

void wire_bytes_free(struct buffer *bytes)
{
	if (bytes)
		buffer_free(bytes);
	free(bytes);
}

int wire_batch_open(struct wire_batch **out)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	batch->bytes = new_bytes(64 << 10);
	batch->slots = calloc(SLOTS_FIRST, sizeof(*batch->slots));
	batch->slot_count = SLOTS_FIRST;
	batch->generation = 1;
	if (!batch->bytes || !batch->slots) {
		wire_batch_close(batch);
		return -ENOMEM;
	}
	*out = batch;
	return 0;
}

int wire_batch_keep(struct wire_batch *batch)
{
	batch->kept = calloc(KEPT, sizeof(*batch->kept));
	return batch->kept ? 0 : -ENOMEM;
}

static struct slot *find_slot(
	struct slot *slots, size_t count, uint32_t generation, const uint8_t key[KEY_SIZE], uint64_t hash)
{
	size_t i = hash & (count - 1);

	while (slots[i].generation == generation && memcmp(slots[i].key, key, KEY_SIZE) != 0)
		i = (i + 1) & (count - 1);
	return &slots[i];
}

/* Puts a key into the set; false if it was in it. Without memory to grow a key may be written again: no harm. */
static bool is_new(struct wire_batch *batch, const uint8_t key[KEY_SIZE])
{
	uint64_t hash = hash_bytes(key, KEY_SIZE);
	struct slot *slot = find_slot(batch->slots, batch->slot_count, batch->generation, key, hash);

	if (slot->generation == batch->generation)
		return false;
	if (2 * batch->used >= batch->slot_count) {
		struct slot *slots = calloc(2 * batch->slot_count, sizeof(*slots));

		if (!slots)
			return true;
		for (size_t i = 0; i < batch->slot_count; i++)
			if (batch->slots[i].generation == batch->generation)
				*find_slot(slots, 2 * batch->slot_count, batch->generation, batch->slots[i].key,
					hash_bytes(batch->slots[i].key, KEY_SIZE)) = batch->slots[i];
		free(batch->slots);
		batch->slots = slots;
		batch->slot_count *= 2;
		slot = find_slot(slots, batch->slot_count, batch->generation, key, hash);
	}
	memcpy(slot->key, key, KEY_SIZE);
	slot->generation = batch->generation;
	batch->used++;
	return true;
}

/* The place of a key: one of two neighbours. That which has it, or else an empty one, or else the first. */
static struct kept *find_kept(const struct wire_batch *batch, const uint8_t key[KEY_SIZE])
{
	struct kept *first, *second;

	if (!batch->kept)
		return NULL;
	first = &batch->kept[hash_bytes(key, KEY_SIZE) & (KEPT - 1)];
	second = batch->kept + ((first - batch->kept) ^ 1);
	if (memcmp(first->key, key, KEY_SIZE) == 0)
		return first;
	if (memcmp(second->key, key, KEY_SIZE) == 0)
		return second;
	return first->bytes.length && !second->bytes.length ? second : first;
}

/* Appends what is kept under a key. False if nothing is. */
static bool put_kept(struct wire_batch *batch, const uint8_t key[KEY_SIZE])
{
	const struct kept *kept = find_kept(batch, key);

	if (!kept || kept->bytes.length == 0 || memcmp(kept->key, key, KEY_SIZE) != 0)
		return false;
	buffer_append(batch->bytes, kept->bytes.data, kept->bytes.length);
	return true;
}

/* Keeps what was appended since `start`, in place of whatever was there. */
static void keep(struct wire_batch *batch, const uint8_t key[KEY_SIZE], size_t start)
{
	struct kept *kept = find_kept(batch, key);

	if (!kept || batch->bytes->failed || batch->bytes->length - start > KEPT_MAX)
		return;
	buffer_clear(&kept->bytes);
	buffer_append(&kept->bytes, batch->bytes->data + start, batch->bytes->length - start);
	memcpy(kept->key, key, KEY_SIZE);
}

/* Appends Batch.record{ field: message }. */
static void put_record(struct wire_batch *batch, unsigned int field, const ProtobufCMessage *message)
{
	wire_pack(batch->bytes, BATCH_RECORD, field, message);
}

/* A container, once per batch and state of its names. */
static void add_container(struct wire_batch *batch, const struct event_container *container)
{
	Taffrail__V1__Container message = TAFFRAIL__V1__CONTAINER__INIT;
	uint8_t key[KEY_SIZE] = {0};
	size_t start;

	/* A pointer tells names apart as long as they live; a version does for ever. */
	memcpy(key, container->id, EVENT_CONTAINER_ID_SIZE);
	if (container->version)
		memcpy(key + EVENT_CONTAINER_ID_SIZE, &container->version, sizeof(container->version));
	else
		memcpy(key + EVENT_CONTAINER_ID_SIZE, &container, sizeof(container));
	if (!is_new(batch, key) || (container->version && put_kept(batch, key)))
		return;
	start = batch->bytes->length;
	if (wire_set_container(&message, &batch->parts, container))
		put_record(batch, RECORD_CONTAINER, &message.base);
	else
		batch->bytes->failed = true;
	if (container->version)
		keep(batch, key, start);
}

static Taffrail__V1__ProcessRef reference(const struct event_process *process)
{
	Taffrail__V1__ProcessRef message = TAFFRAIL__V1__PROCESS_REF__INIT;

	message.entity = bytes_at(process->entity, sizeof(process->entity));
	message.exec_counter = process->exec_counter;
	return message;
}

static void set_credentials(Taffrail__V1__Process *message, const struct event_process *process)
{
	message->uid = process->uid;
	message->gid = process->gid;
	message->real_uid = process->real_uid;
	message->real_gid = process->real_gid;
	message->login_uid = process->login_uid;
	message->session_id = process->session_id;
	message->pgid = process->pgid;
	message->sid = process->sid;
	message->cap_inheritable = process->cap_inheritable;
	message->cap_permitted = process->cap_permitted;
	message->cap_effective = process->cap_effective;
	message->cap_bounding = process->cap_bounding;
	message->cap_ambient = process->cap_ambient;
}

/* All but parent and leader. */
static void set_process(Taffrail__V1__Process *message, const struct event_process *process)
{
	message->entity = bytes_at(process->entity, sizeof(process->entity));
	message->exec_counter = process->exec_counter;
	message->pid = process->pid;
	message->vpid = process->vpid;
	message->start_ns = process->start_ns;
	message->name = bytes_of(process->name);
	message->executable = bytes_of(process->executable);
	message->script = bytes_of(process->script);
	message->args = bytes_of(process->args);
	message->args_count = process->args_count;
	message->environment = bytes_of(process->environment);
	message->working_directory = bytes_of(process->working_directory);
	message->tty = bytes_of(process->tty);
	message->tty_major = process->tty_major;
	message->tty_minor = process->tty_minor;
	set_credentials(message, process);
	message->inode = process->inode;
	message->ctime_ns = process->ctime_ns;
	message->mtime_ns = process->mtime_ns;
	message->namespace_ns = process->namespace_ns;
	if (process->image_known)
		message->fd_types = bytes_at(process->fd_types, sizeof(process->fd_types));
	message->upper = process->upper;
	message->copied_up = process->copied_up;
	message->memfd = process->memfd;
	message->deleted = process->deleted;
	message->foreign = process->foreign;
	message->image_known = process->image_known;
	message->truncated = process->truncated;
	if (process->in_container)
		message->container_id = bytes_at(process->container_id, sizeof(process->container_id));
	message->entry = (Taffrail__V1__Entry)process->entry;
	message->setup = process->setup;
}

static void put_process(struct wire_batch *batch, const struct event_process *process)
{
	Taffrail__V1__Process message = TAFFRAIL__V1__PROCESS__INIT;
	Taffrail__V1__ProcessRef parent, leader;

	if (process->parent) {
		parent = reference(process->parent);
		message.parent = &parent;
	}
	if (process->entry_leader) {
		leader = reference(process->entry_leader);
		message.entry_leader = &leader;
	}
	set_process(&message, process);
	put_record(batch, RECORD_PROCESS, &message.base);
}

/* What stands for a process that another one refers to; 0: none is. */
static uint64_t reference_hash(const struct event_process *process)
{
	struct {
		uint8_t entity[EVENT_ENTITY_SIZE];
		uint32_t exec_counter;
	} named;

	if (!process)
		return 0;
	memcpy(named.entity, process->entity, sizeof(named.entity));
	named.exec_counter = process->exec_counter;
	return hash_bytes(&named, sizeof(named));
}

/* A process image, its ancestors before it. The chain is bounded by whoever made the views. */
static void add_process(struct wire_batch *batch, const struct event_process *process)
{
	uint8_t key[KEY_SIZE] = {0};
	uint64_t kin[2];
	size_t start;

	memcpy(key, process->entity, EVENT_ENTITY_SIZE);
	memcpy(key + EVENT_ENTITY_SIZE, &process->exec_counter, sizeof(process->exec_counter));
	key[KEY_SIZE - 2] = (uint8_t)(1 + process->image_known);
	key[KEY_SIZE - 1] = 0xff; /* no container's: its last byte is the top of a pointer or of a version */
	if (!is_new(batch, key))
		return;
	if (process->parent)
		add_process(batch, process->parent);
	if (process->entry_leader && process->entry_leader != process)
		add_process(batch, process->entry_leader);
	/* An image does not change, but there are copies of it whose lineage was cut, or was learned anew since: those that it refers to
	 * are in the batch, and no others. */
	kin[0] = reference_hash(process->parent);
	kin[1] = reference_hash(process->entry_leader);
	memcpy(key + EVENT_ENTITY_SIZE + sizeof(process->exec_counter), kin, sizeof(kin));
	memcpy(key + KEY_SIZE - 8, &process->truncated, sizeof(process->truncated));
	if (put_kept(batch, key))
		return;
	start = batch->bytes->length;
	put_process(batch, process);
	keep(batch, key, start);
}

/* The parts of an event message that must live until it is packed. */
struct parts {
	Taffrail__V1__ProcessRef process;
	struct wire_detail detail;
	Taffrail__V1__End end;
	struct wire_life life;
	struct wire_health health;
	struct wire_rule rule;
};

static void set_detail(Taffrail__V1__Event *message, struct parts *parts, const struct event *event)
{
	switch ((int)event->action) {
	case 0: break;
	case EVENT_EXEC:
		if (event->file.argument.length > 0 || event->file.path.length > 0)
			wire_set_file(message, &parts->detail, &event->file);
		break;
	case EVENT_OPEN: wire_set_file(message, &parts->detail, &event->file); break;
	case EVENT_END:
		taffrail__v1__end__init(&parts->end);
		parts->end.code = event->end.code;
		parts->end.signal = event->end.signal;
		message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_END;
		message->end = &parts->end;
		break;
	case EVENT_LOST: wire_set_lost(message, &parts->health, &event->lost); break;
	case EVENT_COVERAGE: wire_set_coverage(message, &parts->health, &event->coverage); break;
	case EVENT_FILTERED: wire_set_filtered(message, &parts->health, &event->filtered); break;
	case EVENT_BUDGET: wire_set_budget(message, &parts->health, &event->budget); break;
	case EVENT_ATTRIBUTION: wire_set_attribution(message, &parts->health, &event->attribution); break;
	case EVENT_CONTAINER_STARTED:
	case EVENT_CONTAINER_STOPPED: wire_set_life(message, &parts->life, event); break;
	case EVENT_CGROUP_LEFT: wire_set_cgroup(message, &parts->life, &event->cgroup); break;
	case EVENT_CONTAINER_NAMED:
	case EVENT_FORK:
	case EVENT_RULES:
	case EVENT_SUPPRESSED:
	case EVENT_TAMPER: break;
	default:
		switch (event_action_category(event->action)) {
		case EVENT_CHANGE: wire_set_change(message, &parts->detail, &event->change); break;
		case EVENT_DEED: wire_set_deed(message, &parts->detail, &event->deed); break;
		default: wire_set_network(message, &parts->detail, &event->network); break;
		}
		break;
	}
}

void wire_batch_add(struct wire_batch *batch, const struct event *event)
{
	Taffrail__V1__Event message = TAFFRAIL__V1__EVENT__INIT;
	struct parts parts;

	parts.life.room = parts.health.room = parts.rule.room = parts.rule.detector = NULL;
	if (event->container) {
		add_container(batch, event->container);
		message.container_id = bytes_at(event->container->id, sizeof(event->container->id));
	}
	if (event->process) {
		add_process(batch, event->process);
		parts.process = reference(event->process);
		message.process = &parts.process;
	}
	message.sequence = event->sequence;
	message.time_ns = event->time_ns;
	message.action = (Taffrail__V1__Action)(event->action ? event->action : event->newer);
	message.outcome = (Taffrail__V1__Outcome)event->outcome;
	message.error = event->error;
	message.call = (uint32_t)event->call;
	message.result = (int32_t)event->result;
	message.descriptor = (uint32_t)(event->descriptor + 1);
	message.pending = event->pending;
	message.io_uring = event->io_uring;
	message.runtime_setup = event->runtime_setup;
	message.left_cgroup = event->left_cgroup;
	if (event->nested_id)
		message.nested_id = bytes_at(event->nested_id, EVENT_CONTAINER_ID_SIZE);
	message.count = event->count > 1 ? event->count : 0;
	message.truncated = event->truncated;
	message.ring = event->ring;
	message.cpu = event->cpu;
	message.ring_sequence = event->ring_sequence;
	set_detail(&message, &parts, event);
	if (event->rule)
		wire_set_rule(&message, &parts.rule, event->rule);
	put_record(batch, RECORD_EVENT, &message.base);
	free(parts.life.room);
	free(parts.health.room);
	free(parts.rule.room);
	free(parts.rule.detector);
}

size_t wire_batch_size(const struct wire_batch *batch)
{
	return batch->bytes->length - UP_HEADER;
}

static void forget_defined(struct wire_batch *batch)
{
	batch->used = 0;
	if (++batch->generation == 0) {
		memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
		batch->generation = 1;
	}
}

void wire_batch_take_back(struct wire_batch *batch, size_t size)
{
	batch->bytes->length = UP_HEADER + size;
	forget_defined(batch);
}

void wire_batch_taken_out(struct wire_batch *batch, uint64_t count)
{
	batch->taken_out = count;
}

void wire_batch_books(struct wire_batch *batch, const struct wire_books *books)
{
	batch->has_books = true;
	batch->books = *books;
}

/* The batch's own fields; protobuf lets them stand behind the records. */
static void put_batch_fields(const struct wire_batch *from, struct buffer *bytes, const struct event_host *host,
	uint64_t first, uint64_t last)
{
	Taffrail__V1__Batch batch = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Books books = TAFFRAIL__V1__BOOKS__INIT;
	Taffrail__V1__Host message = TAFFRAIL__V1__HOST__INIT;
	char room[2048];
	struct wire_strings strings = {.room = room, .size = sizeof(room)};
	char *to;

	message.id = wire_string(&strings, host->id);
	message.name = wire_string(&strings, host->name);
	message.boot_id = wire_string(&strings, host->boot_id);
	message.cluster = wire_string(&strings, host->cluster);
	batch.host = &message;
	batch.epoch = bytes_at(host->epoch, sizeof(host->epoch));
	batch.first = first;
	batch.last = last;
	batch.taken_out = from->taken_out;
	books.seen = from->books.seen;
	books.settled = from->books.settled;
	books.held = from->books.held;
	books.undeclared = from->books.undeclared;
	books.closed = from->books.closed;
	batch.books = from->has_books ? &books : NULL;
	to = buffer_reserve(bytes, taffrail__v1__batch__get_packed_size(&batch));
	if (to)
		bytes->length += taffrail__v1__batch__pack(&batch, (uint8_t *)to);
}

struct buffer *wire_batch_finish(struct wire_batch *batch, const struct event_host *host, uint64_t first, uint64_t last)
{
	struct buffer *bytes = batch->bytes, *next = new_bytes(bytes->length);
	size_t size;

	put_batch_fields(batch, bytes, host, first, last);
	batch->taken_out = 0;
	batch->has_books = false;
	forget_defined(batch);
	if (!next || bytes->failed) { /* start anew in the same memory: what it held cannot be sent whole */
		wire_bytes_free(next);
		buffer_clear(bytes);
		bytes->length = UP_HEADER;
		return NULL;
	}
	size = bytes->length - UP_HEADER;
	bytes->data[0] = UP_BATCH << 3 | LENGTH_DELIMITED;
	for (int i = 0; i < 5;
		i++) /* five bytes whatever the length: readers take a varint that is longer than needed */
		bytes->data[1 + i] = (char)((size >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
	batch->bytes = next;
	return bytes;
}

void wire_batch_close(struct wire_batch *batch)
{
	if (!batch)
		return;
	wire_bytes_free(batch->bytes);
	for (size_t i = 0; batch->kept && i < KEPT; i++)
		buffer_free(&batch->kept[i].bytes);
	free(batch->kept);
	buffer_free(&batch->parts);
	free(batch->slots);
	free(batch);
}
