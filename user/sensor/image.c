/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/process.h"

enum { LINEAGE_MAX = 64 }; /* ancestors that an image keeps; a longer chain is cut, and says so */

struct image_block {
	size_t references;
	char bytes[];
};

static struct image *image_of(const struct event_process *view)
{
	return (struct image *)(uintptr_t)view;
}

const struct event_process *process_hold(const struct event_process *view)
{
	if (view)
		image_of(view)->references++;
	return view;
}

void image_release(struct image *image)
{
	/* A loop, not a recursion: a chain of parents may be long. */
	while (image && --image->references == 0) {
		struct image *parent = image->parent;

		if (image->leader && image->leader != image)
			image_release(image->leader);
		if (image->block && --image->block->references == 0)
			free(image->block);
		free(image);
		image = parent;
	}
}

void process_release(const struct event_process *view)
{
	image_release(view ? image_of(view) : NULL);
}

void image_set_leader(struct image *image, struct image *leader)
{
	if (leader && leader != image)
		leader->references++;
	image->leader = leader;
	image->view.entry_leader = leader ? &leader->view : NULL;
}

/* A copy without ancestors: where a chain of parents is cut. */
static struct image *image_cut(const struct image *from)
{
	struct image *image = malloc(sizeof(*image));

	if (!image)
		return NULL;
	*image = *from;
	image->references = 0;
	image->parent = NULL;
	image->older = NULL;
	image->depth = 0;
	image->view.parent = NULL;
	image->view.truncated |= EVENT_CUT_ANCESTORS;
	if (image->block)
		image->block->references++;
	image_set_leader(image, from->leader == from ? image : from->leader);
	return image;
}

void image_set_parent(struct image *image, struct image *parent)
{
	if (parent && parent->depth >= LINEAGE_MAX)
		parent = image_cut(parent);
	if (!parent)
		return;
	parent->references++;
	image->parent = parent;
	image->depth = parent->depth + 1;
	image->view.parent = &parent->view;
}

/* Splits the entity: within one boot (start, pid) maps to it one to one; other boots are scrambled apart by the seed. */
void image_entity(const uint64_t seed[2], uint64_t start_ns, uint32_t pid, uint8_t entity[EVENT_ENTITY_SIZE])
{
	uint64_t high = start_ns ^ seed[0];

	for (int round = 0; round < 2; round++) { /* steps that can be undone, so nothing collides */
		high ^= high >> 32;
		high *= 0xd6e8feb86659fd93ull;
		high += seed[1];
	}
	high ^= high >> 29;

	uint32_t low = pid ^ (uint32_t)(high * 0x9e3779b97f4a7c15ull >> 32) ^ (uint32_t)seed[1];

	memcpy(entity, &high, sizeof(high));
	memcpy(entity + sizeof(high), &low, sizeof(low));
}

struct image *image_new(const uint64_t seed[2], uint32_t pid, uint64_t start_ns, uint64_t boot_unix_ns)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->view.pid = pid;
	image->view.start_ns = boot_unix_ns + start_ns;
	image->view.login_uid = image->view.session_id = UINT32_MAX;
	image_entity(seed, start_ns, pid, image->view.entity);
	return image;
}

struct image *image_former(const struct event_process *view)
{
	struct image *image = calloc(1, sizeof(*image));
	struct event_process *own = image ? &image->view : NULL;

	if (!image)
		return NULL;
	*own = *view;
	own->parent = own->entry_leader = NULL;
	own->entering = false;
	image->former = true;

	struct text *const texts[] = {&own->name, &own->executable, &own->script, &own->args, &own->environment,
		&own->working_directory, &own->tty};

	if (image_keep_strings(image, texts, sizeof(texts) / sizeof(texts[0])) < 0) {
		free(image);
		return NULL;
	}
	return image;
}

void image_set_container(struct image *image, const struct kernel_header *header)
{
	image->view.in_container = header->flags & KERNEL_IN_CONTAINER;
	image->view.setup = header->marks & KERNEL_SETUP;
	memcpy(image->view.container_id, header->container_id, sizeof(image->view.container_id));
}

int image_keep_strings(struct image *image, struct text *const texts[], size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += texts[i]->length;

	struct image_block *block = malloc(sizeof(*block) + size);
	char *next = block ? block->bytes : NULL;

	if (!block)
		return -ENOMEM;
	block->references = 1;
	for (size_t i = 0; i < count; i++) {
		if (texts[i]->length > 0)
			memcpy(next, texts[i]->data, texts[i]->length);
		texts[i]->data = next;
		next += texts[i]->length;
	}
	if (image->block && --image->block->references == 0)
		free(image->block);
	image->block = block;
	return 0;
}

