/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files a program opened and wrote. Most programs have no flows, and nobody will ask; so what is opened goes to a ring that
 * all share, which costs a copy, and only programs of containers that have flows keep theirs. A program that opens its first
 * flow takes from the ring what it has opened before.
 */
#include <stdlib.h>
#include <string.h>

#include "detect/outbound.h"
#include "detect/outbound_inside.h"

/* What every program opens says nothing of it. */
static bool is_worth_keeping(struct text path)
{
	static const struct text beginnings[] = {TEXT_STATIC("/usr/"), TEXT_STATIC("/lib"), TEXT_STATIC("/proc/"),
		TEXT_STATIC("/sys/"), TEXT_STATIC("/dev/"), TEXT_STATIC("/etc/ld."), TEXT_STATIC("/etc/ssl/"),
		TEXT_STATIC("/etc/nsswitch.conf"), TEXT_STATIC("/etc/host"), TEXT_STATIC("/etc/resolv.conf"),
		TEXT_STATIC("/etc/localtime"), TEXT_STATIC("/etc/gai.conf"), TEXT_STATIC("/bin/"),
		TEXT_STATIC("/sbin/")};

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (text_starts_with(path, beginnings[i]))
			return false;
	return path.length > 1;
}

static void set_file(struct outbound_file *file, struct text path, uint64_t hash, uint64_t now_ns)
{
	size_t skip = path.length < OUTBOUND_FILE_TEXT ? 0 : path.length - (OUTBOUND_FILE_TEXT - 1);

	file->hash = hash;
	file->last_ns = now_ns;
	memcpy(file->path, path.data + skip, path.length - skip);
	file->path[path.length - skip] = '\0';
}

static void note_file(struct outbound_state *state, struct text path, bool written, uint64_t now_ns)
{
	uint64_t hash = hash_bytes(path.data, path.length) | 1;
	struct outbound_file *files, *oldest;

	if (!state->files)
		state->files = calloc(1, sizeof(*state->files));
	if (!state->files) {
		state->outbound->counters.without_memory++;
		return;
	}
	files = written ? state->files->written : state->files->opened;
	oldest = files;
	for (size_t i = 0; i < OUTBOUND_FILES; i++) {
		if (files[i].hash == hash) {
			files[i].last_ns = now_ns;
			return;
		}
		if (files[i].last_ns < oldest->last_ns)
			oldest = &files[i];
	}
	set_file(oldest, path, hash, now_ns);
}

/* Have programs of the container flows? Of some that have not this is said, too. */
static uint16_t *flows_of(struct outbound *outbound, const uint8_t *container_id)
{
	uint64_t word = 0;

	if (container_id)
		memcpy(&word, container_id, sizeof(word));
	return &outbound->with_flows[(word ^ outbound->ops.seed) % OUTBOUND_CONTAINER_SLOTS];
}

void outbound_files_begin(struct outbound_state *state)
{
	struct outbound *outbound = state->outbound;

	*flows_of(outbound, state->inside ? state->container_id : NULL) += 1;
	for (size_t i = 0; i < OUTBOUND_RECENT; i++) {
		const struct outbound_recent *recent = &outbound->recent[(outbound->recent_next + i) % OUTBOUND_RECENT];

		if (recent->file.hash == state->node.hash)
			note_file(state, text_of(recent->file.path), recent->written, recent->file.last_ns);
	}
}

void outbound_files_end(struct outbound_state *state)
{
	*flows_of(state->outbound, state->inside ? state->container_id : NULL) -= 1;
	free(state->files);
}

bool outbound_file(
	struct outbound *outbound, const struct outbound_who *who, struct text path, bool written, uint64_t now_ns)
{
	struct outbound_state *state;
	struct outbound_recent *recent;

	if (!is_worth_keeping(path))
		return false;
	if (*flows_of(outbound, who->container_id) > 0) {
		state = outbound_state_of(outbound, who, false);
		if (state && state->active) {
			note_file(state, path, written, now_ns);
			return true;
		}
	}
	recent = &outbound->recent[outbound->recent_next++ % OUTBOUND_RECENT];
	recent->written = written;
	set_file(&recent->file, path, outbound_who_hash(who), now_ns);
	return *flows_of(outbound, who->container_id) > 0;
}
