/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: exec, fork, exit, and those that are there already. */
#include "bpf/call.h"
#include "bpf/loop.h"
#include "bpf/path.h"
#include "bpf/policy.h"
#include "bpf/ring.h"
#include "bpf/syscall.h"
#include "bpf/task.h"

enum {
	ANCESTOR_PATH_MAX = 256,
	SIGNAL_GROUP_EXIT = 4,
	PAGE = 4096,
};

const volatile bool record_environment __weak = false; /* set by the loader */

/* --- what an exec record tells ------------------------------------------------------------------------------------- */

/* The process's pid in its own pid namespace. */
static __always_inline u32 task_vpid(struct task_struct *task)
{
	struct pid *pid = kernel_get(task, group_leader, thread_pid);

	return pid_number(pid, kernel_get(pid, level) & 31);
}

/* When the first process of the process's pid namespace began; 0 when that has ended. */
static __always_inline u64 task_namespace_start(struct task_struct *task)
{
	struct pid *pid = kernel_get(task, group_leader, thread_pid);
	struct upid *own = pid_at(pid, kernel_get(pid, level) & 31);
	struct task_struct *first = kernel_get(own, ns, child_reaper);

	return first ? kernel_get(first, start_boottime) : 0;
}

static __always_inline u32 task_group(struct task_struct *task, int type)
{
	struct signal_struct *signal = kernel_get(task, signal);

	return pid_number(kernel_load(struct pid *, &signal->pids[type]), 0);
}

static __noinline void fill_credentials(struct kernel_exec *exec, struct task_struct *task)
{
	struct cred *cred = (void *)kernel_get(task, cred);

	exec->uid = kernel_get(cred, uid.val);
	exec->gid = kernel_get(cred, gid.val);
	exec->euid = kernel_get(cred, euid.val);
	exec->egid = kernel_get(cred, egid.val);
	exec->cap_inheritable = compat_capability(cred, cap_inheritable);
	exec->cap_permitted = compat_capability(cred, cap_permitted);
	exec->cap_effective = compat_capability(cred, cap_effective);
	exec->cap_bounding = compat_capability(cred, cap_bset);
	exec->cap_ambient = compat_capability(cred, cap_ambient);
	exec->login_uid = exec->session = ~0u;
	if (bpf_core_field_exists(task->loginuid)) { /* only with CONFIG_AUDIT */
		exec->login_uid = kernel_get(task, loginuid.val);
		exec->session = kernel_get(task, sessionid);
	}
}

static __noinline void fill_descriptors(struct kernel_exec *exec, struct task_struct *task)
{
	for (int fd = 0; fd < 3; fd++) {
		struct file *file = file_of_descriptor(task, fd);

		exec->fd_types[fd] = file ? file_type(file) : KERNEL_FD_CLOSED;
	}
}

static __noinline u32 fill_terminal(struct scratch *scratch, struct task_struct *task, u32 end)
{
	struct kernel_exec *exec = (void *)scratch->record;
	struct tty_struct *tty = kernel_get(task, signal, tty);
	bool cut;

	if (!tty)
		return end;
	exec->tty_major = kernel_get(tty, driver, major);
	exec->tty_minor = kernel_get(tty, driver, minor_start) + kernel_get(tty, index);
	return string_kernel(scratch, end, &exec->tty, &tty->name, 64, &cut);
}

/* The file that was mapped: its path, and where it comes from. */
static __noinline u32 fill_executable(struct scratch *scratch, struct file *file, struct mnt_namespace *space, u32 end)
{
	struct kernel_exec *exec = (void *)scratch->record;
	struct inode *inode = kernel_get(file, f_inode);
	unsigned long magic = kernel_get(inode, i_sb, s_magic);
	u32 found = path_append(scratch, &end, &exec->executable, kernel_get(file, f_path.mnt),
		kernel_get(file, f_path.dentry), space, KERNEL_PATH_MAX);

	exec->inode = kernel_get(inode, i_ino);
	exec->ctime_ns = compat_inode_time(inode, ctime);
	exec->mtime_ns = compat_inode_time(inode, mtime);
	exec->device = kernel_get(inode, i_sb, s_dev);
	exec->mode = kernel_get(inode, i_mode);
	exec->executable_flags |= file_layer(inode, magic);
	if (found & PATH_CUT)
		exec->truncated |= KERNEL_CUT_PATH;
	if (found & PATH_FOREIGN)
		exec->executable_flags |= KERNEL_EXE_FOREIGN;
	if (found & PATH_DELETED)
		exec->executable_flags |= KERNEL_EXE_DELETED;
	if (found & PATH_DETACHED && magic == TMPFS_MAGIC)
		exec->executable_flags |= KERNEL_EXE_MEMFD;
	return end;
}

