/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "sensor/entry.h"
#include "sensor/image.h"
#include "sensor/lineage.h"

enum {
	LIVING_MAX = 1 << 18, /* a lost exit leaves an entry behind: past this the oldest goes */
	ENDED_MAX = 1 << 15,
	IMAGES_MAX = 8, /* of one process: records of older ones have long come */
};

struct process {
	struct table_node node;
	pid_t pid;
	uint64_t start_ns;    /* boot time */
	struct image *images; /* newest first */
	bool entered;         /* its entry leader is known */
	bool ended;
	uint64_t ended_ns;
	struct process *older, *newer; /* in its queue, by age */
};

/* Processes by age: the oldest leaves first. */
struct queue {
	struct process *oldest, *newest;
	size_t count;
};

struct process_table {
	struct table processes;
	struct entry_table *entries;
	struct lineage *former; /* what a former life knew, until what came before the census is read; NULL: nothing */
	uint64_t census_ns;     /* boot time of its last record; 0: there was none */
	struct queue living, ended;
	struct process *last; /* that was found; records of one process come in runs. NULL: none */
	uint64_t seed[2];
};

/* --- the table ------------------------------------------------------------------------------------------------------- */

struct key {
	uint64_t start_ns;
	uint64_t pid;
};

static uint64_t key_hash(const struct key *key)
{
	return hash_bytes(key, sizeof(*key));
}

static bool process_matches(const struct table_node *node, const void *key_bytes)
{
	const struct process *process = table_entry(node, struct process, node);
	const struct key *key = key_bytes;

	return process->start_ns == key->start_ns && process->pid == (pid_t)key->pid;
}

static struct process *find(struct process_table *table, uint32_t pid, uint64_t start_ns)
{
	struct key key = {start_ns, pid};
	struct table_node *node;

	if (table->last && table->last->start_ns == start_ns && table->last->pid == (pid_t)pid)
		return table->last;
	node = table_find(&table->processes, key_hash(&key), process_matches, &key);
	if (!node)
		return NULL;
	table->last = table_entry(node, struct process, node);
	return table->last;
}

static void queue_add(struct queue *queue, struct process *process)
{
	process->newer = NULL;
	process->older = queue->newest;
	if (queue->newest)
		queue->newest->newer = process;
	else
		queue->oldest = process;
	queue->newest = process;
	queue->count++;
}

static void queue_remove(struct queue *queue, struct process *process)
{
	*(process->older ? &process->older->newer : &queue->oldest) = process->newer;
	*(process->newer ? &process->newer->older : &queue->newest) = process->older;
	queue->count--;
}

static void forget(struct process_table *table, struct process *process)
{
	if (table->last == process)
		table->last = NULL;
	table_remove(&table->processes, &process->node);
	queue_remove(process->ended ? &table->ended : &table->living, process);
	for (struct image *image = process->images, *older; image; image = older) {
		older = image->older;
		image_release(image);
	}
	free(process);
}

static struct process *add(struct process_table *table, uint32_t pid, uint64_t start_ns)
{
	struct process *process = calloc(1, sizeof(*process));
	struct key key = {start_ns, pid};

	if (!process)
		return NULL;
	process->pid = (pid_t)pid;
	process->start_ns = start_ns;
	if (table_insert(&table->processes, &process->node, key_hash(&key)) < 0) {
		free(process);
		return NULL;
	}
	queue_add(&table->living, process);
	if (table->living.count > LIVING_MAX)
		forget(table, table->living.oldest);
	return process;
}

/* The process becomes the owner of `image`: its newest, or, where a late record tells of it, in its place by exec. */
static struct image *add_image(struct process *process, struct image *image)
{
	struct image **place = &process->images, *last;

	while (*place && (*place)->view.exec_counter > image->view.exec_counter)
		place = &(*place)->older;
	image->references++;
	image->older = *place;
	*place = image;
	if (process->images != image)
		return image;
	last = process->images;
	for (int kept = 1; kept < IMAGES_MAX && last; kept++)
		last = last->older;
	if (last && last->older) {
		image_release(last->older);
		last->older = NULL;
	}
	return image;
}

static struct image *find_image(struct process *process, uint32_t exec_counter)
{
	for (struct image *image = process ? process->images : NULL; image; image = image->older)
		if (image->view.exec_counter == exec_counter)
			return image;
	return NULL;
}

