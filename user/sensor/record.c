/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/record.h"

#include <errno.h>

enum { ERRNO_MAX = 4095 }; /* the kernel's MAX_ERRNO */

/* The fixed size of each kind, and where its strings and its result are told. */
struct layout {
	size_t size;
	size_t string_offset; /* of the first struct kernel_string */
	size_t string_count;
	size_t result_offset; /* of an __s32 that is -errno where it is negative; 0: none */
};

#define NETWORK_LAYOUT                                                                                                 \
	{                                                                                                              \
		sizeof(struct kernel_network), offsetof(struct kernel_network, unix_name), 1,                          \
			offsetof(struct kernel_network, result)                                                        \
	}

_Static_assert(offsetof(struct kernel_received, data) == sizeof(struct kernel_network), "its strings stand in a row");

#define CHANGE_LAYOUT                                                                                                  \
	{                                                                                                              \
		sizeof(struct kernel_change), offsetof(struct kernel_change, path), 6,                                 \
			offsetof(struct kernel_change, result)                                                         \
	}
#define DEED_LAYOUT                                                                                                    \
	{                                                                                                              \
		sizeof(struct kernel_deed), offsetof(struct kernel_deed, path), 6,                                     \
			offsetof(struct kernel_deed, result)                                                           \
	}

/* The kernel's side has the numbers of the event's own enum. */
#define CALL(name, number, text) _Static_assert((int)KERNEL_CALL_##name == (int)EVENT_CALL_##name, text);
EVENT_CALLS(CALL)
#undef CALL
_Static_assert((int)KERNEL_CALLS_END == (int)EVENT_CALLS_END, "as many calls");

static const struct layout layouts[KERNEL_KINDS_END] = {
	[KERNEL_EXEC] = {sizeof(struct kernel_exec), offsetof(struct kernel_exec, executable), 8, 0},
	[KERNEL_EXEC_FAILED] = {sizeof(struct kernel_exec_failed), offsetof(struct kernel_exec_failed, argument), 2,
		offsetof(struct kernel_exec_failed, result)},
	[KERNEL_FORK] = {sizeof(struct kernel_fork), 0, 0, 0},
	[KERNEL_EXIT] = {sizeof(struct kernel_exit), 0, 0, 0},
	[KERNEL_OPEN] = {sizeof(struct kernel_open), offsetof(struct kernel_open, path), 3,
		offsetof(struct kernel_open, result)},
	[KERNEL_CONNECT] = NETWORK_LAYOUT,
	[KERNEL_CONNECT_DONE] = NETWORK_LAYOUT,
	[KERNEL_ACCEPT] = NETWORK_LAYOUT,
	[KERNEL_LISTEN] = NETWORK_LAYOUT,
	[KERNEL_SEND] = NETWORK_LAYOUT,
	[KERNEL_DISCONNECT] = {sizeof(struct kernel_disconnect), 0, 0, offsetof(struct kernel_disconnect, error)},
	[KERNEL_SOCKET] = {sizeof(struct kernel_socket), 0, 0, offsetof(struct kernel_socket, result)},
	[KERNEL_TAMPER] = {sizeof(struct kernel_tamper), 0, 0, 0},
	[KERNEL_CGROUP_LEFT] = {sizeof(struct kernel_cgroup_left), offsetof(struct kernel_cgroup_left, path), 1, 0},
	[KERNEL_NESTED] = {sizeof(struct kernel_nested), 0, 0, 0},
	[KERNEL_LINK] = CHANGE_LAYOUT,
	[KERNEL_SYMLINK] = CHANGE_LAYOUT,
	[KERNEL_UNLINK] = CHANGE_LAYOUT,
	[KERNEL_RMDIR] = CHANGE_LAYOUT,
	[KERNEL_RENAME] = CHANGE_LAYOUT,
	[KERNEL_CHMOD] = CHANGE_LAYOUT,
	[KERNEL_MKDIR] = CHANGE_LAYOUT,
	[KERNEL_DUP] = DEED_LAYOUT,
	[KERNEL_PTRACE] = DEED_LAYOUT,
	[KERNEL_SETUID] = DEED_LAYOUT,
	[KERNEL_SETNS] = DEED_LAYOUT,
	[KERNEL_UNSHARE] = DEED_LAYOUT,
	[KERNEL_BPF] = DEED_LAYOUT,
	[KERNEL_MODULE] = DEED_LAYOUT,
	[KERNEL_USERFAULTFD] = DEED_LAYOUT,
	[KERNEL_MOUNT] = DEED_LAYOUT,
	[KERNEL_RECEIVE] = {sizeof(struct kernel_received), offsetof(struct kernel_received, network.unix_name), 2,
		offsetof(struct kernel_received, network.result)},
	[KERNEL_CONNECT_RETURNED] = NETWORK_LAYOUT,
	[KERNEL_FLOW] = {sizeof(struct kernel_flow), 0, 0, offsetof(struct kernel_flow, error)},
	[KERNEL_SAMPLE] = {sizeof(struct kernel_sample), offsetof(struct kernel_sample, data), 1, 0},
	[KERNEL_ANSWER] = {sizeof(struct kernel_sample), offsetof(struct kernel_sample, data), 1, 0},
	[KERNEL_PROCESS] = {sizeof(struct kernel_exec), offsetof(struct kernel_exec, executable), 8, 0},
};

