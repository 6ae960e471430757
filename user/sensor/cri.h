/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of one container runtime: the Container Runtime Interface v1 over its unix socket. Lives in the caller's
 * event base, never blocks, connects again by itself; every call has its deadline.
 *
 * GetContainerEvents is not used: on containerd 1.7 a second subscriber takes kubelet's events away.
 */
#ifndef TAFFRAIL_SENSOR_CRI_H
#define TAFFRAIL_SENSOR_CRI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

enum {
	CRI_MESSAGE_MAX = 16 << 20, /* bytes of an answer */
	/* Bytes of an answer once decoded, for small messages may grow a lot; and of all whose call has not ended. */
	CRI_DECODED_MAX = 128 << 20,
	CRI_UNFINISHED_MAX = 4 * CRI_MESSAGE_MAX, /* bytes of all answers that have begun and not ended */
	CRI_TEXT_MAX = 4096,         /* bytes of a name, a reference, an address: a longer one is left away */
	CRI_LABELS_MAX = 1024,       /* labels of a pod: the first by their keys … */
	CRI_LABELS_BYTES = 64 << 10, /* … of those that fit in here. Kubernetes has no limit for them */
	CRI_IPS_MAX = 64,
	CRI_DEADLINE_MS = 2000, /* of each call, and of connecting */
	CRI_RETRY_MAX_MS = 500, /* between two attempts to connect */
};

enum cri_method {
	CRI_VERSION,
	CRI_STATUS,
	CRI_LIST_SANDBOXES,
	CRI_SANDBOX_STATUS,
	CRI_LIST_CONTAINERS,
	CRI_CONTAINER_STATUS,
	CRI_CONTAINER_STATE, /* ContainerStatus without what only verbose answers have: cheap for the runtime */
	CRI_METHODS,
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* A pod; its id is the id of its pause container too. */
struct cri_sandbox {
	struct text id, name, namespace, uid;
	const struct event_label *labels; /* by their keys */
	size_t label_count;
	bool labels_cut;        /* there are more */
	const struct text *ips; /* CRI_SANDBOX_STATUS only */
	size_t ip_count;
	struct text image; /* of the pause container; CRI_SANDBOX_STATUS only */
	uint32_t attempt;
	/* CRI_SANDBOX_STATUS only. */
	const struct event_label *annotations;
	size_t annotation_count;
	uint32_t host_namespaces;      /* that the pod's containers have, by the CRI: bits of enum event_namespace */
	struct text cgroup;            /* the pause container's path or the pod's parent; may be empty */
	const struct event_spec *spec; /* of the pause container, or NULL */
};

/* The numbers of the CRI. */
enum cri_container_state { CRI_CONTAINER_CREATED, CRI_CONTAINER_RUNNING, CRI_CONTAINER_EXITED, CRI_CONTAINER_UNKNOWN };

struct cri_container {
	struct text id,
		sandbox_id; /* CRI_CONTAINER_STATUS tells the sandbox in its verbose part, CRI_CONTAINER_STATE never */
	struct text name;
	struct text image;     /* a reference; in CRI_LIST_CONTAINERS it may be the image's id */
	struct text image_ref; /* a reference with a digest, or the image's id */
	uint32_t attempt;
	/* CRI_CONTAINER_STATUS, CRI_CONTAINER_STATE. */
	enum cri_container_state state;
	int32_t exit_code;               /* if it has exited */
	struct text reason;              /* why it is in that state */
	int64_t started_ns, finished_ns; /* Unix time; 0: not yet */
	/* CRI_CONTAINER_STATUS only, where the runtime tells. */
	int64_t pid;
	bool privileged;
	struct text cgroup;            /* linux.cgroupsPath */
	const struct event_spec *spec; /* or NULL */
};

struct bundle_spec;

/* A decoded answer: views of `arena`. Which fields are set depends on the method. */
struct cri_answer {
	enum cri_method method;
	struct text runtime_name, runtime_version; /* CRI_VERSION */
	struct text state_directory;               /* CRI_STATUS of containerd: /run/containerd */
	const struct cri_sandbox *sandboxes;       /* CRI_LIST_SANDBOXES; CRI_SANDBOX_STATUS: one */
	size_t sandbox_count;
	const struct cri_container *containers; /* CRI_LIST_CONTAINERS; CRI_CONTAINER_STATUS, _STATE: one */
	size_t container_count;
	struct bundle_spec *written; /* what their spec points into */
	struct cri_arena *arena;
};

/*
 * Decodes the message that answers `method`. 0, -EBADMSG, -ENOMEM (also: more than CRI_DECODED_MAX). On an error there
 * is nothing to free.
 */
int cri_decode(enum cri_method method, const void *bytes, size_t length, struct cri_answer *answer);
/* Bytes of memory that it has. */
size_t cri_answer_bytes(const struct cri_answer *answer);
void cri_answer_free(struct cri_answer *answer);

/* --- the client ----------------------------------------------------------------------------------------------------- */

struct cri;
struct event_base;

enum cri_state {
	CRI_CONNECTING, /* being tried: nothing is known yet */
	CRI_UP,         /* it has told its version */
	CRI_ABSENT,     /* no such socket, or nobody listens there */
	CRI_FAILING,    /* somebody listens, but does not answer as a runtime should */
};

struct cri_ops {
	/*
	 * The state has changed; `why` is a sentence for people, without anything that could harm a terminal: for CRI_UP
	 * the runtime's name and version. Before it, calls under way have got their answers (errors).
	 */
	void (*on_state)(void *context, struct cri *cri, enum cri_state state, const char *why);
	void *context;
};

/* Starts to connect to the unix socket `path` (copied). 0, -EINVAL (the path is too long), -ENOMEM. */
int cri_open(struct event_base *base, const char *path, const struct cri_ops *ops, struct cri **cri);

const char *cri_path(const struct cri *cri);
/* What it calls itself, in lower case and printable: "containerd", "cri-o"; "" until it has told. */
const char *cri_name(const struct cri *cri);
enum cri_state cri_state(const struct cri *cri);

/* CRI_ABSENT: try to connect now instead of later; the state is CRI_CONNECTING if that returns true. */
bool cri_hurry(struct cri *cri);

/*
 * Calls `method` for `id` (a sandbox's or container's; "": all, for the two lists; NULL for the others). `on_answer` is called once:
 * `error` 0 and the answer, good until it returns; or -ENOENT (no such thing), -ETIMEDOUT, -EBADMSG, -ECANCELED (the
 * connection, or this client, was closed), -EOPNOTSUPP, -EIO, and no answer. Returns 0, or -ENOTCONN unless the state is CRI_UP, -ENOMEM,
 * and then it is never called.
 */
int cri_call(struct cri *cri, enum cri_method method, const char *id,
	void (*on_answer)(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
		const struct cri_answer *answer),
	void *context);

/* Answers that could not be decoded, calls that ran into their deadline. */
struct cri_counters {
	uint64_t calls, failed, timed_out, malformed;
};
void cri_counters(const struct cri *cri, struct cri_counters *counters);

/* Calls under way get their on_answer with -ECANCELED from inside this function. NULL is allowed. */
void cri_close(struct cri *cri);

#endif
