/* SPDX-License-Identifier: Apache-2.0 */
/* proc.*, thread.*, user.*, group.*: who did it, and whose child it is. */
#include "detect/field_flags.h"

enum which {
	NAME,
	EXE,
	EXE_PATH,
	ARGS,
	COMMAND_LINE,
	EXE_LINE,
	ARGUMENT_COUNT,
	ARGUMENT_LENGTH,
	ENVIRONMENT,
	PID,
	DIRECTORY,
	TTY,
	VPID,
	SID,
	PGID,
	INODE,
	CHANGED,
	WRITTEN,
	CHANGED_BEFORE,
	CHANGED_BEFORE_NAMESPACE,
	NAMESPACE_START,
	DURATION,
	START,
	IS_MEMFD,
	IS_UPPER,
	IS_LOWER,
	IS_SESSION_LEADER,
	IS_GROUP_LEADER,
	LOGIN_SESSION,
	CAP_EFFECTIVE,
	CAP_PERMITTED,
	CAP_INHERITABLE,
	USER_ID,
	USER_NAME,
	LOGIN_ID,
	LOGIN_NAME,
	GROUP_ID,
	GROUP_NAME,
	FD_TYPE_0,
	FD_TYPE_1,
	FD_TYPE_2,
};

enum { ANCESTORS_MAX = 256 };

static const uint32_t not_set = UINT32_MAX;

static const struct event_process *ancestor(const struct event_process *process, int64_t generations)
{
	for (; process && generations > 0; generations--)
		process = process->parent;
	return process;
}

static struct text first_word(struct text words)
{
	words.length = words.length > 0 ? strnlen(words.data, words.length) : 0;
	return words;
}

/* The kernel has "/memfd:name (deleted)" for what rules call "memfd:name". */
static struct text executable(const struct event_process *process)
{
	static const struct text mark = TEXT_STATIC("/memfd:"), deleted = TEXT_STATIC(" (deleted)");
	struct text path = process->executable;

	if (!process->memfd || !text_starts_with(path, mark))
		return path;
	path = (struct text){path.data + 1, path.length - 1};
	if (path.length > deleted.length &&
		memcmp(path.data + path.length - deleted.length, deleted.data, deleted.length) == 0)
		path.length -= deleted.length;
	return path;
}

/* What a field's `which` is of one process; not its arguments where only its name is known. */
static void text_of_process(
	struct extraction *extraction, const struct event_process *process, enum which which, struct values *values)
{
	struct field_text text;

	switch (which) {
	case NAME: field_give_text(values, process->name); return;
	case EXE_PATH: field_give_text(values, executable(process)); return;
	case DIRECTORY: field_give_text(values, process->working_directory); return;
	case EXE:
		field_give_text(values, process->args.length > 0 ? first_word(process->args) : process->executable);
		return;
	case ENVIRONMENT: /* empty is a value: the environment may be */
		if (process->environment.length == 0)
			return;
		text = field_text_begin(extraction);
		field_text_words(&text, process->environment, 0);
		break;
	case ARGS:
		if (!process->image_known)
			return;
		text = field_text_begin(extraction);
		field_text_words(&text, process->args, 1);
		break;
	case EXE_LINE:
	case COMMAND_LINE:
		text = field_text_begin(extraction);
		field_text_add(&text, which == EXE_LINE ? first_word(process->args) : process->name);
		if (process->args.length > first_word(process->args).length + 1) {
			field_text_byte(&text, ' ');
			field_text_words(&text, process->args, 1);
		}
		if (field_text_end(&text).length == 0)
			return;
		break;
	default: return;
	}
	field_give_any_text(values, field_text_end(&text));
}

/* which: of the process itself. */
static void own_text(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	if (extraction->event->process)
		text_of_process(extraction, extraction->event->process, (enum which)use->field->which, values);
}

/* The whole environment, or the value of one variable. */
static void environment(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;
	struct text left = process ? process->environment : (struct text){0};

	if (!use->key.data) {
		own_text(extraction, use, values);
		return;
	}
	while (left.length > 0) {
		struct text word = first_word(left);
		size_t step = word.length < left.length ? word.length + 1 : word.length;

		if (word.length > use->key.length && text_starts_with(word, use->key) &&
			word.data[use->key.length] == '=') {
			field_give_any_text(values,
				(struct text){word.data + use->key.length + 1, word.length - use->key.length - 1});
			return;
		}
		left = (struct text){left.data + step, left.length - step};
	}
}