static __always_inline u32 fill_directory(
	struct scratch *scratch, struct task_struct *task, struct mnt_namespace *space, u32 end)
{
	struct kernel_exec *exec = (void *)scratch->record;
	struct fs_struct *fs = kernel_get(task, fs);

	if (path_append(scratch, &end, &exec->cwd, kernel_get(fs, pwd.mnt), kernel_get(fs, pwd.dentry), space,
		    KERNEL_PATH_MAX) &
		PATH_CUT)
		exec->truncated |= KERNEL_CUT_DIRECTORY;
	return end;
}

struct ancestor_walk {
	struct scratch *scratch;
	struct task_struct *task;
	struct mnt_namespace *space;
	u32 end;
	/* Of the one before: often a parent is like its child, and then nothing is looked up twice. */
	bool in_container;
	struct css_set *cgroups;
	struct file *file;
};

static long fill_ancestor(u32 index, void *data)
{
	struct ancestor_walk *walk = data;
	struct task_struct *before = walk->task;
	struct task_struct *task = kernel_get(before, group_leader, real_parent, group_leader);
	struct kernel_exec *exec = (void *)walk->scratch->record;
	struct kernel_ancestor *ancestor = &exec->ancestors[index & (KERNEL_ANCESTORS - 1)];
	struct css_set *cgroups = kernel_get(task, cgroups);
	struct file *file = kernel_get(task, mm, exe_file);
	u32 tgid = kernel_get(task, tgid);

	if (tgid == 0)
		return 1;
	if (index == KERNEL_ANCESTORS) {
		exec->truncated |= KERNEL_CUT_ANCESTORS;
		return 1;
	}
	ancestor->start_ns = kernel_get(task, start_boottime);
	ancestor->tgid = tgid;
	ancestor->exec_counter = kernel_get(task, self_exec_id);
	if (index == 0 || cgroups != walk->cgroups)
		walk->in_container = container_contains((u64)task);
	ancestor->in_container = walk->in_container;
	copy_task_name(ancestor->name, task);
	if (file && index > 0 && file == walk->file) {
		ancestor->executable = exec->ancestors[(index - 1) & (KERNEL_ANCESTORS - 1)].executable;
	} else if (file) {
		u32 end = walk->end;

		path_append(walk->scratch, &end, &ancestor->executable, kernel_get(file, f_path.mnt),
			kernel_get(file, f_path.dentry), walk->space, ANCESTOR_PATH_MAX);
		walk->end = end;
	}
	walk->task = task;
	walk->cgroups = cgroups;
	walk->file = file;
	exec->ancestor_count = index + 1;
	return 0;
}

static __noinline u32 fill_ancestors(
	struct scratch *scratch, struct task_struct *task, struct mnt_namespace *space, u32 end)
{
	struct ancestor_walk walk = {.scratch = scratch, .space = space, .end = end};

	walk.task = kernel_get(task, group_leader);
	loop(KERNEL_ANCESTORS + 1, fill_ancestor, &walk);
	return walk.end;
}

