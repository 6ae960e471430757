/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void guard_harden(void)
{
	const struct rlimit none = {0};
	sigset_t deaf;

	/*
	 * Only what ends it in order gets through. Anything else would end or stop it before its alarm has left; a fault of its own
	 * ends it all the same. A traced process, too, stops at every signal delivered to it, also one that does nothing, till its
	 * tracer lets it go on, and the sensor's own canary sends one and ends with another.
	 */
	sigfillset(&deaf);
	sigdelset(&deaf, SIGTERM);
	sigdelset(&deaf, SIGINT);
	sigdelset(&deaf, SIGHUP);
#ifdef __SANITIZE_ADDRESS__
	sigdelset(&deaf, SIGSEGV); /* its report comes from a handler */
	sigdelset(&deaf, SIGBUS);
#endif
	(void)sigprocmask(SIG_BLOCK, &deaf, NULL);
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* What a process calls itself, for a sentence that goes to terminals too. */
static void copy_name(char *to, size_t size, struct text name)
{
	size_t length = 0;

	for (; length < name.length && length < size - 1; length++)
		to[length] = (char)(name.data[length] >= ' ' && name.data[length] <= '~' ? name.data[length] : '?');
	to[length] = '\0';
}

int guard_open(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

pid_t guard_parse_tracer(struct text status)
{
	static const char key[] = "\nTracerPid:\t";
	const char *found = memmem(status.data, status.length, key, sizeof(key) - 1);
	const char *end = status.data + status.length, *at = found ? found + sizeof(key) - 1 : end;
	pid_t pid = 0;

	if (at == end || *at < '0' || *at > '9')
		return -ENODATA;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(pid, 10, &pid) || __builtin_add_overflow(pid, *at - '0', &pid))
			return -ENODATA;
	return pid;
}

pid_t guard_tracer(int fd)
{
	char text[4096];
	ssize_t length = pread(fd, text, sizeof(text), 0);

	return length < 0 ? -errno : guard_parse_tracer((struct text){text, (size_t)length});
}

__attribute__((format(printf, 2, 3))) static void write_alert(struct guard_alert *alert, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(alert->message, sizeof(alert->message), format, arguments);
	va_end(arguments);
	alert->rule = (struct event_rule){
		.name = TEXT_LITERAL("Attack on the sensor"),
		.description = TEXT_LITERAL("Somebody signals, traces or disconnects the sensor."),
		.ruleset = TEXT_LITERAL("taffrail"),
		.message = text_of(alert->message),
		.severity = EVENT_CRITICAL,
	};
}

void guard_signal(struct guard_alert *alert, const struct record *record)
{
	int number = record->tamper->signal;
	const char *name = sigabbrev_np(number);
	char words[32];
	const char *name_given = record->tamper->name;
	char who[KERNEL_NAME_SIZE];

	if (name)
		snprintf(words, sizeof(words), "SIG%s", name);
	else
		snprintf(words, sizeof(words), "Signal %d", number);
	copy_name(who, sizeof(who), (struct text){name_given, strnlen(name_given, KERNEL_NAME_SIZE)});
	write_alert(alert, "%s was sent to the sensor from a container, by %s[%u]", words, who, record->header->tgid);
}

void guard_cgroup_left(struct guard_alert *alert, const struct event *event)
{
	const struct event_process *process = event->process;
	char who[KERNEL_NAME_SIZE], actor[KERNEL_NAME_SIZE], path[128];
	uint32_t pid = process ? process->pid : 0;

	copy_name(who, sizeof(who), process ? process->name : (struct text){0});
	copy_name(actor, sizeof(actor), event->cgroup.actor_name);
	copy_name(path, sizeof(path), event->cgroup.path);
	if (event->cgroup.actor_pid == pid)
		write_alert(alert, "%s[%u] moved itself into the cgroup %s; it stays its container's", who, pid, path);
	else
		write_alert(alert, "%s[%u] was moved into the cgroup %s by %s[%u]; it stays its container's", who, pid,
			path, actor, event->cgroup.actor_pid);
	alert->rule.name = TEXT_LITERAL("Process left its container's cgroup");
	alert->rule.description =
		TEXT_LITERAL("A process of a container, or its child, is in a cgroup that is not the container's.");
}

/* Its name, if it is still there. */
static void name_process(char name[32], pid_t pid)
{
	char path[64], given[32];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, given, sizeof(given));
	if (length > 0 && given[length - 1] == '\n')
		length--;
	copy_name(name, 32, (struct text){given, length > 0 ? (size_t)length : 0});
	if (fd >= 0)
		close(fd);
}

void guard_traced(struct guard_alert *alert, pid_t tracer)
{
	char name[32];

	name_process(name, tracer);
	write_alert(alert, "The sensor is traced (ptrace) by %s[%d]", name, tracer);
}

void guard_detached(struct guard_alert *alert, const char *hook, const char *promise)
{
	write_alert(alert, "The sensor's program was detached from %s, which serves: %s", hook, promise);
}

void guard_claimed(struct guard_alert *alert, uint64_t sequence)
{
	write_alert(alert,
		"A collector claims event %llu of this sensor, which was never made: somebody else has spoken in its "
		"name, or the "
		"collector's store is damaged",
		(unsigned long long)sequence);
}

void guard_forged(struct guard_alert *alert)
{
	write_alert(alert, "Somebody else wrote into the memory that the sensor shares with its programs");
}