/*
 * The process, from a former life if need be: one may have ended between that life's end and the census, and what it did
 * until then is in the rings.
 */
static struct process *find_or_adopt(struct process_table *table, uint32_t pid, uint64_t start_ns)
{
	struct process *process = find(table, pid, start_ns);
	uint8_t entity[EVENT_ENTITY_SIZE];
	struct image *image;

	if (process || !table->former)
		return process;
	image_entity(table->seed, start_ns, pid, entity);
	image = lineage_adopt(table->former, entity);
	process = image ? add(table, pid, start_ns) : NULL;
	if (!process)
		return NULL;
	add_image(process, image);
	process->entered = image->leader != NULL;
	if (image->view.in_container)
		entry_note(table->entries, image->view.container_id);
	return process;
}

bool process_knows(struct process_table *table, const struct kernel_header *header)
{
	return header->flags & KERNEL_NO_PROCESS ||
	       find_image(find(table, header->tgid, header->start_ns), header->exec_counter) != NULL;
}

/* --- how a process came in ------------------------------------------------------------------------------------------- */

static bool same_container(const struct event_process *a, const struct event_process *b)
{
	return a->in_container == b->in_container &&
	       memcmp(a->container_id, b->container_id, sizeof(a->container_id)) == 0;
}

/* The runtime's own on its way in has come from nowhere yet; it comes in with the exec that it was for. */
static void enter(struct process_table *table, struct process *process, struct image *image)
{
	struct image *parent = image->parent;

	if (image->view.setup)
		return;
	if (parent && parent->leader && same_container(&parent->view, &image->view)) {
		image_set_leader(image, parent->leader);
	} else {
		image->view.entry = entry_judge(table->entries, &image->view);
		image->view.entering = true;
		image_set_leader(image, image);
	}
	process->entered = true;
}

/* --- records --------------------------------------------------------------------------------------------------------- */

/* The image that an ancestor of an exec record names: one of the table's, or a new one that only descendants hold. */
static struct image *ancestor_image(
	struct process_table *table, const struct record *record, size_t index, uint64_t boot_unix_ns)
{
	const struct kernel_exec *exec = record->exec;
	const struct kernel_ancestor *ancestor = index < exec->ancestor_count ? &exec->ancestors[index] : NULL;

	if (!ancestor)
		return NULL;

	struct image *image =
		find_image(find_or_adopt(table, ancestor->tgid, ancestor->start_ns), ancestor->exec_counter);

	if (image)
		return image;
	image = image_new(table->seed, ancestor->tgid, ancestor->start_ns, boot_unix_ns);
	if (!image)
		return NULL;
	image->view.exec_counter = ancestor->exec_counter;
	image->view.name = (struct text){ancestor->name, strnlen(ancestor->name, sizeof(ancestor->name))};
	image->view.executable = record_text(record, ancestor->executable);

	struct text *const texts[] = {&image->view.name, &image->view.executable};

	if (image_keep_strings(image, texts, 2) < 0) {
		free(image);
		return NULL;
	}
	image_set_parent(image, ancestor_image(table, record, index + 1, boot_unix_ns));
	if (!image->parent && exec->truncated & KERNEL_CUT_ANCESTORS)
		image->view.truncated |= EVENT_CUT_ANCESTORS;
	return image;
}

/* Does the table know the process of the census better than its record? */
static bool is_known(const struct image *image, const struct kernel_header *header)
{
	if (!image->view.image_known)
		return false;
	/* It may have gone on since the former life: then that image is the one before. */
	return !image->former ||
	       (image->view.exec_counter == header->exec_counter &&
		       image->view.in_container == !!(header->flags & KERNEL_IN_CONTAINER) &&
		       memcmp(image->view.container_id, header->container_id, sizeof(image->view.container_id)) == 0);
}

/* The image that the census saw this exec's process in: its exec is told only now. NULL: there is none. */
static struct image *seen_by_census(struct process *process, const struct kernel_header *header)
{
	struct image *image = header->kind == KERNEL_EXEC ? find_image(process, header->exec_counter) : NULL;

	return image && image->census ? image : NULL;
}

/* The image from which the process went on to this one: the census may have seen a later one before it was told. */
static struct image *image_before(struct process *process, const struct kernel_header *header)
{
	struct image *image = process ? process->images : NULL;

	while (image && image->view.exec_counter >= header->exec_counter)
		image = image->older;
	return image || !process || seen_by_census(process, header) ? image : process->images;
}

