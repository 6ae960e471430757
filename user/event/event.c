/* SPDX-License-Identifier: Apache-2.0 */
#include "event/event.h"

static const struct text actions[EVENT_ACTIONS_END] = {
#define ACTION(action, number, text, category) [EVENT_##action] = {(text), sizeof(text) - 1},
	EVENT_ACTIONS(ACTION)
#undef ACTION
};

const char *event_action_name(enum event_action action)
{
	return action > 0 && action < EVENT_ACTIONS_END ? actions[action].data : NULL;
}

enum event_action event_action_find(struct text name)
{
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (actions[action].length > 0 && text_equal(actions[action], name))
			return action;
	return 0;
}

static const struct text calls[EVENT_CALLS_END] = {
#define CALL(call, number, text) [EVENT_CALL_##call] = {(text), sizeof(text) - 1},
	EVENT_CALLS(CALL)
#undef CALL
};

const char *event_call_name(enum event_call call)
{
	return call > 0 && call < EVENT_CALLS_END ? calls[call].data : NULL;
}

enum event_call event_call_find(struct text name)
{
	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (text_equal(calls[call], name))
			return call;
	return EVENT_CALL_NONE;
}

enum event_call event_call_usual(enum event_action action)
{
	static const enum event_call usual[EVENT_ACTIONS_END] = {
		[EVENT_EXEC] = EVENT_CALL_EXECVE,
		[EVENT_OPEN] = EVENT_CALL_OPENAT,
		[EVENT_CONNECT] = EVENT_CALL_CONNECT,
		[EVENT_ACCEPT] = EVENT_CALL_ACCEPT4,
		[EVENT_LISTEN] = EVENT_CALL_LISTEN,
		[EVENT_SEND] = EVENT_CALL_SENDTO,
		[EVENT_SOCKET] = EVENT_CALL_SOCKET,
		[EVENT_LINK] = EVENT_CALL_LINKAT,
		[EVENT_SYMLINK] = EVENT_CALL_SYMLINKAT,
		[EVENT_UNLINK] = EVENT_CALL_UNLINKAT,
		[EVENT_RMDIR] = EVENT_CALL_RMDIR,
		[EVENT_RENAME] = EVENT_CALL_RENAMEAT2,
		[EVENT_CHMOD] = EVENT_CALL_FCHMODAT,
		[EVENT_MKDIR] = EVENT_CALL_MKDIRAT,
		[EVENT_DUP] = EVENT_CALL_DUP2,
		[EVENT_PTRACE] = EVENT_CALL_PTRACE,
		[EVENT_SETUID] = EVENT_CALL_SETUID,
		[EVENT_SETNS] = EVENT_CALL_SETNS,
		[EVENT_UNSHARE] = EVENT_CALL_UNSHARE,
		[EVENT_BPF] = EVENT_CALL_BPF,
		[EVENT_MODULE] = EVENT_CALL_FINIT_MODULE,
		[EVENT_USERFAULTFD] = EVENT_CALL_USERFAULTFD,
		[EVENT_MOUNT] = EVENT_CALL_MOUNT,
		[EVENT_RECEIVE] = EVENT_CALL_RECVFROM,
	};

	return usual[action < EVENT_ACTIONS_END ? action : 0];
}

enum event_call event_call_of(const struct event *event)
{
	return event->call ? event->call : event_call_usual(event->action);
}