/* Everything that can be read of a task that is not the current one. Returns the record's end. */
static __always_inline u32 fill_process(struct scratch *scratch, struct task_struct *task, struct file *file)
{
	struct kernel_exec *exec = (void *)scratch->record;
	struct mnt_namespace *space = kernel_get(task, nsproxy, mnt_ns);
	u32 end = sizeof(*exec);

	exec->vpid = task_vpid(task);
	exec->namespace_ns = task_namespace_start(task);
	exec->sid = task_group(task, bpf_core_enum_value(enum pid_type, PIDTYPE_SID));
	exec->pgid = task_group(task, bpf_core_enum_value(enum pid_type, PIDTYPE_PGID));
	copy_task_name(exec->name, task);
	fill_credentials(exec, task);
	fill_descriptors(exec, task);
	end = fill_terminal(scratch, task, end);
	end = fill_executable(scratch, file, space, end);
	end = fill_directory(scratch, task, space, end);
	return fill_ancestors(scratch, task, space, end);
}

/*
 * User memory as far as it is there: what the pages from `start` on hold of `length` bytes, which is returned. A function
 * by itself, global, so that the verifier goes through it once and not with all that its callers know.
 */
__weak int user_pages(u32 slot, u32 end, u64 start, u32 length)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &slot);
	u32 got = 0;

	if (!scratch)
		return 0;
	for (int page = 0; page < KERNEL_ARGS_MAX / PAGE; page++) {
		u32 part = PAGE - ((start + got) & (PAGE - 1));

		if (got + part > length)
			part = length - got;
		if (part == 0 || bpf_probe_read_user(
					 scratch->record + ((end & STRING_OFFSET_MASK) + (got & (KERNEL_ARGS_MAX - 1))),
					 part & (2 * PAGE - 1), (void *)(start + got)) < 0)
			break;
		got += part;
	}
	return got;
}

/* User memory from `start` to `stop`, at most `max` bytes. A page that is not there ends it. */
static __always_inline u32 append_user(
	struct scratch *scratch, u32 end, struct kernel_string *string, u64 start, u64 stop, u32 max, bool *cut)
{
	u64 size = stop > start ? stop - start : 0;
	u32 length = size < max ? size : max;

	*cut = size > max;
	if (length && bpf_probe_read_user(scratch_at(scratch, end), length & (2 * max - 1), (void *)start) < 0) {
		*cut = true;
		length = user_pages(scratch->slot, end, start, length);
		if (length > max)
			length = 0;
	}
	return string_note(string, end, length);
}

static __noinline u32 fill_user_memory(struct scratch *scratch, struct task_struct *task, u32 end)
{
	struct kernel_exec *exec = (void *)scratch->record;
	u64 start = kernel_get(task, mm, arg_start), stop = kernel_get(task, mm, arg_end);
	bool cut;

	if (record_environment) {
		end = append_user(scratch, end, &exec->environment, kernel_get(task, mm, env_start),
			kernel_get(task, mm, env_end), KERNEL_ENVIRONMENT_MAX, &cut);
		if (cut)
			exec->truncated |= KERNEL_CUT_ENVIRONMENT;
	}
	exec->args_size = stop - start;
	end = append_user(scratch, end, &exec->args, start, stop, KERNEL_ARGS_MAX, &cut);
	if (cut)
		exec->truncated |= KERNEL_CUT_ARGS;
	return end;
}

/* The number in "/dev/fd/N" or "/dev/fd/N/path"; `*length` is that of the part up to it. */
static __always_inline u32 descriptor_of(const char *fdpath, u32 *length)
{
	char digits[12] = {};
	u32 number = 0;

	*length = sizeof("/dev/fd/") - 1;
	bpf_probe_read_kernel_str(digits, sizeof(digits), fdpath + *length);
	for (u32 i = 0; i < sizeof(digits) && digits[i] >= '0' && digits[i] <= '9'; i++) {
		number = 10 * number + (digits[i] - '0');
		++*length;
	}
	return number;
}

/*
 * The script that was executed by descriptor. bprm has only "/dev/fd/N" for it, but the descriptor is still open (the
 * kernel refuses a script whose descriptor the exec closes), and by now the process shares its table with nobody.
 */
static __noinline u32 fill_script(
	struct scratch *scratch, struct task_struct *task, const char *fdpath, struct mnt_namespace *space, u32 end)
{
	struct kernel_exec *exec = (void *)scratch->record;
	struct kernel_string below;
	u32 length;
	struct file *file = file_of_descriptor(task, descriptor_of(fdpath, &length));
	bool cut;