/* The same strings as another image's: for the child of a fork. */
static void share_strings(struct image *image, const struct image *from)
{
	image->block = from->block;
	if (image->block)
		image->block->references++;
}

void image_fork(struct image *image, struct image *parent)
{
	struct event_process own = image->view;

	image->view = parent->view;
	image->view.parent = image->view.entry_leader = NULL;
	image->view.entry = EVENT_ENTRY_UNKNOWN;
	image->view.entering = false;
	image->view.pid = own.pid;
	image->view.start_ns = own.start_ns;
	memcpy(image->view.entity, own.entity, sizeof(own.entity));
	share_strings(image, parent);
	image_set_parent(image, parent);
}

static uint32_t count_args(struct text args)
{
	uint32_t count = 0;

	for (size_t i = 0; i < args.length; i++)
		count += args.data[i] == '\0';
	return count + (args.length > 0 && args.data[args.length - 1] != '\0');
}

static void fill_credentials(struct event_process *view, const struct kernel_exec *exec)
{
	view->uid = exec->euid;
	view->gid = exec->egid;
	view->real_uid = exec->uid;
	view->real_gid = exec->gid;
	view->login_uid = exec->login_uid;
	view->session_id = exec->session;
	view->sid = exec->sid;
	view->pgid = exec->pgid;
	view->cap_inheritable = exec->cap_inheritable;
	view->cap_permitted = exec->cap_permitted;
	view->cap_effective = exec->cap_effective;
	view->cap_bounding = exec->cap_bounding;
	view->cap_ambient = exec->cap_ambient;
}

int image_fill(struct image *image, const struct record *record)
{
	const struct kernel_exec *exec = record->exec;
	struct event_process *view = &image->view;
	struct text interp = record_text(record, exec->interp), filename = record_text(record, exec->filename);

	view->exec_counter = exec->header.exec_counter;
	view->vpid = exec->vpid;
	view->image_known = true;
	view->inode = exec->inode;
	view->ctime_ns = exec->ctime_ns;
	view->mtime_ns = exec->mtime_ns;
	/* By its own start: what boot time is in Unix time is not told alike twice. */
	view->namespace_ns = exec->namespace_ns ? view->start_ns + exec->namespace_ns - exec->header.start_ns : 0;
	view->tty_major = exec->tty_major;
	view->tty_minor = exec->tty_minor;
	memcpy(view->fd_types, exec->fd_types, sizeof(view->fd_types));
	view->upper = exec->executable_flags & KERNEL_EXE_UPPER;
	view->copied_up = exec->executable_flags & KERNEL_EXE_COPIED_UP;
	view->memfd = exec->executable_flags & KERNEL_EXE_MEMFD;
	view->deleted = exec->executable_flags & KERNEL_EXE_DELETED;
	view->foreign = exec->executable_flags & KERNEL_EXE_FOREIGN;
	view->truncated = exec->truncated & KERNEL_CUT_ARGS ? EVENT_CUT_ARGS : 0;
	view->truncated |= exec->truncated & KERNEL_CUT_ENVIRONMENT ? EVENT_CUT_ENVIRONMENT : 0;
	view->truncated |= exec->truncated & KERNEL_CUT_PATH ? EVENT_CUT_EXECUTABLE : 0;
	view->truncated |= exec->truncated & KERNEL_CUT_DIRECTORY ? EVENT_CUT_WORKING_DIRECTORY : 0;
	fill_credentials(view, exec);
	image_set_container(image, &exec->header);
	view->name = (struct text){exec->name, strnlen(exec->name, sizeof(exec->name))};
	view->executable = record_text(record, exec->executable);
	view->script = text_equal(interp, filename) ? (struct text){0} : filename;
	view->args = record_text(record, exec->args);
	view->args_count = exec->args_count ? exec->args_count : count_args(view->args);
	view->environment = record_text(record, exec->environment);
	view->working_directory = record_text(record, exec->cwd);
	view->tty = record_text(record, exec->tty);

	struct text *const texts[] = {&view->name, &view->executable, &view->script, &view->args, &view->environment,
		&view->working_directory, &view->tty};

	return image_keep_strings(image, texts, sizeof(texts) / sizeof(texts[0]));
}

int image_set_arguments(struct image *image, struct text args)
{
	struct event_process *view = &image->view;
	struct text *const texts[] = {&view->name, &view->executable, &view->script, &view->args, &view->environment,
		&view->working_directory, &view->tty};

	view->args = args;
	view->args_count = count_args(args);
	return image_keep_strings(image, texts, sizeof(texts) / sizeof(texts[0]));
}
