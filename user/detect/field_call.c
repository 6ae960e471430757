/* SPDX-License-Identifier: Apache-2.0 */
/* evt.arg.*: the arguments of calls, by the names that Falco has for them. */
#include <fcntl.h>
#include <stdio.h>

#include "detect/field_flags.h"

/* Of each call its arguments, as far as an event tells them. */
static const char *const execve_takes[] = {"res", "exe", "args", "tid", "pid", "ptid", "cwd", "comm", "env", "tty",
	"vpgid", "loginuid", "flags", "cap_permitted", "cap_effective", "exe_ino", "exe_ino_ctime", "exe_ino_mtime",
	"uid", "filename", NULL};
static const char *const open_takes[] = {"fd", "name", "flags", "mode", "ino", NULL};
static const char *const creat_takes[] = {"fd", "name", "mode", "ino", NULL};
static const char *const connection_takes[] = {"res", "fd", "tuple", NULL};
static const char *const accepted_takes[] = {"fd", "tuple", NULL};
static const char *const listen_takes[] = {"res", "fd", NULL};
static const char *const socket_takes[] = {"fd", "domain", "type", "proto", NULL};
static const char *const linked_takes[] = {"res", "oldpath", "newpath", NULL};
static const char *const linkat_takes[] = {"res", "oldpath", "newpath", "flags", NULL};
static const char *const symlinked_takes[] = {"res", "target", "linkpath", NULL};
static const char *const path_only_takes[] = {"res", "path", NULL};
static const char *const unlinkat_takes[] = {"res", "name", "flags", NULL};
static const char *const mkdir_takes[] = {"res", "path", "mode", NULL};
static const char *const chmod_takes[] = {"res", "filename", "mode", NULL};
static const char *const fchmod_takes[] = {"res", "fd", "mode", NULL};
static const char *const dup_takes[] = {"res", "oldfd", NULL};
static const char *const dup2_takes[] = {"res", "oldfd", "newfd", NULL};
static const char *const dup3_takes[] = {"res", "oldfd", "newfd", "flags", NULL};
static const char *const ptrace_takes[] = {"res", "request", "pid", NULL};
static const char *const setuid_takes[] = {"res", "uid", NULL};
static const char *const setgid_takes[] = {"res", "gid", NULL};
static const char *const setreuid_takes[] = {"res", "euid", NULL};
static const char *const setregid_takes[] = {"res", "egid", NULL};
static const char *const setns_takes[] = {"res", "fd", "nstype", NULL};
static const char *const flags_only_takes[] = {"res", "flags", NULL};
static const char *const bpf_takes[] = {"fd", "cmd", NULL};
static const char *const init_module_takes[] = {"res", "uargs", NULL};
static const char *const finit_module_takes[] = {"res", "fd", "uargs", "flags", NULL};
static const char *const mount_takes[] = {"res", "dev", "dir", "type", "flags", NULL};
static const char *const umount_takes[] = {"res", "name", "flags", NULL};
static const char *const nothing_takes[] = {"res", NULL};