enum event_action event_call_action(enum event_call call)
{
	switch (call) {
	case EVENT_CALL_EXECVE:
	case EVENT_CALL_EXECVEAT: return EVENT_EXEC;
	case EVENT_CALL_OPEN:
	case EVENT_CALL_OPENAT:
	case EVENT_CALL_OPENAT2:
	case EVENT_CALL_CREAT:
	case EVENT_CALL_OPEN_BY_HANDLE_AT: return EVENT_OPEN;
	case EVENT_CALL_CONNECT: return EVENT_CONNECT;
	case EVENT_CALL_ACCEPT:
	case EVENT_CALL_ACCEPT4: return EVENT_ACCEPT;
	case EVENT_CALL_LISTEN: return EVENT_LISTEN;
	case EVENT_CALL_SOCKET: return EVENT_SOCKET;
	case EVENT_CALL_SENDTO:
	case EVENT_CALL_SENDMSG:
	case EVENT_CALL_SENDMMSG: return EVENT_SEND;
	case EVENT_CALL_RECVFROM:
	case EVENT_CALL_RECVMSG:
	case EVENT_CALL_RECVMMSG: return EVENT_RECEIVE;
	case EVENT_CALL_LINK:
	case EVENT_CALL_LINKAT: return EVENT_LINK;
	case EVENT_CALL_SYMLINK:
	case EVENT_CALL_SYMLINKAT: return EVENT_SYMLINK;
	case EVENT_CALL_UNLINK:
	case EVENT_CALL_UNLINKAT: return EVENT_UNLINK;
	case EVENT_CALL_RMDIR: return EVENT_RMDIR;
	case EVENT_CALL_RENAME:
	case EVENT_CALL_RENAMEAT:
	case EVENT_CALL_RENAMEAT2: return EVENT_RENAME;
	case EVENT_CALL_CHMOD:
	case EVENT_CALL_FCHMOD:
	case EVENT_CALL_FCHMODAT:
	case EVENT_CALL_FCHMODAT2: return EVENT_CHMOD;
	case EVENT_CALL_MKDIR:
	case EVENT_CALL_MKDIRAT: return EVENT_MKDIR;
	case EVENT_CALL_DUP:
	case EVENT_CALL_DUP2:
	case EVENT_CALL_DUP3: return EVENT_DUP;
	case EVENT_CALL_PTRACE: return EVENT_PTRACE;
	case EVENT_CALL_SETUID:
	case EVENT_CALL_SETGID:
	case EVENT_CALL_SETREUID:
	case EVENT_CALL_SETREGID:
	case EVENT_CALL_SETRESUID:
	case EVENT_CALL_SETRESGID:
	case EVENT_CALL_SETFSUID:
	case EVENT_CALL_SETFSGID: return EVENT_SETUID;
	case EVENT_CALL_SETNS: return EVENT_SETNS;
	case EVENT_CALL_UNSHARE: return EVENT_UNSHARE;
	case EVENT_CALL_BPF: return EVENT_BPF;
	case EVENT_CALL_INIT_MODULE:
	case EVENT_CALL_FINIT_MODULE: return EVENT_MODULE;
	case EVENT_CALL_USERFAULTFD: return EVENT_USERFAULTFD;
	case EVENT_CALL_MOUNT:
	case EVENT_CALL_UMOUNT:
	case EVENT_CALL_MOVE_MOUNT: return EVENT_MOUNT;
	case EVENT_CALL_NONE:
	case EVENT_CALLS_END: break;
	}
	return 0;
}

const char *event_promise_state_name(enum event_promise_state state)
{
	static const char *const names[] = {
		[EVENT_SEEN] = "seen", [EVENT_MISSED] = "missed", [EVENT_UNSUPPORTED] = "unsupported"};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : NULL;
}

const char *event_flow_state_name(enum event_flow_state state)
{
	static const char *const names[EVENT_FLOW_STATES_END] = {
		[EVENT_FLOW_OPEN] = "open",
		[EVENT_FLOW_SYN_SENT] = "syn_sent",
		[EVENT_FLOW_ESTABLISHED] = "established",
		[EVENT_FLOW_REFUSED] = "refused",
		[EVENT_FLOW_TIMED_OUT] = "timed_out",
		[EVENT_FLOW_FAILED] = "failed",
	};

	return (unsigned int)state < EVENT_FLOW_STATES_END ? names[state] : NULL;
}

const char *event_cut_name(uint32_t bit)
{
	switch (bit) {
#define CUT(name, number, text)                                                                                        \
	case EVENT_CUT_##name: return text;
		EVENT_CUTS(CUT)
#undef CUT
	default: return NULL;
	}
}

static int digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool event_container_id_parse(struct text text, uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	if (text.length != (size_t)2 * EVENT_CONTAINER_ID_SIZE)
		return false;
	for (size_t i = 0; i < EVENT_CONTAINER_ID_SIZE; i++) {
		int high = digit_value(text.data[2 * i]), low = digit_value(text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		id[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void event_container_id_format(const uint8_t id[EVENT_CONTAINER_ID_SIZE], char text[2 * EVENT_CONTAINER_ID_SIZE + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < EVENT_CONTAINER_ID_SIZE; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[(size_t)2 * EVENT_CONTAINER_ID_SIZE] = '\0';
}
