/* SPDX-License-Identifier: Apache-2.0 */
#include "event/event.h"

static const struct {
	struct text name;
	enum event_category category;
} actions[EVENT_ACTIONS_END] = {
#define ACTION(action, number, text, category) [EVENT_##action] = {{(text), sizeof(text) - 1}, EVENT_##category},
	EVENT_ACTIONS(ACTION)
#undef ACTION
};

const char *event_action_name(enum event_action action)
{
	return action > 0 && action < EVENT_ACTIONS_END ? actions[action].name.data : NULL;
}

enum event_category event_action_category(enum event_action action)
{
	return action > 0 && action < EVENT_ACTIONS_END ? actions[action].category : EVENT_HEALTH;
}

enum event_action event_action_find(struct text name)
{
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (actions[action].name.length > 0 && text_equal(actions[action].name, name))
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

enum event_call event_call_of(const struct event *event)
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

	return event->call ? event->call : usual[event->action < EVENT_ACTIONS_END ? event->action : 0];
}

const char *event_promise_state_name(enum event_promise_state state)
{
	static const char *const names[] = {
		[EVENT_SEEN] = "seen", [EVENT_MISSED] = "missed", [EVENT_UNSUPPORTED] = "unsupported"};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : NULL;
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