/* Who is its entry leader. What the census found is not judged twice. */
static void lead(struct process_table *table, struct process *process, struct image *image, struct image *before,
	struct image *seen)
{
	if (seen && seen->leader && !(before && before->leader && same_container(&before->view, &image->view))) {
		before = seen;
		image->view.entering = seen->view.entering;
	}
	if (!process->entered || !before || !same_container(&before->view, &image->view)) {
		enter(table, process, image);
	} else if (before->leader == before) {
		image->view.entry = before->view.entry;
		image_set_leader(image, image);
	} else {
		image_set_leader(image, before->leader);
	}
}

/* EXEC and PROCESS: a new image, with the parent of the one before, or that which the record tells. */
static struct image *apply_exec(struct process_table *table, const struct record *record, uint64_t boot_unix_ns)
{
	const struct kernel_header *header = record->header;
	struct process *process = find_or_adopt(table, header->tgid, header->start_ns);
	struct image *before = image_before(process, header), *seen = seen_by_census(process, header);

	if (header->kind == KERNEL_PROCESS) {
		table->census_ns = header->time_ns > table->census_ns ? header->time_ns : table->census_ns;
		if (process && process->images && is_known(process->images, header))
			return process->images;
	}

	struct image *image = image_new(table->seed, header->tgid, header->start_ns, boot_unix_ns);

	if (!image)
		return NULL;
	if (image_fill(image, record) < 0 || (!process && !(process = add(table, header->tgid, header->start_ns)))) {
		image->references = 1;
		image_release(image);
		return NULL;
	}
	image->census = header->kind == KERNEL_PROCESS;
	if (before && before->parent && !before->view.setup)
		image_set_parent(image, before->parent);
	else
		image_set_parent(image, ancestor_image(table, record, 0, boot_unix_ns));
	lead(table, process, add_image(process, image), before, seen);
	return image;
}

/* The census was there first: of a parent that had ended by then it knew nothing, but how the process came in is judged. */
static void lead_fork(struct image *image, struct image *seen)
{
	struct image *parent = image->parent;

	if (image->view.setup)
		return;
	if (parent && parent->leader && same_container(&parent->view, &image->view)) {
		image_set_leader(image, parent->leader);
	} else if (seen->leader == seen && same_container(&seen->view, &image->view)) {
		image->view.entry = seen->view.entry;
		image_set_leader(image, image);
	} else if (same_container(&seen->view, &image->view)) {
		image_set_leader(image, seen->leader);
	}
}

static struct image *apply_fork(struct process_table *table, const struct record *record, uint64_t boot_unix_ns)
{
	const struct kernel_fork *fork = record->fork;
	struct process *process = find(table, fork->header.tgid, fork->header.start_ns);
	struct image *seen = process ? process->images : NULL, *known = find_image(process, fork->header.exec_counter);

	if (known && !known->census)
		return known;
	if (seen && !seen->census)
		return seen;

	struct process *parent_process = find_or_adopt(table, fork->parent_tgid, fork->parent_start_ns);
	struct image *parent = find_image(parent_process, fork->parent_exec_counter);
	struct image *image = image_new(table->seed, fork->header.tgid, fork->header.start_ns, boot_unix_ns);

	if (!process)
		process = image ? add(table, fork->header.tgid, fork->header.start_ns) : NULL;
	if (!image || !process) {
		free(image);
		return NULL;
	}
	if (parent) {
		image_fork(image, parent);
	} else {
		image->view.name = (struct text){fork->name, strnlen(fork->name, sizeof(fork->name))};

		struct text *const texts[] = {&image->view.name};

		(void)image_keep_strings(image, texts, 1);
	}
	image->view.exec_counter = fork->header.exec_counter;
	image->view.vpid = fork->vpid;
	image->view.uid = fork->euid;
	image->view.gid = fork->egid;
	image->view.real_uid = fork->uid;
	image->view.real_gid = fork->gid;
	image->view.sid = fork->sid;
	image->view.pgid = fork->pgid;
	image_set_container(image, &fork->header);
	add_image(process, image);
	if (seen)
		lead_fork(image, seen);
	else if (parent && parent_process->entered)
		enter(table, process, image);
	return image;
}

static struct image *apply_other(struct process_table *table, const struct record *record, uint64_t boot_unix_ns)
{
	const struct kernel_header *header = record->header;
	struct process *process = find_or_adopt(table, header->tgid, header->start_ns);
	struct image *image = find_image(process, header->exec_counter);