static void parent_text(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *parent = ancestor(extraction->event->process, 1);

	if (parent)
		text_of_process(extraction, parent, (enum which)use->field->which, values);
}

static void one_number(const struct event_process *process, enum which which, struct values *values)
{
	if (which == PID)
		field_give_number(values, process->pid);
}

/* With an index one ancestor (0: the process itself), without it all of them. */
static void ancestors(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;
	enum which which = (enum which)use->field->which;
	struct value *all;
	size_t count = 0;

	if (use->index >= 0) {
		process = ancestor(process, use->index);
		if (process && which == PID)
			one_number(process, which, values);
		else if (process)
			text_of_process(extraction, process, which, values);
		return;
	}
	for (const struct event_process *each = ancestor(process, 1); each && count < ANCESTORS_MAX;
		each = each->parent)
		count++;
	all = count ? field_room(extraction, count * sizeof(*all)) : NULL;
	if (!all)
		return;
	count = 0;
	for (const struct event_process *each = ancestor(process, 1); each && count < ANCESTORS_MAX;
		each = each->parent) {
		struct values one = {0};

		if (which == PID)
			one_number(each, which, &one);
		else
			text_of_process(extraction, each, which, &one);
		if (one.known)
			all[count++] = one.one;
	}
	if (count == 1)
		*values = (struct values){.known = true, .count = 1, .one = all[0]};
	else if (count > 1)
		*values = (struct values){.known = true, .count = count, .more = all};
}

/* The leader of the session, among the process and its ancestors. */
static void session_leader(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;
	uint32_t sid = process ? process->sid : 0;

	for (int i = 0; process && sid && i < ANCESTORS_MAX; i++, process = process->parent)
		if (process->pid == sid) {
			text_of_process(extraction, process, (enum which)use->field->which, values);
			return;
		}
}

static void group_leader(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;
	uint32_t pgid = process ? process->pgid : 0;

	for (int i = 0; process && pgid && i < ANCESTORS_MAX; i++, process = process->parent)
		if (process->pid == pgid) {
			text_of_process(extraction, process, (enum which)use->field->which, values);
			return;
		}
}

/* Are the times of its executable known? Either alone may be 0: of files in images that are built to be reproducible. */
static bool has_times(const struct event_process *process)
{
	return process->ctime_ns || process->mtime_ns;
}

static void own_numbers(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	const struct event_process *process = event->process;
	size_t length;

	if (!process)
		return;
	switch ((enum which)use->field->which) {
	case PID: field_give_number(values, process->pid); break;
	case VPID: field_give_number(values, process->vpid); break;
	case SID: field_give_number(values, process->sid); break;
	case PGID: field_give_number(values, process->pgid); break;
	case INODE: field_give_number(values, (int64_t)process->inode); break;
	case CHANGED:
		if (has_times(process))
			field_give_number(values, (int64_t)process->ctime_ns);
		break;
	case WRITTEN:
		if (has_times(process))
			field_give_number(values, (int64_t)process->mtime_ns);
		break;
	case CHANGED_BEFORE:
		if (has_times(process) && process->start_ns)
			field_give_number(values, (int64_t)(process->start_ns - process->ctime_ns));
		break;
	case CHANGED_BEFORE_NAMESPACE:
		if (has_times(process) && process->namespace_ns)
			field_give_number(values, (int64_t)(process->namespace_ns - process->ctime_ns));
		break;
	case NAMESPACE_START:
		if (process->namespace_ns)
			field_give_number(values, (int64_t)process->namespace_ns);
		break;
	case START: field_give_number(values, (int64_t)process->start_ns); break;
	case DURATION:
		if (process->start_ns)
			field_give_number(values, (int64_t)(event->time_ns - process->start_ns));
		break;
	/* As the kernel tells it to user space: new_encode_dev. */
	case TTY:
		field_give_number(values, (int64_t)((process->tty_minor & 0xff) | process->tty_major << 8 |
						    (process->tty_minor & ~0xffu) << 12));
		break;
	case ARGUMENT_COUNT:
		if (process->image_known)
			field_give_number(values, process->args_count ? process->args_count - 1 : 0);
		break;
	case ARGUMENT_LENGTH:
		length = first_word(process->args).length + 1;
		if (process->image_known)
			field_give_number(
				values, process->args.length > length ? (int64_t)(process->args.length - length) : 0);
		break;
	case LOGIN_SESSION: field_give_number(values, (int32_t)process->session_id); break;
	default: break;
	}
}

