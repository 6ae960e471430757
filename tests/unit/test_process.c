/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "sensor/process.h"

static const uint64_t boot_unix_ns = 1700000000ull * 1000 * 1000 * 1000;
static _Alignas(8) char bytes[8192];

static struct kernel_header header(enum kernel_kind kind, uint32_t pid, uint32_t exec_counter)
{
	return (struct kernel_header){.kind = (uint16_t)kind,
		.tgid = pid,
		.tid = pid,
		.start_ns = 1000ull * pid,
		.exec_counter = exec_counter,
		.flags = KERNEL_IN_CONTAINER,
		.container_id = {0xab}};
}

static struct kernel_string add(struct kernel_header *to, const char *data, size_t length)
{
	struct kernel_string string = {(uint16_t)to->size, (uint16_t)length};

	memcpy((char *)to + to->size, data, length);
	to->size += (uint32_t)length;
	return string;
}

static const struct event_process *apply(struct process_table *table)
{
	struct record record;
	const char *why = NULL;

	cr_assert_eq(record_check(&record, bytes, sizeof(bytes), &why), 0, "%s", why);
	return process_apply(table, &record, boot_unix_ns);
}

/* An exec of `pid`, whose parent is `parent` (0: none is told). */
static const struct event_process *do_exec(struct process_table *table, uint32_t pid, uint32_t exec_counter,
	const char *name, uint32_t vpid, uint32_t parent, const char *parent_name)
{
	struct kernel_exec *exec = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	exec->header = header(KERNEL_EXEC, pid, exec_counter);
	exec->header.size = sizeof(*exec);
	exec->vpid = vpid;
	exec->inode = 70;
	exec->ctime_ns = 80;
	exec->mtime_ns = 1ull << 60;
	exec->namespace_ns = 90;
	memcpy(exec->name, name, strlen(name));
	exec->executable = add(&exec->header, "/bin/", 5);
	exec->args = add(&exec->header, "a\0b c\0", 6);
	if (parent) {
		exec->ancestor_count = 1;
		exec->ancestors[0] =
			(struct kernel_ancestor){.tgid = parent, .start_ns = 1000ull * parent, .exec_counter = 1};
		memcpy(exec->ancestors[0].name, parent_name, strlen(parent_name));
	}
	return apply(table);
}

static const struct event_process *do_fork(
	struct process_table *table, uint32_t parent, uint32_t counter, uint32_t child)
{
	struct kernel_fork *fork = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	fork->header = header(KERNEL_FORK, child, counter);
	fork->header.size = sizeof(*fork);
	fork->parent_tgid = parent;
	fork->parent_start_ns = 1000ull * parent;
	fork->parent_exec_counter = counter;
	fork->vpid = child;
	return apply(table);
}

static const struct event_process *do_exit(
	struct process_table *table, uint32_t pid, uint32_t counter, uint64_t time_ns)
{
	struct kernel_exit *exit = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	exit->header = header(KERNEL_EXIT, pid, counter);
	exit->header.size = sizeof(*exit);
	exit->header.time_ns = time_ns;
	return apply(table);
}

static const struct event_process *do_open(struct process_table *table, uint32_t pid, uint32_t counter)
{
	struct kernel_open *open = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	open->header = header(KERNEL_OPEN, pid, counter);
	open->header.size = sizeof(*open);
	open->header.ring = KERNEL_RING_BULK;
	return apply(table);
}

static struct process_table *opened(void)
{
	struct process_table *table;

	cr_assert_eq(process_open(&table, "0f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11"), 0);
	return table;
}

Test(process, an_event_joins_the_image_of_its_exec_counter_not_the_newest)
{
	struct process_table *table = opened();

	do_exec(table, 10, 1, "first", 1, 9, "containerd-shim");
	do_exec(table, 10, 2, "second", 1, 9, "containerd-shim");
	cr_assert(text_equal(do_open(table, 10, 1)->name, TEXT_LITERAL("first")));
	cr_assert(text_equal(do_open(table, 10, 2)->name, TEXT_LITERAL("second")));
	process_close(table);
}

Test(process, entity_lasts_from_fork_to_end_and_is_the_same_in_every_life_of_the_sensor)
{
	struct process_table *table = opened(), *again;
	uint8_t entity[EVENT_ENTITY_SIZE];

	do_exec(table, 10, 1, "sh", 1, 9, "containerd-shim");
	memcpy(entity, do_fork(table, 10, 1, 11)->entity, sizeof(entity));
	cr_assert_arr_eq(do_exec(table, 11, 2, "cat", 2, 10, "sh")->entity, entity, sizeof(entity));
	cr_assert_arr_eq(do_exit(table, 11, 2, 5)->entity, entity, sizeof(entity));
	again = opened();
	cr_assert_arr_eq(do_exec(again, 11, 2, "cat", 2, 10, "sh")->entity, entity, sizeof(entity));
	cr_assert_arr_neq(do_exec(again, 12, 2, "cat", 2, 10, "sh")->entity, entity, sizeof(entity));
	process_close(again);
	process_close(table);
}