static const char *const *const arguments[EVENT_CALLS_END] = {
	[EVENT_CALL_NONE] = nothing_takes,
	[EVENT_CALL_EXECVE] = execve_takes,
	[EVENT_CALL_EXECVEAT] = execve_takes,
	[EVENT_CALL_OPEN] = open_takes,
	[EVENT_CALL_OPENAT] = open_takes,
	[EVENT_CALL_OPENAT2] = open_takes,
	[EVENT_CALL_CREAT] = creat_takes,
	[EVENT_CALL_OPEN_BY_HANDLE_AT] = open_takes,
	[EVENT_CALL_CONNECT] = connection_takes,
	[EVENT_CALL_ACCEPT] = accepted_takes,
	[EVENT_CALL_ACCEPT4] = accepted_takes,
	[EVENT_CALL_LISTEN] = listen_takes,
	[EVENT_CALL_SOCKET] = socket_takes,
	[EVENT_CALL_SENDTO] = connection_takes,
	[EVENT_CALL_SENDMSG] = connection_takes,
	[EVENT_CALL_SENDMMSG] = connection_takes,
	[EVENT_CALL_RECVFROM] = connection_takes,
	[EVENT_CALL_RECVMSG] = connection_takes,
	[EVENT_CALL_RECVMMSG] = connection_takes,
	[EVENT_CALL_LINK] = linked_takes,
	[EVENT_CALL_LINKAT] = linkat_takes,
	[EVENT_CALL_SYMLINK] = symlinked_takes,
	[EVENT_CALL_SYMLINKAT] = symlinked_takes,
	[EVENT_CALL_UNLINK] = path_only_takes,
	[EVENT_CALL_UNLINKAT] = unlinkat_takes,
	[EVENT_CALL_RMDIR] = path_only_takes,
	[EVENT_CALL_RENAME] = linked_takes,
	[EVENT_CALL_RENAMEAT] = linked_takes,
	[EVENT_CALL_RENAMEAT2] = linkat_takes,
	[EVENT_CALL_CHMOD] = chmod_takes,
	[EVENT_CALL_FCHMOD] = fchmod_takes,
	[EVENT_CALL_FCHMODAT] = chmod_takes,
	[EVENT_CALL_FCHMODAT2] = chmod_takes,
	[EVENT_CALL_MKDIR] = mkdir_takes,
	[EVENT_CALL_MKDIRAT] = mkdir_takes,
	[EVENT_CALL_DUP] = dup_takes,
	[EVENT_CALL_DUP2] = dup2_takes,
	[EVENT_CALL_DUP3] = dup3_takes,
	[EVENT_CALL_PTRACE] = ptrace_takes,
	[EVENT_CALL_SETUID] = setuid_takes,
	[EVENT_CALL_SETGID] = setgid_takes,
	[EVENT_CALL_SETREUID] = setreuid_takes,
	[EVENT_CALL_SETREGID] = setregid_takes,
	[EVENT_CALL_SETRESUID] = setreuid_takes,
	[EVENT_CALL_SETRESGID] = setregid_takes,
	[EVENT_CALL_SETFSUID] = setuid_takes,
	[EVENT_CALL_SETFSGID] = setgid_takes,
	[EVENT_CALL_SETNS] = setns_takes,
	[EVENT_CALL_UNSHARE] = flags_only_takes,
	[EVENT_CALL_BPF] = bpf_takes,
	[EVENT_CALL_INIT_MODULE] = init_module_takes,
	[EVENT_CALL_FINIT_MODULE] = finit_module_takes,
	[EVENT_CALL_USERFAULTFD] = flags_only_takes,
	[EVENT_CALL_MOUNT] = mount_takes,
	[EVENT_CALL_UMOUNT] = umount_takes,
	[EVENT_CALL_MOVE_MOUNT] = mount_takes,
};

