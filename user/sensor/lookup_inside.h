/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lookup.c (one id's way to its names), lookup_disk.c (what lies on disk), lookup_exit.c (how it ended) and lookup_list.c (whom to
 * look for) share; for no other file.
 */
#ifndef TAFFRAIL_SENSOR_LOOKUP_INSIDE_H
#define TAFFRAIL_SENSOR_LOOKUP_INSIDE_H

#include <sys/queue.h>

#include "base/buffer.h"
#include "base/table.h"
#include "sensor/lookup.h"

enum { LOOKUP_ID_TEXT_SIZE = 2 * EVENT_CONTAINER_ID_SIZE + 1 };

/* One id, of a container or a sandbox. */
struct subject {
	struct table_node node;
	TAILQ_ENTRY(subject) backlog, waiting;
	struct lookup *lookup;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	char text[LOOKUP_ID_TEXT_SIZE];
	struct container_meta *meta;   /* the best so far, or NULL */
	struct container_meta *status; /* of a container: its own names, without the pod's, or NULL */
	uint8_t sandbox_id[EVENT_CONTAINER_ID_SIZE];
	bool is_sandbox, has_sandbox_id;
	bool asked, in_backlog, is_waiting, unpublished;
	bool met;                 /* somebody has asked for it once: it runs, or did */
	bool created;             /* a runtime said so: it had not started then */
	bool alone;               /* no CRI can know it */
	bool terse;               /* the runtime fails to give a verbose status of it */
	uint32_t host_namespaces; /* of a sandbox: what its containers have of the host, by the CRI */
	bool stale;               /* a sandbox that is listed otherwise than its names say */
	struct runtime *runtime;  /* that knows it, or NULL */
	uint32_t seen;            /* runtime->generation when it was listed last */
	uint64_t gone_ns;         /* when it was not listed any more, or 0 */
	unsigned calls;
	char *files;                 /* where the container's own files are, below the host's root, or NULL */
	struct buffer users, groups; /* of these files, as users.h has them */
	struct event *timer;         /* the next attempt */
	unsigned delay_ms;
	uint64_t deadline_ns;
	struct event *exit_timer; /* the next attempt to hear how it ended; NULL: nobody has asked yet */
	unsigned exit_calls, exit_delay_ms;
	bool exit_hopeful; /* some runtime may still tell */
	uint64_t exit_deadline_ns;
};

struct runtime {
	struct cri *cri;
	bool named, was_up, tried;
	unsigned lists; /* answers that are still to come */
	bool listed, list_failed;
	uint32_t generation;
};

struct lookup {
	struct event_base *base;
	struct lookup_ops ops;
	struct runtime runtimes[LOOKUP_RUNTIMES_MAX];
	size_t runtime_count;
	struct lookup_options options;
	char *root;
	char *states[LOOKUP_STATES_MAX];
	size_t state_count;
	struct table subjects;
	size_t names_bytes; /* of all their names */
	TAILQ_HEAD(subjects, subject) backlog;
	struct subjects waiting; /* of containers: all that is missing is their sandbox */
	size_t calls;
	bool starting; /* the backlog's turn is under way */
	bool stopped;
};

/* The subject of that id, or NULL. */
struct subject *subject_find(const struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
/* The same, made if it is new; NULL without memory. */
struct subject *subject_meet(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
/* Tried for a second from now on, at once, or when it is its turn. */
void subject_start(struct subject *subject, bool at_once);
/* Those whose turn it is. */
void subject_start_backlog(struct lookup *lookup);
/* The sandbox that a container is said to be in; a later word beats an earlier one. */
void subject_take_sandbox_id(struct subject *subject, struct text sandbox_id);
/* What a runtime says of the container itself. */
void subject_take_status(struct subject *subject, const struct cri *cri, const struct cri_container *container);
/* Names that are new, and published if they say anything new. */
void subject_take_names(struct subject *subject, const struct event_container *view, enum container_standing standing);
/*
 * Puts names, whose reference it takes, in the place of others (subject->meta, subject->status). False if there are too many
 * bytes of names, and nothing has changed.
 */
bool subject_put(struct subject *subject, struct container_meta **place, struct container_meta *meta);
/* The names that are known, or NULL. */
const struct event_container *subject_view(const struct subject *subject);
/*
 * Takes the names of its users and groups, if they are not known and its files are there: they are not when its bundle is made.
 * True if there are any now, and there were none before.
 */
bool subject_read_users(struct subject *subject);
/* Takes what bundles and state tell. */
void subject_read_disk(struct subject *subject);
/* Something has become known: is it all now? And if not, what next? */
void subject_settle(struct subject *subject);
/* Is it still being found out how it ended? */
bool subject_exit_pending(const struct subject *subject);
bool subject_is_complete(const struct subject *subject);
void subject_publish(struct subject *subject);
void subject_forget(struct subject *subject);

struct runtime *lookup_runtime(struct lookup *lookup, const struct cri *cri);

#endif