static void parent_numbers(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *parent = ancestor(extraction->event->process, 1);
	uint64_t time_ns = extraction->event->time_ns;

	if (!parent)
		return;
	switch ((enum which)use->field->which) {
	case PID: field_give_number(values, parent->pid); break;
	case VPID: field_give_number(values, parent->vpid); break;
	case START: field_give_number(values, (int64_t)parent->start_ns); break;
	case DURATION:
		if (parent->start_ns)
			field_give_number(values, (int64_t)(time_ns - parent->start_ns));
		break;
	default: break;
	}
}

static void booleans(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;

	if (!process || !process->image_known)
		return;
	switch ((enum which)use->field->which) {
	case IS_MEMFD: field_give_boolean(values, process->memfd); break;
	case IS_UPPER: field_give_boolean(values, process->upper); break;
	case IS_LOWER: field_give_boolean(values, !process->upper && !process->memfd); break;
	case IS_SESSION_LEADER: field_give_boolean(values, process->sid == process->pid); break;
	case IS_GROUP_LEADER: field_give_boolean(values, process->pgid == process->pid); break;
	default: break;
	}
}

static void rights(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;
	uint64_t set = 0;

	if (!process || !process->image_known)
		return;
	switch ((enum which)use->field->which) {
	case CAP_EFFECTIVE: set = process->cap_effective; break;
	case CAP_PERMITTED: set = process->cap_permitted; break;
	case CAP_INHERITABLE: set = process->cap_inheritable; break;
	default: break;
	}
	field_give_any_text(values, field_capabilities(extraction, set));
}

static void identities(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_process *process = extraction->event->process;

	if (!process || !process->image_known)
		return;
	switch ((enum which)use->field->which) {
	case USER_ID: field_give_number(values, process->uid); break;
	case USER_NAME: field_give_text(values, field_user(extraction, process->uid)); break;
	case LOGIN_ID: field_give_number(values, (int32_t)process->login_uid); break;
	case LOGIN_NAME:
		if (process->login_uid != not_set)
			field_give_text(values, field_user(extraction, process->login_uid));
		break;
	case GROUP_ID: field_give_number(values, process->gid); break;
	case GROUP_NAME: field_give_text(values, field_group(extraction, process->gid)); break;
	default: break;
	}
}

static void standard_types(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	static const struct text types[] = {{0}, TEXT_STATIC("file"), TEXT_STATIC("directory"), TEXT_STATIC("file"),
		TEXT_STATIC("file"), TEXT_STATIC("pipe"), TEXT_STATIC("unix"), TEXT_STATIC("ipv4")};
	const struct event_process *process = extraction->event->process;
	uint8_t type = process ? process->fd_types[use->field->which - FD_TYPE_0] : 0;

	if (type < sizeof(types) / sizeof(types[0]))
		field_give_text(values, types[type]);
}

static void unknown(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	(void)extraction;
	(void)use;
	(void)values;
}

#define ANCESTRAL(name, which, help)                                                                                   \
	{                                                                                                              \
		name, FIELD_TEXT, FIELD_ANY, ARGUMENT_INDEX, ancestors, which, help                                    \
	}