/* Names that rules may ask for though no event here tells them: arguments of calls that are not recorded, too. */
static const char *const others[] = {"ID", "action", "addr", "address", "addrlen", "arg", "arg2", "arg2_int",
	"arg2_str", "arg3", "arg4", "arg5", "args_count", "argument", "argv", "aux", "backlog", "buf",
	"cap_inheritable", "cgroups", "clockid", "cmd_id", "container_id", "cookie", "core", "count", "cpu", "cpu_sys",
	"cpu_usr", "cq_entries", "creat_flags", "cur", "data", "desc", "description", "dirfd", "dirfd1", "dirfd2",
	"dpid", "dqb_bhardlimit", "dqb_bsoftlimit", "dqb_btime", "dqb_curspace", "dqb_ihardlimit", "dqb_isoftlimit",
	"dqb_itime", "dqi_bgrace", "dqi_flags", "dqi_igrace", "dst", "entries", "error", "event_data", "event_type",
	"exe_ino_num", "exepath", "fd1", "fd2", "fd_in", "fd_out", "fd_type", "fdin", "fdlimit", "fdout", "fds",
	"features", "first", "home", "how", "id", "image", "img", "in_fd", "initval", "ino_num", "interval", "ip",
	"json", "key", "last", "len", "length", "level", "linkdirfd", "local_ip", "local_port", "mask", "max",
	"maxevents", "min_complete", "mnt_id", "mountfd", "msgcontrol", "nativeID", "new", "newcur", "newdir",
	"newdirfd", "newmax", "next", "nfds", "nr_args", "nsems", "nsops", "offin", "offout", "offset", "old", "oldcur",
	"olddir", "olddirfd", "oldmax", "op", "opcode", "operation", "option", "optlen", "optname", "optval", "out_fd",
	"pathname", "peer", "pgft_maj", "pgft_min", "pgid", "pgoff", "pgoffset", "pid_fd", "pidns_init_start_ts",
	"plugin_id", "pos", "ppid", "prot", "queuelen", "queuemax", "queuepct", "quota_fmt", "quota_fmt_out",
	"quotafilepath", "ratio", "reaper_tid", "remote_ip", "remote_port", "res_or_fd", "resolve", "resource",
	"resume", "ret", "revents", "rgid", "root", "ruid", "scope", "sem_flg_0", "sem_flg_1", "sem_num_0", "sem_num_1",
	"sem_op_0", "sem_op_1", "semflg", "semid", "semnum", "sgid", "shell", "sid", "sig", "sigmask", "size",
	"sk_pointer", "sk_proto", "sk_type", "source", "special", "spid", "sq_entries", "sq_thread_cpu",
	"sq_thread_idle", "src", "start_time", "status", "suid", "sun_path", "tags", "target_fd", "threshold",
	"timeout", "to_submit", "trusted_exepath", "uri", "val", "value", "value_bytebuf", "value_charbuf", "vm_rss",
	"vm_size", "vm_swap", "vpid", "vtgid", "vtid", "whence", NULL};

size_t field_call_arguments(const struct event *event, const char *const **names)
{
	size_t count = 0;

	*names = arguments[event_call_of(event)] ? arguments[event_call_of(event)] : nothing_takes;
	while ((*names)[count])
		count++;
	return count;
}

static bool is_among(const char *const *names, struct text name)
{
	for (; *names; names++)
		if (text_equal(name, text_of(*names)))
			return true;
	return false;
}

bool field_is_call_argument(struct text name)
{
	for (size_t i = 0; i < EVENT_CALLS_END; i++)
		if (arguments[i] && is_among(arguments[i], name))
			return true;
	return is_among(others, name);
}

/* --- values ----------------------------------------------------------------------------------------------------------- */

#define is(name, literal) text_equal(name, TEXT_LITERAL(literal))

static struct text first_of(struct text a, struct text b, struct text c)
{
	return a.length > 0 ? a : b.length > 0 ? b : c;
}

static struct text number_text(struct extraction *extraction, int64_t number)
{
	struct field_text text = field_text_begin(extraction);

	field_text_number(&text, number);
	return field_text_end(&text);
}

static void give_number_text(struct extraction *extraction, int64_t number, bool raw, struct values *values)
{
	if (raw)
		field_give_number(values, number);
	else
		field_give_any_text(values, number_text(extraction, number));
}

static void give_flags(
	struct extraction *extraction, enum field_flags which, uint64_t bits, bool raw, struct values *values)
{
	if (raw)
		field_give_number(values, (int64_t)bits);
	else
		field_give_any_text(values, field_flags(extraction, which, bits));
}

/* A name, and the number beside it: rules ask for either, an output has the last. */
static void give_named(
	struct extraction *extraction, struct text name, uint64_t number, bool raw, struct values *values)
{
	struct value *both = raw || name.length == 0 ? NULL : field_room(extraction, 2 * sizeof(*both));

	if (!both) {
		give_number_text(extraction, (int64_t)number, raw, values);
		return;
	}
	both[0].text = number_text(extraction, (int64_t)number);
	both[1].text = name;
	*values = (struct values){.known = true, .count = 2, .more = both};
}

