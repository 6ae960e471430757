/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one view of an event that detectors, encoders and sinks share.
 *
 * A view owns nothing: every pointer belongs to whoever made the view (the sensor's tables, a decoded batch) and is
 * good until that owner says otherwise. Strings are bytes as the kernel or the program gave them, not NUL-terminated,
 * in no particular encoding; an empty string (length 0) is an absent field.
 */
#ifndef TAFFRAIL_EVENT_H
#define TAFFRAIL_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "event/call.h"

enum { EVENT_ENTITY_SIZE = 12, EVENT_EPOCH_SIZE = 16, EVENT_CONTAINER_ID_SIZE = 32 };

/*
 * What happened. Append only: the numbers are on the wire and in stored segments.
 *   ACTION(NAME, number, "event.action", CATEGORY)
 */
#define EVENT_ACTIONS(ACTION)                                                                                          \
	ACTION(EXEC, 1, "exec", PROCESS)                                                                               \
	ACTION(FORK, 2, "fork", PROCESS)                                                                               \
	ACTION(END, 3, "end", PROCESS)                                                                                 \
	ACTION(OPEN, 4, "open", FILE)                                                                                  \
	ACTION(CONNECT, 5, "connection_attempted", NETWORK)                                                            \
	ACTION(ACCEPT, 6, "connection_accepted", NETWORK)                                                              \
	ACTION(LISTEN, 7, "listen", NETWORK)                                                                           \
	ACTION(SEND, 8, "send", NETWORK)                                                                               \
	ACTION(DISCONNECT, 9, "disconnect_received", NETWORK)                                                          \
	ACTION(LOST, 10, "events_lost", HEALTH)                                                                        \
	ACTION(COVERAGE, 11, "coverage", HEALTH)                                                                       \
	ACTION(SOCKET, 12, "socket", NETWORK)                                                                          \
	ACTION(FILTERED, 13, "events_filtered", HEALTH)                                                                \
	ACTION(TAMPER, 14, "tamper", HEALTH)                                                                           \
	ACTION(CONTAINER_STARTED, 15, "container_started", CONTAINER)                                                  \
	ACTION(CONTAINER_STOPPED, 16, "container_stopped", CONTAINER)                                                  \
	ACTION(CONTAINER_NAMED, 17, "container_named", CONTAINER)                                                      \
	ACTION(CGROUP_LEFT, 18, "cgroup_left", CONTAINER)                                                              \
	ACTION(ATTRIBUTION, 19, "attribution_degraded", HEALTH)                                                        \
	ACTION(LINK, 20, "link", CHANGE)                                                                               \
	ACTION(SYMLINK, 21, "symlink", CHANGE)                                                                         \
	ACTION(UNLINK, 22, "unlink", CHANGE)                                                                           \
	ACTION(RMDIR, 23, "rmdir", CHANGE)                                                                             \
	ACTION(RENAME, 24, "rename", CHANGE)                                                                           \
	ACTION(CHMOD, 25, "chmod", CHANGE)                                                                             \
	ACTION(MKDIR, 26, "mkdir", CHANGE)                                                                             \
	ACTION(DUP, 27, "dup", DEED)                                                                                   \
	ACTION(PTRACE, 28, "ptrace", DEED)                                                                             \
	ACTION(SETUID, 29, "setuid", DEED)                                                                             \
	ACTION(SETNS, 30, "setns", DEED)                                                                               \
	ACTION(UNSHARE, 31, "unshare", DEED)                                                                           \
	ACTION(BPF, 32, "bpf", DEED)                                                                                   \
	ACTION(MODULE, 33, "module", DEED)                                                                             \
	ACTION(USERFAULTFD, 34, "userfaultfd", DEED)                                                                   \
	ACTION(MOUNT, 35, "mount", DEED)                                                                               \
	ACTION(RECEIVE, 36, "receive", NETWORK)                                                                        \
	ACTION(RULES, 37, "rules_refused", HEALTH)                                                                     \
	ACTION(SUPPRESSED, 38, "findings_suppressed", HEALTH)                                                          \
	ACTION(FLOW, 39, "flow", NETWORK)                                                                              \
	ACTION(DNS, 40, "dns", NETWORK)                                                                                \
	ACTION(VERDICT, 41, "traffic_judged", NETWORK)                                                                 \
	ACTION(BUDGET, 42, "budget", HEALTH)

/* Which part of struct event holds the details, and the name behind "taffrail." of event.dataset. */
enum event_category {
	EVENT_PROCESS,
	EVENT_FILE,
	EVENT_NETWORK,
	EVENT_HEALTH,
	EVENT_CONTAINER,
	EVENT_CHANGE, /* of names and modes of files: "file" to a reader */
	EVENT_DEED, /* of a process with its own rights, descriptors, namespaces, or the kernel: "process" to a reader */
};

enum event_action {
#define ACTION(name, number, text, category) EVENT_##name = number,
	EVENT_ACTIONS(ACTION)
#undef ACTION
		EVENT_ACTIONS_END,
};

enum event_outcome { EVENT_SUCCESS = 0, EVENT_FAILURE = 1, EVENT_UNKNOWN = 2 };

/* Fields that were cut: the bits of event.truncated, each named in the JSON list taffrail.truncated. */
#define EVENT_CUTS(CUT)                                                                                                \
	CUT(ARGS, 0, "process.args")                                                                                   \
	CUT(ENVIRONMENT, 1, "process.env_vars")                                                                        \
	CUT(EXECUTABLE, 2, "process.executable")                                                                       \
	CUT(WORKING_DIRECTORY, 3, "process.working_directory")                                                         \
	CUT(FILE_PATH, 4, "file.path")                                                                                 \
	CUT(FILE_ARGUMENT, 5, "taffrail.file.argument")                                                                \
	CUT(ANCESTORS, 6, "process.parent")                                                                            \
	CUT(TARGET_PATH, 7, "file.target_path")                                                                        \
	CUT(RESOLVED_IP, 8, "dns.resolved_ip")

enum event_cut {
#define CUT(name, bit, text) EVENT_CUT_##name = 1u << (bit),
	EVENT_CUTS(CUT)
#undef CUT
};

struct event_host {
	struct text id; /* of the machine; also the sensor's name on the wire */
	struct text name;
	struct text boot_id;             /* as /proc/sys/kernel/random/boot_id */
	struct text cluster;             /* orchestrator.cluster.name, from the configuration */
	uint8_t epoch[EVENT_EPOCH_SIZE]; /* 128 random bits of one life of the sensor */
};

struct event_label {
	struct text key, value;
};

/* Kubernetes' quality of service, by the cgroup that a pod is in. */
enum event_qos { EVENT_QOS_UNKNOWN = 0, EVENT_GUARANTEED = 1, EVENT_BURSTABLE = 2, EVENT_BEST_EFFORT = 3 };

/* Where a container's names come from, the best first: EVENT_SOURCE_NONE where it has none. */
enum event_source {
	EVENT_SOURCE_NONE = 0,
	EVENT_SOURCE_CRI = 1,    /* the runtime said so */
	EVENT_SOURCE_BUNDLE = 2, /* its OCI config.json */
	EVENT_SOURCE_STATE = 3,  /* what Docker or Podman keep on disk of containers that have no CRI */
};

struct event_mount {
	struct text source, destination, type;
	struct text options; /* comma-separated */
};

/* Namespaces of the host that a container was given: bits of event_spec.host_namespaces. */
enum event_namespace {
	EVENT_NAMESPACE_PID = 1 << 0,
	EVENT_NAMESPACE_NETWORK = 1 << 1,
	EVENT_NAMESPACE_IPC = 1 << 2,
	EVENT_NAMESPACE_UTS = 1 << 3,
	EVENT_NAMESPACE_MOUNT = 1 << 4,
};

enum { EVENT_MOUNTS_MAX = 64 };

/* What a container was made to be, by its OCI runtime spec and the CRI. */
struct event_spec {
	struct text args; /* NUL-separated; the last NUL may be missing */
	uint32_t uid, gid;
	bool privileged, read_only_root;
	uint64_t capabilities; /* the bounding set */
	uint32_t host_namespaces;
	const struct event_mount *mounts;
	size_t mount_count; /* at most EVENT_MOUNTS_MAX */
	bool mounts_cut;    /* there are more */
};

/* How a process came into its container. */
enum event_entry { EVENT_ENTRY_UNKNOWN = 0, EVENT_ENTRY_CONTAINER = 1, EVENT_ENTRY_RUNTIME_EXEC = 2 };

struct event_container {
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	struct text name;
	struct text image_name;   /* without tag or digest: registry.example/shop/web */
	struct text image_tag;    /* 1.4 */
	struct text image_digest; /* sha256:… */
	struct text pod_name, pod_namespace, pod_uid;
	const struct text *pod_ips;
	size_t pod_ip_count;
	const struct event_label *labels; /* the pod's */
	size_t label_count;
	const struct event_label *annotations; /* of the pod's those that the configuration chose */
	size_t annotation_count;
	struct text sandbox_id;
	struct text runtime;                      /* containerd, cri-o, docker, podman */
	struct text workload_kind, workload_name; /* the pod's owner, as far as its labels tell */
	/* Of its own /etc/passwd and /etc/group, lines "ID:NAME"; empty where they are not known. They never leave the sensor. */
	struct text users, groups;
	uint32_t attempt;
	enum event_qos qos;
	enum event_source source;
	bool sandbox;                  /* this is the pod's pause container */
	const struct event_spec *spec; /* NULL: not known. Travels with EVENT_CONTAINER_STARTED only */
	/* How it ended, by the runtime; `exited` false: it has not, or nobody said so. Travels with CONTAINER_STOPPED only. */
	bool exited;
	int32_t exit_code;
	struct text exit_reason; /* Completed, Error, OOMKilled, … */
	/* Names of one number are the same names, in the life of a process; 0: not known. It never leaves the process. */
	uint64_t version;
};

/* What descriptors 0 to 2 were at exec: the values of enum kernel_fd_type. */
struct event_process {
	uint8_t entity[EVENT_ENTITY_SIZE]; /* from fork to end */
	uint32_t exec_counter;             /* with the entity: the process image, taffrail.process.exec_id */
	uint32_t pid, vpid;
	uint64_t start_ns; /* Unix time */
	struct text name;  /* comm, as exec gave it */
	struct text executable;
	struct text script;      /* where the executable is its interpreter */
	struct text args;        /* NUL-separated; the last NUL may be missing */
	uint32_t args_count;     /* arguments the program was given, also those that were cut */
	struct text environment; /* as args; only where the configuration asks for it */
	struct text working_directory;
	struct text tty; /* name of the controlling terminal */
	uint32_t tty_major, tty_minor;
	uint32_t uid, gid; /* effective */
	uint32_t real_uid, real_gid;
	uint32_t login_uid, session_id; /* audit; UINT32_MAX: not set */
	uint32_t pgid, sid;
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	uint64_t inode;              /* of the executable … */
	uint64_t ctime_ns, mtime_ns; /* … and its times, Unix time; both 0: not known */
	uint64_t namespace_ns;       /* when the first process of its pid namespace began; 0: not known */
	uint8_t fd_types[3];
	bool upper, copied_up, memfd, deleted, foreign; /* the executable's file */
	bool image_known;   /* false: seen as an ancestor only; credentials and arguments are not known */
	uint32_t truncated; /* enum event_cut, of this record's fields */
	bool setup;         /* the container runtime's own, on its way in: runc init */
	bool entering;      /* its exec was the one with which it came in; never leaves the sensor */
	bool in_container;
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	enum event_entry entry;                   /* of the entry leader, set on the entry leader itself */
	const struct event_process *parent;       /* the image that forked it, or NULL */
	const struct event_process *entry_leader; /* itself, an ancestor, or NULL */
};

/* Bits of open(2) that other architectures have elsewhere; events carry those of x86-64. */
enum event_open_flag {
	EVENT_OPEN_DIRECT = 040000,
	EVENT_OPEN_LARGE = 0100000, /* glibc's O_LARGEFILE is 0 */
	EVENT_OPEN_DIRECTORY = 0200000,
	EVENT_OPEN_NO_FOLLOW = 0400000,
	EVENT_OPEN_TEMPORARY = 020000000 | EVENT_OPEN_DIRECTORY,
};

struct event_file {
	struct text path; /* the kernel's; the normalised argument where the kernel has no file */
	struct text argument;
	/* As the program named it: absolute, `.`, `..` and `//` taken out of the text, links not followed. */
	struct text named;
	uint32_t flags; /* O_* of x86-64: those that differ elsewhere are enum event_open_flag */
	uint64_t inode;
	uint32_t mode;         /* with the type bits; 0: no file */
	uint32_t created_mode; /* the mode argument, where O_CREAT or O_TMPFILE was given */
	bool created, foreign, deleted, upper, copied_up, unsure;
};

/* A file's name or mode was changed. Each path as struct event_file has it. */
struct event_change {
	struct text path, argument,
		named; /* what is changed or made; of LINK and RENAME the old name, of SYMLINK the link */
	struct text new_path, new_argument, new_named; /* LINK, RENAME */
	struct text target;                            /* SYMLINK: its text */
	uint32_t mode;                                 /* CHMOD, MKDIR: as given */
	uint32_t flags;                                /* AT_*, RENAME_*: as given */
	uint64_t inode;                                /* 0: not known */
};

struct event_address {
	uint8_t family;    /* AF_INET, AF_INET6, AF_VSOCK, 0: absent */
	uint8_t bytes[16]; /* AF_VSOCK: the context id, 4 bytes, big endian */
	uint32_t port;     /* host order; of 16 bits but for vsock */
};

/* How far a flow has come. The numbers are on the wire. */
enum event_flow_state {
	EVENT_FLOW_NONE = 0,     /* nothing is said of it */
	EVENT_FLOW_OPEN = 1,     /* datagrams, which have no states */
	EVENT_FLOW_SYN_SENT = 2, /* no answer yet */
	EVENT_FLOW_ESTABLISHED = 3,
	EVENT_FLOW_REFUSED = 4,   /* by a reset, or by a router's word that nobody is there */
	EVENT_FLOW_TIMED_OUT = 5, /* nobody answered */
	EVENT_FLOW_FAILED = 6,    /* before a packet left */
	EVENT_FLOW_STATES_END,
};

enum { EVENT_RESOLVED_MAX = 64 };

/* A DNS answer. */
struct event_dns {
	struct text question;
	uint16_t type;                         /* of the question: 1 A, 28 AAAA, … */
	uint8_t response_code;                 /* RFC 1035, 4.1.1 */
	const struct event_address *addresses; /* of its A and AAAA records, without ports */
	size_t address_count;                  /* at most EVENT_RESOLVED_MAX */
	bool cut;                              /* there were more; in event.truncated too */
};

struct event_network {
	struct event_address source, destination; /* client, server */
	struct text unix_name;                    /* of the server's socket; an abstract name starts with a NUL byte */
	uint16_t family;                          /* AF_* of the socket (v4-mapped: AF_INET) */
	uint32_t protocol;                        /* IPPROTO_*; of a packet socket an Ethernet type, big endian */
	uint16_t type;                            /* SOCK_* */
	bool ingress;
	uint64_t source_bytes, destination_bytes;     /* payload each end sent; disconnect and flow only */
	uint64_t source_packets, destination_packets; /* the same; 0: not known */
	uint64_t duration_ns;                         /* disconnect and flow only, 0: not known */
	enum event_flow_state state;
	bool going_on;      /* FLOW: it has not ended */
	struct text domain; /* the name that the container had resolved to the server's address, or that TLS named */
	struct text server_name;     /* that a TLS client asked for */
	const struct event_dns *dns; /* DNS */
	uint32_t interface;          /* packet sockets: index of the network device; 0: none */
	/* RECEIVE, and never outside the sensor: */
	struct text data; /* the first bytes of what came, where rules ask for them */
	bool connected;   /* it came by a socket that has a peer … */
	bool again;       /* … or is not the first from its sender: it is told for its data alone */
};

/* What a process did to its rights, its descriptors, its namespaces, another process, or the kernel. */
struct event_deed {
	uint64_t
		request; /* PTRACE, BPF: the request or command; DUP: the old descriptor; SETNS: the namespace's type */
	uint64_t flags;  /* SETNS, UNSHARE: CLONE_*; MOUNT: MS_*; USERFAULTFD, MODULE, DUP3: as given */
	uint32_t id, other;     /* SETUID: the (effective) id; UINT32_MAX: unchanged. PTRACE: the tracee's pid */
	struct text other_name; /* PTRACE: of the tracee */
	struct text path; /* MOUNT: where; MODULE: the module's file where there is one; DUP: what the descriptor is */
	struct text source, type, data; /* MOUNT; MODULE: its parameters are `data` */
	uint32_t descriptor_type;       /* DUP: enum kernel_fd_type's values, as event_process.fd_types */
	struct event_network socket;    /* DUP: both ends of a socket; family 0: it is none */
};

struct event_lost {
	uint64_t count;
	uint64_t kinds;            /* bit 1 << enum event_action */
	struct text stage;         /* ring-critical, ring-bulk, kernel, … */
	int32_t cpu;               /* -1: of no single CPU */
	uint64_t first, last;      /* sequence numbers of the stage's own numbering; 0, 0: not known */
	uint64_t start_ns, end_ns; /* Unix time */
};

/* Was a promise of the sensor's kept, when it was last tried? */
enum event_promise_state { EVENT_SEEN = 0, EVENT_MISSED = 1, EVENT_UNSUPPORTED = 2 };

struct event_promise {
	struct text promise; /* "open", "UDP send over IPv4", … */
	struct text hook;    /* what serves it: "tp_btf/sys_exit" */
	struct text reason;  /* why it was not seen */
	enum event_promise_state state;
};

struct event_coverage {
	const struct event_promise *promises;
	size_t count;
	struct text release; /* of the kernel, as uname(2) gives it */
	struct text mode;    /* "tracepoint" or "function": how the hooks were attached */
};

/* The severities of syslog (RFC 5424). */
enum event_severity {
	EVENT_EMERGENCY = 0,
	EVENT_CRITICAL = 2,
	EVENT_ERROR = 3,
	EVENT_WARNING = 4,
	EVENT_NOTICE = 5,
	EVENT_DEBUG = 7,
};

enum event_output_type {
	EVENT_OUTPUT_TEXT = 0,
	EVENT_OUTPUT_NUMBER = 1,
	EVENT_OUTPUT_MISSING = 2,
	EVENT_OUTPUT_BOOLEAN = 3,
};

/* A field that a rule's output names, and what it was. */
struct event_output {
	struct text name;  /* "proc.cmdline" */
	struct text value; /* a number in decimal digits; "true" or "false"; empty if it is missing */
	enum event_output_type type;
};

enum { EVENT_TAGS_MAX = 64, EVENT_OUTPUTS_MAX = 64 };

enum {
	EVENT_REASONS_MAX = 64,
	EVENT_SAMPLES_MAX = 8,
	EVENT_PEERS_MAX = 16,
	EVENT_TOUCHED_MAX = 32,
};

/* Why a detector says what it says. */
struct event_reason {
	uint32_t points;
	struct text what;           /* with its number: "3 DHT nodes …" */
	const struct text *samples; /* "udp 198.51.100.7:6881" */
	size_t sample_count;        /* at most EVENT_SAMPLES_MAX */
};

/* A file that the judged program opened. */
struct event_touched {
	struct text path;
	bool written;
};

/* What a detector of behaviour has found, beside its rule. */
struct event_detector {
	struct text key;     /* "p2p", "mining", … */
	struct text verdict; /* "suspected", "confirmed" */
	struct text family;  /* of peers: "bittorrent", …; empty: none */
	uint32_t score;      /* 0 to 100 */
	const struct event_reason *reasons;
	size_t reason_count;               /* at most EVENT_REASONS_MAX */
	const struct text *peers;          /* some of the other ends */
	size_t peer_count;                 /* at most EVENT_PEERS_MAX */
	const struct event_touched *files; /* the newest first */
	size_t file_count;                 /* at most EVENT_TOUCHED_MAX */
	uint64_t bytes_out, bytes_in;      /* payload to and from the outside, since first_ns */
	uint64_t first_ns;                 /* Unix time: the first flow that it opened; 0: none yet */
};

/* A rule that an event has met: that makes an alert of it. */
struct event_rule {
	struct text name, description, ruleset;
	struct text message; /* one sentence for people */
	uint8_t severity;    /* enum event_severity */
	/* Of rules of the rule language: then the alert is a record of its own beside the event, with what that tells. */
	struct text priority; /* "Warning"; empty: it is none of these */
	const struct text *tags;
	size_t tag_count;
	const struct event_output *outputs;
	size_t output_count;
	uint64_t cause;      /* sequence of the event that met it; 0: that was not recorded */
	uint64_t suppressed; /* such findings in this container that were held back since the last one that was told */
	/* Of detectors of behaviour, which have a priority, too; NULL: it is none of theirs. */
	const struct event_detector *detector;
	bool allowed; /* the workload may: it is recorded, and no alert */
};

/* What is told of a container's life, beside its names. */
struct event_life {
	const struct event_spec *spec; /* CONTAINER_STARTED; NULL: not known */
	/* CONTAINER_STOPPED: as the runtime says, or of its first process where the runtime says nothing. */
	int32_t exit_code;
	struct text exit_reason;
};

/* A process was moved into a cgroup that is not its container's; it stays the container's. */
struct event_cgroup {
	struct text path;   /* of the cgroup, as the kernel names it in its hierarchy */
	uint32_t actor_pid; /* who moved it: itself, as a rule */
	struct text actor_name;
	bool has_other;                            /* the new cgroup is another container's … */
	uint8_t other_id[EVENT_CONTAINER_ID_SIZE]; /* … this one's */
};

/* How well events found their containers' names, since the last such record. */
struct event_attribution {
	uint64_t pending;          /* events that left without all their names */
	uint64_t completed_late;   /* containers whose names came after that */
	uint64_t never;            /* containers that were forgotten, or the sensor ended, before their names came */
	uint64_t unnamed;          /* containers that wait for their names now */
	uint64_t start_ns, end_ns; /* Unix time */
};

/* The sensor costs more than it may, and leaves out more; or less than that, and leaves out less. */
struct event_budget {
	uint32_t step, before;     /* 0: nothing is left out */
	uint32_t used, limit;      /* thousandths of a CPU, in the time before it was judged */
	struct text measure;       /* what is left out now; NUL-terminated */
	uint64_t start_ns, end_ns; /* that time, Unix time */
};

/* What the configuration did not want recorded. */
struct event_filtered {
	uint64_t count;            /* of all kinds */
	uint64_t in_kernel;        /* of these: before a record of it was built */
	const uint64_t *counts;    /* of each, by enum event_action: EVENT_ACTIONS_END of them */
	uint64_t start_ns, end_ns; /* Unix time */
};

struct event {
	enum event_action action; /* 0: none that is known here, but to newer versions; it has no details */
	uint32_t newer;           /* … the number that it has there */
	enum event_outcome outcome;
	int error; /* errno, positive; 0: none */
	enum event_call call;
	int64_t result;     /* what the call returned: a descriptor, 0, or -errno */
	int32_t descriptor; /* that it was about, or that it made; -1: none, or not known */
	uint64_t sequence;  /* of the sensor's epoch, from 1 */
	uint64_t time_ns;   /* Unix time */
	const struct event_host *host;
	const struct event_process *process;     /* NULL: not known, or none */
	const struct event_container *container; /* NULL: outside containers */
	bool pending;                            /* sent before the container's metadata came */
	bool io_uring;                           /* asked for through io_uring, not by a system call of its own */
	bool runtime_setup;                      /* the container runtime's own deed inside the container's cgroup */
	bool left_cgroup;                        /* the process is in a cgroup that is not its container's any more */
	const uint8_t *nested_id;                /* NULL, or 32 bytes: named by a cgroup inside the container's */
	uint64_t count;                          /* equal events this one stands for; 1 as a rule */
	const struct event_rule *rule;           /* NULL: no alert */
	uint32_t truncated;                      /* enum event_cut, of the event's own fields */
	/* Where the kernel's numbering had it: for gaps, not for ids. */
	uint8_t ring;
	uint16_t cpu;
	uint64_t ring_sequence;
	union {
		struct event_file file;         /* EVENT_FILE; also a failed exec: path (normalised) and argument */
		struct event_change change;     /* EVENT_CHANGE */
		struct event_deed deed;         /* EVENT_DEED */
		struct event_network network;   /* EVENT_NETWORK */
		struct event_lost lost;         /* EVENT_LOST */
		struct event_coverage coverage; /* EVENT_COVERAGE */
		struct event_filtered filtered; /* EVENT_FILTERED */
		struct event_budget budget;     /* EVENT_BUDGET */
		struct event_life life;         /* EVENT_CONTAINER_STARTED, _STOPPED */
		struct event_cgroup cgroup;     /* EVENT_CGROUP_LEFT */
		struct event_attribution attribution; /* EVENT_ATTRIBUTION */
		struct {
			int32_t code;   /* 0 to 255, or 128 + signal */
			int32_t signal; /* 0: none */
		} end;                  /* EVENT_END */
	};
};

/* "seen", "missed", "unsupported"; NULL for a number that is none. */
const char *event_promise_state_name(enum event_promise_state state);

/* "open", "syn_sent", …; NULL for EVENT_FLOW_NONE and a number that is none. */
const char *event_flow_state_name(enum event_flow_state state);
/* "exec", "fork", …; NULL for a number that is none. */
const char *event_action_name(enum event_action action);
/* EVENT_HEALTH for a number that is none. Inline: each event is asked by many. */
static inline enum event_category event_action_category(enum event_action action)
{
	static const uint8_t categories[EVENT_ACTIONS_END] = {
#define ACTION(name, number, text, category) [number] = EVENT_##category,
		[0] = EVENT_HEALTH, EVENT_ACTIONS(ACTION)
#undef ACTION
	};

	return (unsigned int)action < EVENT_ACTIONS_END ? (enum event_category)categories[action] : EVENT_HEALTH;
}

/* The actions of a category: bits 1 << enum event_action. */
static inline uint64_t event_category_actions(enum event_category category)
{
#define ACTION(name, number, text, of) | (uint64_t)(EVENT_##of == category) << number
	return 0 EVENT_ACTIONS(ACTION);
#undef ACTION
}
/* "execve", "openat", …; NULL for a number that is none. */
const char *event_call_name(enum event_call call);
/* The call of that name, or EVENT_CALL_NONE. */
enum event_call event_call_find(struct text name);
/* The one that an action usually comes by; EVENT_CALL_NONE for none. */
enum event_call event_call_usual(enum event_action action);
/* event->call, or where it is not known the one that this action usually comes by; EVENT_CALL_NONE for none. */
enum event_call event_call_of(const struct event *event);
/* The action that a call makes, as a rule; 0 for none. */
enum event_action event_call_action(enum event_call call);
/* The action of that name, or 0. */
enum event_action event_action_find(struct text name);
/* "process.args" … for one bit of enum event_cut; NULL for none. */
const char *event_cut_name(uint32_t bit);

/* The context id of a vsock address. */
static inline uint32_t event_vsock_id(const struct event_address *address)
{
	const uint8_t *bytes = address->bytes;

	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* 64 lower-case hexadecimal digits to a container's id. False if `text` is anything else, and `id` is undefined. */
bool event_container_id_parse(struct text text, uint8_t id[EVENT_CONTAINER_ID_SIZE]);
/* … and back: 64 digits and a NUL. */
void event_container_id_format(const uint8_t id[EVENT_CONTAINER_ID_SIZE], char text[2 * EVENT_CONTAINER_ID_SIZE + 1]);

#endif