Test(process, a_child_runs_its_parents_image_until_it_execs)
{
	struct process_table *table = opened();
	const struct event_process *child;

	do_exec(table, 10, 1, "sh", 1, 9, "containerd-shim");
	child = do_fork(table, 10, 1, 11);
	cr_assert(text_equal(child->name, TEXT_LITERAL("sh")));
	cr_assert_eq(child->args_count, 2);
	cr_assert(child->inode == 70 && child->ctime_ns == 80 && child->mtime_ns == 1ull << 60);
	cr_assert_eq(child->namespace_ns, boot_unix_ns + 90);
	cr_assert_eq(child->pid, 11);
	cr_assert_eq(child->parent->pid, 10);
	cr_assert_eq(child->entry_leader->pid, 10);
	cr_assert_eq(child->entry_leader->entry, EVENT_ENTRY_CONTAINER);
	child = do_exec(table, 11, 2, "cat", 11, 10, "sh");
	cr_assert(text_equal(child->parent->name, TEXT_LITERAL("sh")));
	cr_assert_eq(child->entry_leader->pid, 10);
	process_close(table);
}

Test(process, the_first_process_is_the_containers_own_and_later_ones_are_the_runtimes)
{
	struct process_table *table = opened();
	const struct event_process *second;

	cr_assert_eq(do_exec(table, 10, 1, "sleep", 4711, 9, "containerd-shim")->entry, EVENT_ENTRY_CONTAINER,
		"also without a pid namespace of its own");
	second = do_exec(table, 20, 3, "sh", 7, 19, "runc");
	cr_assert_eq(second->entry, EVENT_ENTRY_RUNTIME_EXEC);
	cr_assert_eq(second->entry_leader, second);
	cr_assert(text_equal(second->parent->name, TEXT_LITERAL("runc")));
	cr_assert_not(second->parent->image_known);
	cr_assert_eq(do_exec(table, 30, 3, "sh", 8, 29, "nsenter")->entry, EVENT_ENTRY_UNKNOWN);
	process_close(table);
}

Test(process, an_end_is_told_once_and_what_came_before_it_still_finds_its_image)
{
	struct process_table *table = opened();
	size_t living, ended;

	do_exec(table, 10, 1, "sh", 1, 9, "containerd-shim");
	cr_assert_not_null(do_exit(table, 10, 1, 100));
	cr_assert_null(do_exit(table, 10, 1, 101));
	cr_assert(text_equal(do_open(table, 10, 1)->name, TEXT_LITERAL("sh")), "the bulk ring comes later");
	process_expire(table, 101);
	process_count(table, &living, &ended);
	cr_assert_eq(living + ended, 0);
	process_close(table);
}

Test(process, lineage_outlives_the_ancestors)
{
	struct process_table *table = opened();
	const struct event_process *child;

	do_exec(table, 10, 1, "sh", 1, 9, "containerd-shim");
	do_fork(table, 10, 1, 11);
	do_exit(table, 10, 1, 100);
	process_expire(table, 1000);
	child = do_exec(table, 11, 2, "wget", 2, 1, "init");
	cr_assert(text_equal(child->parent->name, TEXT_LITERAL("sh")), "it was started by sh, whoever adopted it");
	cr_assert(text_equal(child->parent->parent->name, TEXT_LITERAL("containerd-shim")));
	process_close(table);
}

Test(process, an_endless_chain_of_parents_and_of_execs_is_bounded)
{
	struct process_table *table = opened();
	const struct event_process *last = NULL;
	size_t depth = 0;
	bool cut = false;

	do_exec(table, 10, 1, "sh", 1, 9, "containerd-shim");
	for (uint32_t pid = 10; pid < 1000; pid++) {
		last = do_fork(table, pid, 1, pid + 1);
		do_exit(table, pid, 1, pid);
	}
	for (const struct event_process *image = last; image; image = image->parent, depth++)
		cut = cut || image->truncated & EVENT_CUT_ANCESTORS;
	cr_assert_lt(depth, 100);
	cr_assert(cut, "a lineage that was cut says so");
	cr_assert_eq(last->entry_leader->pid, 10, "the entry leader is kept");
	for (uint32_t counter = 2; counter < 500; counter++)
		do_exec(table, 1000, counter, "again", 1, 9, "x");
	process_close(table);
}

Test(process, a_process_that_nobody_announced_has_its_ids)
{
	struct process_table *table = opened();
	struct kernel_header unknown = header(KERNEL_OPEN, 77, 5);
	const struct event_process *image;

	cr_assert_not(process_knows(table, &unknown));
	image = do_open(table, 77, 5);
	cr_assert_eq(image->pid, 77);
	cr_assert_not(image->image_known);
	cr_assert(process_knows(table, &unknown));
	process_close(table);
}

Test(process, a_late_record_of_an_older_image_changes_nothing_for_the_next)
{
	struct process_table *table = opened();
	const struct event_process *second, *third;

	do_exec(table, 1, 1, "sh", 1, 0, NULL);
	do_exec(table, 10, 5, "sh", 7, 9, "runc");
	do_open(table, 10, 4); /* the runtime's own, told by the bulk ring */
	second = do_exec(table, 10, 6, "cat", 7, 9, "runc");
	cr_assert_eq(second->entry_leader, second);
	cr_assert_eq(second->entry, EVENT_ENTRY_RUNTIME_EXEC);
	do_open(table, 10, 3);
	third = do_exec(table, 10, 7, "true", 7, 9, "runc");
	cr_assert_eq(third->entry_leader, third);
	cr_assert_eq(third->entry, EVENT_ENTRY_RUNTIME_EXEC);
	process_close(table);
}