/* "<f>/etc/passwd": what a descriptor is; its number where nothing is known of it. */
static void give_descriptor(struct extraction *extraction, bool raw, struct values *values)
{
	struct field_text text;
	struct text name;
	int64_t number;

	if (!field_descriptor(extraction->event, &number))
		return;
	name = raw ? (struct text){0} : field_descriptor_name(extraction);
	if (name.length == 0) {
		give_number_text(extraction, number, raw, values);
		return;
	}
	text = field_text_begin(extraction);
	field_text_add(&text, field_socket(extraction->event) ? TEXT_LITERAL("<s>") : TEXT_LITERAL("<f>"));
	field_text_add(&text, name);
	field_give_text(values, field_text_end(&text));
}

/* An argument of an exec that is a number. False: it is none, or not known. */
static bool exec_number(const struct event_process *process, struct text name, int64_t *number)
{
	bool times = process->ctime_ns || process->mtime_ns;

	if (is(name, "pid") || is(name, "tid"))
		*number = process->pid;
	else if (is(name, "ptid"))
		*number = process->parent ? process->parent->pid : 0;
	else if (is(name, "vpgid"))
		*number = process->pgid;
	else if (is(name, "tty"))
		*number = process->tty_minor;
	else if (is(name, "loginuid"))
		*number = (int32_t)process->login_uid;
	else if (is(name, "exe_ino"))
		*number = (int64_t)process->inode;
	else if (is(name, "exe_ino_ctime") && times)
		*number = (int64_t)process->ctime_ns;
	else if (is(name, "exe_ino_mtime") && times)
		*number = (int64_t)process->mtime_ns;
	else
		return false;
	return true;
}

static void exec_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const struct event *event = extraction->event;
	const struct event_process *process = event->process;
	struct field_text text = field_text_begin(extraction);
	int64_t number;

	if (is(name, "filename"))
		field_give_text(values, first_of(event->file.argument, process ? process->executable : event->file.path,
						event->file.path));
	if (!process)
		return;
	if (is(name, "exe") || is(name, "args") || is(name, "env")) {
		struct text words = is(name, "env") ? process->environment : process->args;

		if (is(name, "exe"))
			words.length = strnlen(words.data ? words.data : "", words.length);
		field_text_words(&text, words, is(name, "args"));
		field_give_text(values, field_text_end(&text));
	} else if (is(name, "cwd")) {
		field_give_text(values, process->working_directory);
	} else if (is(name, "comm")) {
		field_give_text(values, process->name);
	} else if (is(name, "cap_permitted") || is(name, "cap_effective")) {
		field_give_any_text(
			values, field_capabilities(extraction,
					is(name, "cap_permitted") ? process->cap_permitted : process->cap_effective));
	} else if (is(name, "flags")) {
		give_flags(extraction, FLAGS_EXEC, (process->upper ? 1 : 0) | (process->memfd ? 2 : 0), raw, values);
	} else if (is(name, "uid")) {
		field_give_text(values, field_user(extraction, process->uid));
	} else if (exec_number(process, name, &number)) {
		give_number_text(extraction, number, raw, values);
	}
}

static void file_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const struct event_file *file = &extraction->event->file;

	if (is(name, "name")) {
		field_give_text(values, first_of(file->named, file->path, file->argument));
	} else if (is(name, "flags")) {
		give_flags(extraction, FLAGS_OPEN, file->flags, raw, values);
	} else if (is(name, "ino")) {
		give_number_text(extraction, (int64_t)file->inode, raw, values);
	} else if (is(name, "mode")) {
		char octal[16];
		struct field_text text = field_text_begin(extraction);

		snprintf(octal, sizeof(octal), "0%o", (unsigned int)file->created_mode);
		field_text_add(&text, text_of(octal));
		if (raw)
			field_give_number(values, file->created_mode);
		else
			field_give_text(values, field_text_end(&text));
	}
}