	if (file)
		path_append(scratch, &end, &exec->filename, kernel_get(file, f_path.mnt),
			kernel_get(file, f_path.dentry), space, KERNEL_PATH_MAX);
	if (!exec->filename.length)
		return string_kernel(scratch, end, &exec->filename, fdpath, KERNEL_PATH_MAX, &cut);
	end = string_kernel(scratch, end, &below, fdpath + length, KERNEL_PATH_MAX, &cut);
	exec->filename.length += below.length;
	return end;
}

/* --- the hooks ----------------------------------------------------------------------------------------------------- */

/*
 * Before a process is told to have executed something: is it the runtime's own once more? It is in the runtime's mount
 * namespace then, where it came from; what the container is for is executed in the container's. If not, it is the
 * container's from now on.
 */
static __always_inline void exec_arrives(struct task_struct *task, struct file *file)
{
	struct container container;
	struct mnt_namespace *space, *parents;

	if (!container_of_task(task, &container))
		return;
	space = kernel_get(task, nsproxy, mnt_ns);
	parents = kernel_get(task, group_leader, real_parent, nsproxy, mnt_ns);
	if (space == parents && comes_from_runtime(task, file)) {
		arrival_note(task); /* it may have come in so lately that it was not noted yet */
		return;
	}
	/* The child of a member is one. The runtime's parent may be in the container too, and is none. */
	if ((arrival_end(task) || !container_contains((u64)kernel_get(task, group_leader, real_parent))) &&
		!member_of(task))
		member_note(task, container.id);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct container container;
	struct scratch *scratch;
	struct kernel_exec *exec;
	bool cut;
	u32 end;

	exec_arrives(task, bprm->file);
	if (!task_wanted(task, &container))
		return 0;
	scratch = scratch_take();
	if (!scratch) {
		ring_unsent(KERNEL_EXEC, KERNEL_RING_CRITICAL);
		return 0;
	}
	exec = (void *)scratch->record;
	__builtin_memset(exec, 0, sizeof(*exec));
	task_fill(&exec->header, task, &container);
	exec->header.call = call_entered(bpf_get_current_task_btf()); /* an exec leaves the number in its register */
	exec->old_tid = old_pid;
	exec->args_count = bprm->argc;
	end = fill_process(scratch, task, bprm->file);
	if (bprm->fdpath && bprm->interp != bprm->filename)
		end = fill_script(scratch, task, bprm->fdpath, kernel_get(task, nsproxy, mnt_ns), end);
	else
		end = string_kernel(scratch, end, &exec->filename, bprm->filename, KERNEL_PATH_MAX, &cut);
	end = string_kernel(scratch, end, &exec->interp, bprm->interp, KERNEL_PATH_MAX, &cut);
	end = fill_user_memory(scratch, task, end);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&exec->header, KERNEL_EXEC, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
	return 0;
}

/*
 * A child is what its parent is: the runtime's on its way in, or a member, also where clone3 puts it into another cgroup.
 * True if both are of the same container.
 */
static __noinline bool child_joins(struct task_struct *parent, struct task_struct *child)
{
	struct container own, parents;
	bool inside, stays;

	if (arrival_is(parent)) {
		arrival_note(child);
		return true;
	}
	inside = container_by_cgroups(child, &own);
	if (!container_of_task(parent, &parents)) {
		if (inside && comes_from_runtime(child, kernel_get(child, mm, exe_file)))
			arrival_note(child);
		else if (inside)
			member_note(child, own.id);
		return false;
	}
	stays = inside && container_same(own.id, parents.id);
	member_note(child, parents.id);
	if (!stays && !(parents.marks & KERNEL_LEFT_CGROUP))
		member_leaves(child, parent, &parents, inside ? own.id : NULL, NULL);
	return true;
}