	if (image) {
		/* A thread may do something before the kernel tells that it was moved in; then the mark comes later. */
		image->view.setup |= (header->marks & KERNEL_SETUP) != 0;
		return image;
	}
	/* Its fork or exec was lost, or it was moved into the container: the ids are right, the rest is not known. */
	image = image_new(table->seed, header->tgid, header->start_ns, boot_unix_ns);
	if (!process)
		process = image ? add(table, header->tgid, header->start_ns) : NULL;
	if (!image || !process) {
		free(image);
		return NULL;
	}
	image->view.exec_counter = header->exec_counter;
	image_set_container(image, header);
	if (process->images) {
		image_set_parent(image, process->images->parent);
		image_set_leader(image, process->images->leader == process->images ? image : process->images->leader);
	}
	return add_image(process, image);
}

const struct event_process *process_apply(
	struct process_table *table, const struct record *record, uint64_t boot_unix_ns)
{
	const struct kernel_header *header = record->header;
	struct image *image;

	if (header->flags & KERNEL_NO_PROCESS)
		return NULL;
	switch (header->kind) {
	case KERNEL_EXEC:
	case KERNEL_PROCESS: image = apply_exec(table, record, boot_unix_ns); break;
	case KERNEL_FORK: image = apply_fork(table, record, boot_unix_ns); break;
	default: image = apply_other(table, record, boot_unix_ns); break;
	}
	if (!image) {
		log_limited("out of memory: process %u has no entry", header->tgid);
		return NULL;
	}
	if (header->kind == KERNEL_EXIT) {
		struct process *process = find(table, header->tgid, header->start_ns);

		if (process->ended)
			return NULL;
		queue_remove(&table->living, process);
		process->ended = true;
		process->ended_ns = header->time_ns;
		queue_add(&table->ended, process);
	}
	return &image->view;
}

int process_set_arguments(struct process_table *table, pid_t pid, uint64_t start_ns, struct text args)
{
	struct process *process = find(table, (uint32_t)pid, start_ns);

	if (!process)
		return -ESRCH;

	/* As exec gave them: a program may write others over those that /proc shows. */
	if (process->images->former && process->images->view.args.length > 0)
		return 0;
	return image_set_arguments(process->images, args);
}

/* --- from life to life ----------------------------------------------------------------------------------------------- */

int process_restore(struct process_table *table, const struct event_process *former)
{
	int error = table->former ? 0 : lineage_open(&table->former);

	return error ? error : lineage_add(table->former, former);
}

size_t process_restored(const struct process_table *table)
{
	return table->former ? lineage_left(table->former) : 0;
}

void process_each(const struct process_table *table, process_callback *callback, void *context)
{
	for (const struct process *process = table->living.oldest; process; process = process->newer)
		if (process->images && !callback(context, &process->images->view))
			return;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int process_open(struct process_table **out, const char *boot_id)
{
	struct process_table *table = calloc(1, sizeof(*table));

	if (!table || entry_open(&table->entries) < 0) {
		free(table);
		return -ENOMEM;
	}
	/* FNV-1a over the boot id, twice: not a secret, only one number for each boot, the same at every start. */
	for (int half = 0; half < 2; half++) {
		table->seed[half] = 0xcbf29ce484222325ull + (uint64_t)half;
		for (const char *c = boot_id; *c; c++)
			table->seed[half] = (table->seed[half] ^ (uint8_t)*c) * 0x100000001b3ull;
	}
	table_init(&table->processes);
	*out = table;
	return 0;
}

void process_expire(struct process_table *table, uint64_t boot_ns)
{
	while (table->ended.oldest && (table->ended.oldest->ended_ns < boot_ns || table->ended.count > ENDED_MAX))
		forget(table, table->ended.oldest);
	if (table->former && boot_ns > table->census_ns) {
		lineage_close(table->former);
		table->former = NULL;
	}
}

void process_count(const struct process_table *table, size_t *living, size_t *ended)
{
	*living = table->living.count;
	*ended = table->ended.count;
}

void process_close(struct process_table *table)
{
	if (!table)
		return;
	while (table->living.oldest)
		forget(table, table->living.oldest);
	while (table->ended.oldest)
		forget(table, table->ended.oldest);
	table_free(&table->processes);
	lineage_close(table->former);
	entry_close(table->entries);
	free(table);
}