static void change_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const struct event *event = extraction->event;
	const struct event_change *change = &event->change;
	struct text first = first_of(change->named, change->path, change->argument);
	struct text second = first_of(change->new_named, change->new_path, change->new_argument);

	if (is(name, "target"))
		field_give_text(values, change->target);
	else if (is(name, "newpath"))
		field_give_text(values, second);
	else if (is(name, "oldpath") || is(name, "linkpath") || is(name, "path") || is(name, "name") ||
		 is(name, "filename"))
		field_give_text(values, first);
	else if (is(name, "mode"))
		give_flags(extraction, FLAGS_MODE, change->mode, raw, values);
	else if (is(name, "flags"))
		give_flags(extraction, event->action == EVENT_RENAME ? FLAGS_RENAME : FLAGS_UNLINK, change->flags, raw,
			values);
}

static void network_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const struct event_network *network = &extraction->event->network;

	if (is(name, "tuple"))
		field_give_text(values, field_descriptor_name(extraction));
	else if (is(name, "domain"))
		give_named(extraction, field_socket_domain(network->family), network->family, raw, values);
	else if (is(name, "type"))
		give_number_text(extraction, network->type, raw, values);
	else if (is(name, "proto"))
		give_number_text(extraction, network->protocol, raw, values);
}

static void deed_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const struct event *event = extraction->event;
	const struct event_deed *deed = &event->deed;

	if (is(name, "request"))
		give_named(extraction, field_ptrace_request(deed->request), deed->request, raw, values);
	else if (is(name, "cmd"))
		give_named(extraction, field_bpf_command(deed->request), deed->request, raw, values);
	else if (is(name, "pid"))
		give_number_text(extraction, deed->other, raw, values);
	else if (is(name, "oldfd"))
		give_number_text(extraction, (int64_t)deed->request, raw, values);
	else if (is(name, "newfd"))
		give_number_text(extraction, event->result, raw, values);
	else if ((is(name, "uid") || is(name, "euid")) && !raw)
		field_give_text(values, field_user(extraction, deed->id));
	else if ((is(name, "gid") || is(name, "egid")) && !raw)
		field_give_text(values, field_group(extraction, deed->id));
	else if (is(name, "uid") || is(name, "euid") || is(name, "gid") || is(name, "egid"))
		field_give_number(values, deed->id);
	else if (is(name, "nstype"))
		give_flags(extraction, FLAGS_CLONE, deed->request, raw, values);
	else if (is(name, "flags"))
		give_flags(
			extraction, event->action == EVENT_MOUNT ? FLAGS_MOUNT : FLAGS_CLONE, deed->flags, raw, values);
	else if (is(name, "uargs"))
		field_give_text(values, deed->data);
	else if (is(name, "dev"))
		field_give_text(values, deed->source);
	else if (is(name, "dir") || is(name, "name"))
		field_give_text(values, deed->path);
	else if (is(name, "type"))
		field_give_text(values, deed->type);
}

static void result_argument(struct extraction *extraction, bool raw, struct values *values)
{
	const struct event *event = extraction->event;
	int64_t result = event->error && event->result >= 0 ? -event->error : event->result;

	give_number_text(extraction, result, raw, values);
}

void field_call_argument(struct extraction *extraction, struct text name, bool raw, struct values *values)
{
	const char *const *names;

	field_call_arguments(extraction->event, &names);
	if (!is_among(names, name) && !is(name, "res_or_fd") && !is(name, "data"))
		return;
	if (is(name, "data")) { /* beside those of evt.args: what a payload is told to is for each rule to say */
		if (!raw)
			field_give_text(values, field_data(extraction->event));
	} else if (is(name, "res") || is(name, "res_or_fd")) {
		result_argument(extraction, raw, values);
	} else if (is(name, "fd")) {
		give_descriptor(extraction, raw, values);
	} else if (extraction->event->action == EVENT_EXEC) {
		exec_argument(extraction, name, raw, values);
	} else {
		switch (event_action_category(extraction->event->action)) {
		case EVENT_FILE: file_argument(extraction, name, raw, values); break;
		case EVENT_CHANGE: change_argument(extraction, name, raw, values); break;
		case EVENT_NETWORK: network_argument(extraction, name, raw, values); break;
		case EVENT_DEED: deed_argument(extraction, name, raw, values); break;
		default: break;
		}
	}
}