const struct field field_process[] = {
	{"proc.name", FIELD_TEXT, 0, 0, own_text, NAME, "the program's name as exec gave it, at most 15 bytes"},
	{"proc.pname", FIELD_TEXT, 0, 0, parent_text, NAME, "the parent's name"},
	ANCESTRAL("proc.aname", NAME, "the name of an ancestor: [2] is the grandparent; without a number any"),
	{"proc.exe", FIELD_TEXT, 0, 0, own_text, EXE, "the first argument, by convention the program's name"},
	{"proc.pexe", FIELD_TEXT, 0, 0, parent_text, EXE, "that of the parent"},
	ANCESTRAL("proc.aexe", EXE, "that of an ancestor"),
	{"proc.exepath", FIELD_TEXT, 0, 0, own_text, EXE_PATH, "the executable's path as the kernel has it"},
	{"proc.pexepath", FIELD_TEXT, 0, 0, parent_text, EXE_PATH, "that of the parent"},
	ANCESTRAL("proc.aexepath", EXE_PATH, "that of an ancestor"),
	{"proc.args", FIELD_TEXT, 0, 0, own_text, ARGS, "the arguments behind the first, with blanks between"},
	ANCESTRAL("proc.aargs", ARGS, "those of an ancestor"),
	{"proc.cmdline", FIELD_TEXT, 0, 0, own_text, COMMAND_LINE, "proc.name and proc.args"},
	{"proc.pcmdline", FIELD_TEXT, 0, 0, parent_text, COMMAND_LINE, "that of the parent"},
	ANCESTRAL("proc.acmdline", COMMAND_LINE, "that of an ancestor"),
	{"proc.exeline", FIELD_TEXT, 0, 0, own_text, EXE_LINE, "proc.exe and proc.args"},
	{"proc.cmdnargs", FIELD_NUMBER, 0, 0, own_numbers, ARGUMENT_COUNT, "how many arguments stand behind the first"},
	{"proc.cmdlenargs", FIELD_NUMBER, 0, 0, own_numbers, ARGUMENT_LENGTH, "how long they are"},
	{"proc.env", FIELD_TEXT, 0, ARGUMENT_KEY_OR_NONE, environment, ENVIRONMENT,
		"the environment, with blanks between, or the value of one variable"},
	ANCESTRAL("proc.aenv", ENVIRONMENT, "that of an ancestor"),
	{"proc.cwd", FIELD_TEXT, 0, 0, own_text, DIRECTORY, "the working directory"},
	{"proc.pid", FIELD_NUMBER, 0, 0, own_numbers, PID, "the process' number on the host"},
	{"proc.ppid", FIELD_NUMBER, 0, 0, parent_numbers, PID, "that of the parent"},
	{"proc.apid", FIELD_NUMBER, FIELD_ANY, ARGUMENT_INDEX, ancestors, PID, "that of an ancestor"},
	{"proc.vpid", FIELD_NUMBER, 0, 0, own_numbers, VPID, "the number in its own pid namespace"},
	{"proc.pvpid", FIELD_NUMBER, 0, 0, parent_numbers, VPID, "that of the parent"},
	{"proc.sid", FIELD_NUMBER, 0, 0, own_numbers, SID, "the session's number on the host"},
	{"proc.sname", FIELD_TEXT, 0, 0, session_leader, NAME, "the session leader's name"},
	{"proc.sid.exe", FIELD_TEXT, 0, 0, session_leader, EXE, "its first argument"},
	{"proc.sid.exepath", FIELD_TEXT, 0, 0, session_leader, EXE_PATH, "its executable"},
	{"proc.pgid", FIELD_NUMBER, 0, 0, own_numbers, PGID, "the process group's number on the host"},
	{"proc.vpgid", FIELD_NUMBER, 0, 0, own_numbers, PGID, "the same"},
	{"proc.vpgid.name", FIELD_TEXT, 0, 0, group_leader, NAME, "the group leader's name"},
	{"proc.vpgid.exe", FIELD_TEXT, 0, 0, group_leader, EXE, "its first argument"},
	{"proc.vpgid.exepath", FIELD_TEXT, 0, 0, group_leader, EXE_PATH, "its executable"},
	{"proc.pgid.name", FIELD_TEXT, 0, 0, group_leader, NAME, "the group leader's name"},
	{"proc.pgid.exe", FIELD_TEXT, 0, 0, group_leader, EXE, "its first argument"},
	{"proc.pgid.exepath", FIELD_TEXT, 0, 0, group_leader, EXE_PATH, "its executable"},
	{"proc.loginshellid", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.tty", FIELD_NUMBER, 0, 0, own_numbers, TTY, "the controlling terminal; 0: none"},
	{"proc.duration", FIELD_NUMBER, 0, 0, own_numbers, DURATION, "nanoseconds since the process began"},
	{"proc.ppid.duration", FIELD_NUMBER, 0, 0, parent_numbers, DURATION, "since the parent began"},
	{"proc.pid.ts", FIELD_NUMBER, 0, 0, own_numbers, START, "when it began, Unix time in nanoseconds"},
	{"proc.ppid.ts", FIELD_NUMBER, 0, 0, parent_numbers, START, "when the parent began"},
	{"proc.exe_ino", FIELD_NUMBER, 0, 0, own_numbers, INODE, "the executable's inode"},
	{"proc.exe_ino.ctime", FIELD_NUMBER, 0, 0, own_numbers, CHANGED,
		"when the executable's inode was changed last, Unix time in nanoseconds"},
	{"proc.exe_ino.mtime", FIELD_NUMBER, 0, 0, own_numbers, WRITTEN,
		"when the executable was written last, as its owner may have set it"},
	{"proc.exe_ino.ctime_duration_proc_start", FIELD_NUMBER, 0, 0, own_numbers, CHANGED_BEFORE,
		"nanoseconds from that change to the process' start; negative: it came after it"},
	{"proc.exe_ino.ctime_duration_pidns_start", FIELD_NUMBER, 0, 0, own_numbers, CHANGED_BEFORE_NAMESPACE,
		"the same to the start of the first process of its pid namespace"},
	{"proc.pidns_init_start_ts", FIELD_NUMBER, 0, 0, own_numbers, NAMESPACE_START,
		"when the first process of its pid namespace began, Unix time in nanoseconds"},
	{"proc.is_exe_from_memfd", FIELD_BOOLEAN, 0, 0, booleans, IS_MEMFD, "is the executable of memory only?"},
	{"proc.is_exe_upper_layer", FIELD_BOOLEAN, 0, 0, booleans, IS_UPPER, "is it not of the container's image?"},
	{"proc.is_exe_lower_layer", FIELD_BOOLEAN, 0, 0, booleans, IS_LOWER, "is it of the container's image?"},
	{"proc.is_exe_writable", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"proc.is_sid_leader", FIELD_BOOLEAN, 0, 0, booleans, IS_SESSION_LEADER, "is it its session's leader?"},
	{"proc.is_vpgid_leader", FIELD_BOOLEAN, 0, 0, booleans, IS_GROUP_LEADER, "is it its group's leader?"},
	{"proc.is_pgid_leader", FIELD_BOOLEAN, 0, 0, booleans, IS_GROUP_LEADER, "the same"},
	{"proc.is_container_healthcheck", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"proc.is_container_liveness_probe", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"proc.is_container_readiness_probe", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"proc.stdin.type", FIELD_TEXT, 0, 0, standard_types, FD_TYPE_0, "what its standard input was at exec"},
	{"proc.stdout.type", FIELD_TEXT, 0, 0, standard_types, FD_TYPE_1, "what its standard output was"},
	{"proc.stderr.type", FIELD_TEXT, 0, 0, standard_types, FD_TYPE_2, "what its standard error was"},
	{"proc.stdin.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"proc.stdout.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"proc.stderr.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"proc.fdopencount", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.fdlimit", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.fdusage", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.nthreads", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.nchilds", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.vmsize", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.vmrss", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"proc.vmswap", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.tid", FIELD_NUMBER, 0, 0, own_numbers, PID, "the process' number on the host"},
	{"thread.vtid", FIELD_NUMBER, 0, 0, own_numbers, VPID, "the number in its own pid namespace"},
	{"thread.ismain", FIELD_BOOLEAN, 0, 0, unknown, 0, "not recorded"},
	{"thread.exectime", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.totexectime", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.cpu", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.cpu.user", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.cpu.system", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.vmsize", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.vmsize.b", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.vmrss", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.vmrss.b", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.pfmajor", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.pfminor", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"thread.cgroups", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"thread.nametid", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"thread.cgroup", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"thread.cap_effective", FIELD_TEXT, 0, 0, rights, CAP_EFFECTIVE,
		"effective capabilities: CAP_CHOWN CAP_KILL …"},
	{"thread.cap_permitted", FIELD_TEXT, 0, 0, rights, CAP_PERMITTED, "permitted capabilities"},
	{"thread.cap_inheritable", FIELD_TEXT, 0, 0, rights, CAP_INHERITABLE, "inheritable capabilities"},
	{"user.uid", FIELD_NUMBER, 0, 0, identities, USER_ID, "the effective user"},
	{"user.name", FIELD_TEXT, 0, 0, identities, USER_NAME, "its name, as the container's own passwd has it"},
	{"user.loginuid", FIELD_NUMBER, 0, 0, identities, LOGIN_ID, "who logged in, by audit; -1: nobody"},
	{"user.loginname", FIELD_TEXT, 0, 0, identities, LOGIN_NAME, "the name of who logged in"},
	{"user.homedir", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"user.shell", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"group.gid", FIELD_NUMBER, 0, 0, identities, GROUP_ID, "the effective group"},
	{"group.name", FIELD_TEXT, 0, 0, identities, GROUP_NAME, "its name, as the container's own group file has it"},
	{0},
};