static bool string_fits(const struct kernel_string *string, size_t fixed, size_t size)
{
	if (string->length == 0)
		return true;
	return string->offset >= fixed && (size_t)string->offset + string->length <= size;
}

static const char *check_exec(const struct kernel_exec *exec)
{
	if (exec->ancestor_count > KERNEL_ANCESTORS)
		return "too many ancestors";
	for (size_t i = 0; i < exec->ancestor_count; i++)
		if (!string_fits(&exec->ancestors[i].executable, sizeof(*exec), exec->header.size))
			return "an ancestor's executable lies outside the record";
	return NULL;
}

static const char *check(const void *bytes, size_t length)
{
	const struct kernel_header *header = bytes;

	if ((uintptr_t)bytes % _Alignof(struct kernel_header) != 0)
		return "not aligned";
	if (length < sizeof(*header))
		return "shorter than a header";
	if (header->kind >= KERNEL_KINDS_END || layouts[header->kind].size == 0)
		return "of no known kind";
	if (header->ring >= KERNEL_RINGS)
		return "of no known ring";

	const struct layout *layout = &layouts[header->kind];

	if (header->size < layout->size || header->size > length || header->size > KERNEL_RECORD_MAX)
		return "of a size that does not fit its kind";

	if (layout->result_offset) {
		const __s32 *result = (const void *)((const char *)bytes + layout->result_offset);

		if (*result < -ERRNO_MAX)
			return "of a result that is no error";
	}

	const struct kernel_string *strings = (const void *)((const char *)bytes + layout->string_offset);

	for (size_t i = 0; i < layout->string_count; i++)
		if (!string_fits(&strings[i], layout->size, header->size))
			return "a string lies outside the record";
	return layout->size == sizeof(struct kernel_exec) ? check_exec(bytes) : NULL;
}

int record_check(struct record *record, const void *bytes, size_t length, const char **why)
{
	*why = check(bytes, length);
	if (*why)
		return -EBADMSG;
	record->header = bytes;
	return 0;
}

struct text record_text(const struct record *record, struct kernel_string string)
{
	return (struct text){(const char *)record->header + string.offset, string.length};
}

enum event_action record_action(enum kernel_kind kind)
{
	switch (kind) {
	case KERNEL_EXEC:
	case KERNEL_EXEC_FAILED: return EVENT_EXEC;
	case KERNEL_FORK: return EVENT_FORK;
	case KERNEL_EXIT: return EVENT_END;
	case KERNEL_OPEN: return EVENT_OPEN;
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_CONNECT_RETURNED: return EVENT_CONNECT;
	case KERNEL_ACCEPT: return EVENT_ACCEPT;
	case KERNEL_LISTEN: return EVENT_LISTEN;
	case KERNEL_SEND: return EVENT_SEND;
	case KERNEL_DISCONNECT: return EVENT_DISCONNECT;
	case KERNEL_SOCKET: return EVENT_SOCKET;
	case KERNEL_TAMPER: return EVENT_TAMPER;
	case KERNEL_CGROUP_LEFT: return EVENT_CGROUP_LEFT;
	case KERNEL_LINK: return EVENT_LINK;
	case KERNEL_SYMLINK: return EVENT_SYMLINK;
	case KERNEL_UNLINK: return EVENT_UNLINK;
	case KERNEL_RMDIR: return EVENT_RMDIR;
	case KERNEL_RENAME: return EVENT_RENAME;
	case KERNEL_CHMOD: return EVENT_CHMOD;
	case KERNEL_MKDIR: return EVENT_MKDIR;
	case KERNEL_DUP: return EVENT_DUP;
	case KERNEL_PTRACE: return EVENT_PTRACE;
	case KERNEL_SETUID: return EVENT_SETUID;
	case KERNEL_SETNS: return EVENT_SETNS;
	case KERNEL_UNSHARE: return EVENT_UNSHARE;
	case KERNEL_BPF: return EVENT_BPF;
	case KERNEL_MODULE: return EVENT_MODULE;
	case KERNEL_USERFAULTFD: return EVENT_USERFAULTFD;
	case KERNEL_MOUNT: return EVENT_MOUNT;
	case KERNEL_RECEIVE: return EVENT_RECEIVE;
	case KERNEL_FLOW: return EVENT_FLOW;
	case KERNEL_SAMPLE:
	case KERNEL_ANSWER: return EVENT_DNS;
	case KERNEL_NESTED:
	case KERNEL_PROCESS:
	case KERNEL_KINDS_END: break;
	}
	return 0;
}