/* Functions of their own, for what the one keeps on the stack is not below the other then. */
static __noinline void child_told(struct task_struct *parent, struct task_struct *child, bool same_container)
{
	struct kernel_fork fork = {};
	struct container container;

	if (!task_wanted(child, &container))
		return;
	task_fill(&fork.header, child, &container);
	fork.parent_start_ns = parent->group_leader->start_boottime;
	fork.parent_tgid = parent->tgid;
	fork.parent_exec_counter = parent->self_exec_id;
	fork.vpid = task_vpid(child);
	fork.uid = child->cred->uid.val;
	fork.gid = child->cred->gid.val;
	fork.euid = child->cred->euid.val;
	fork.egid = child->cred->egid.val;
	fork.sid = task_group(child, bpf_core_enum_value(enum pid_type, PIDTYPE_SID));
	fork.pgid = task_group(child, bpf_core_enum_value(enum pid_type, PIDTYPE_PGID));
	fork.parent_in_container = same_container;
	copy_task_name(fork.name, child);
	ring_send(&fork.header, KERNEL_FORK, KERNEL_RING_CRITICAL, sizeof(fork));
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid == child->tgid)
		child_told(parent, child, child_joins(parent, child));
	return 0;
}

/* Two threads that end at once may both be the last: then two records come, and user space takes the first. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	struct kernel_exit exit = {};
	struct container container;

	if (task->signal->live.counter != 0)
		return 0;
	if (task_wanted(task, &container)) {
		task_fill(&exit.header, task, &container);
		if (task->signal->flags & SIGNAL_GROUP_EXIT)
			exit.status = task->signal->group_exit_code;
		else
			exit.status = task->group_leader->exit_code;
		ring_send(&exit.header, KERNEL_EXIT, KERNEL_RING_CRITICAL, sizeof(exit));
	}
	arrival_end(task);
	member_forget(task);
	return 0;
}

/* A failed execve or execveat, from the system call's exit. */
__hidden __noinline void process_exec_failed(const struct call *call)
{
	struct kernel_exec_failed *failed;
	struct scratch *scratch;
	u32 end = sizeof(*failed);

	if (policy_leaves_out(&call->header, KERNEL_EXEC_FAILED))
		return;
	scratch = scratch_take();
	if (!scratch) {
		ring_unsent(KERNEL_EXEC_FAILED, KERNEL_RING_CRITICAL);
		return;
	}
	failed = (void *)scratch->record;
	__builtin_memset(failed, 0, sizeof(*failed));
	failed->header = call->header;
	failed->result = call->result;
	end = call_argument(call, scratch, end, &failed->argument, &failed->truncated);
	end = call_start(call, scratch, end, &failed->argument, &failed->directory, &failed->truncated);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&failed->header, KERNEL_EXEC_FAILED, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

/* Processes that were there before the programs: read once by the loader, one record each. */
SEC("iter/task")
int process_list(struct bpf_iter__task *iterator)
{
	struct task_struct *task = iterator->task;
	struct container container;
	struct kernel_exec *exec;
	struct scratch *scratch;
	struct file *file;
	u32 end;

	if (!task || !task_stands(task) || !task_wanted(task, &container))
		return 0;
	file = kernel_get(task, mm, exe_file);
	if (!file) /* it has ended, or is the kernel's */
		return 0;
	if (container.flags & KERNEL_IN_CONTAINER && !(container.marks & KERNEL_SETUP) && !member_of(task))
		member_note(task, container.id);
	scratch = scratch_take();
	if (!scratch)
		return 1; /* asks to be called again for this task */
	exec = (void *)scratch->record;
	__builtin_memset(exec, 0, sizeof(*exec));
	task_fill(&exec->header, task, &container);
	exec->header.time_ns = bpf_ktime_get_boot_ns();
	exec->header.kind = KERNEL_PROCESS;
	exec->header.ring = KERNEL_RING_CRITICAL;
	end = fill_process(scratch, task, file);
	end = (end + 7) & ~7u;
	exec->header.size = end;
	if (end <= KERNEL_RECORD_MAX)
		bpf_seq_write(iterator->meta->seq, exec, end);
	scratch_give(scratch);
	return 0;
}

const char LICENSE[] SEC("license") = "GPL";
