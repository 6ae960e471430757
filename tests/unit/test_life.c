/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "sensor/life.h"

static const uint64_t start = 1000ull * 1000 * 1000 * 1000;

static struct {
	struct life *life;
	unsigned int asked, sent, held;
	uint8_t sent_id, sent_pid;
	bool nobody; /* answers */
} world;

static int ask(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	(void)id;
	cr_assert_eq(context, &world);
	world.asked++;
	return world.nobody ? -ENOENT : 0;
}

static void leave(void *context, const struct record *record, const struct event_process *image)
{
	cr_assert_eq(context, &world);
	cr_assert_not_null(image);
	cr_assert_eq(record->header->kind, KERNEL_EXIT);
	world.sent++;
	world.sent_id = record->header->container_id[0];
	world.sent_pid = (uint8_t)record->header->tgid;
}

static const struct event_process *hold(const struct event_process *image)
{
	world.held++;
	return image;
}

static void release(const struct event_process *image)
{
	(void)image;
	world.held--;
}

static void open_world(void)
{
	const struct life_ops ops = {ask, leave, hold, release, &world};

	memset(&world, 0, sizeof(world));
	cr_assert_eq(life_open(&world.life, &ops), 0);
}

static void close_world(void)
{
	life_close(world.life);
	cr_assert_eq(world.held, 0);
}

/* The first process of the container number `id`. */
static struct event_process first_of(uint8_t id, uint32_t vpid)
{
	struct event_process image = {.vpid = vpid, .in_container = true, .entry = EVENT_ENTRY_CONTAINER};

	image.container_id[0] = id;
	return image;
}

static void end(const struct event_process *image, uint64_t now_ns)
{
	struct kernel_exit exit = {.header.kind = KERNEL_EXIT, .header.tgid = image->container_id[0]};
	struct record record = {.exit = &exit};

	exit.header.container_id[0] = image->container_id[0];
	life_ends(world.life, &record, image, now_ns);
}

static void named(uint8_t id, bool exited)
{
	struct event_container names = {.exited = exited};

	names.id[0] = id;
	life_named(world.life, &names);
}

Test(life, the_end_waits_for_the_runtimes_word)
{
	struct event_process one = first_of(1, 1), two = first_of(2, 1);

	open_world();
	one.entry_leader = &one;
	two.entry_leader = &two;
	end(&one, start);
	end(&two, start + 1);
	cr_assert_eq(world.asked, 2);
	cr_assert_eq(life_waiting(world.life), 2);
	named(2, false);
	cr_assert_eq(world.sent, 0, "it lives, says the runtime, which has not noticed");
	named(2, true);
	cr_assert_eq(world.sent, 1);
	cr_assert_eq(world.sent_id, 2);
	named(2, true);
	cr_assert_eq(world.sent, 1, "once");
	life_expire(world.life, start + LIFE_WAIT_NS - 1);
	cr_assert_eq(world.sent, 1);
	life_expire(world.life, start + LIFE_WAIT_NS);
	cr_assert_eq(world.sent, 2, "without a word");
	cr_assert_eq(world.sent_id, 1);
	cr_assert_eq(world.sent_pid, 1);
	close_world();
}

Test(life, only_its_first_process_ends_a_container)
{
	struct event_process first = first_of(1, 1), child = first, brought = first, outside = first;

	open_world();
	first.entry_leader = child.entry_leader = &first;
	brought.entry_leader = &brought;
	brought.entry = EVENT_ENTRY_RUNTIME_EXEC;
	outside.entry_leader = &outside;
	outside.in_container = false;
	end(&child, start);
	end(&brought, start);
	end(&outside, start);
	cr_assert_eq(world.asked, 0);
	cr_assert_eq(life_waiting(world.life), 0);
	close_world();
}

Test(life, what_nobody_could_confirm_does_not_wait)
{
	struct event_process first = first_of(1, 1), other = first_of(2, 4711);

	open_world();
	world.nobody = true;
	first.entry_leader = &first;
	other.entry_leader = &other;
	end(&other, start);
	cr_assert_eq(life_waiting(world.life), 0);
	cr_assert_eq(world.sent, 0);
	end(&first, start);
	life_expire(world.life, start + LIFE_WAIT_NS);
	cr_assert_eq(world.sent, 1);
	cr_assert_eq(world.sent_id, 1);
	close_world();
}

/* In the host's pid namespace a container may outlive what looks like its first process. */
Test(life, what_the_runtime_does_not_confirm_is_no_end_without_a_pid_namespace)
{
	struct event_process image = first_of(1, 4711);

	open_world();
	image.entry_leader = &image;
	end(&image, start);
	life_expire(world.life, start + LIFE_WAIT_NS);
	cr_assert_eq(world.sent, 0);
	cr_assert_eq(life_waiting(world.life), 0);
	end(&image, start);
	named(1, true);
	cr_assert_eq(world.sent, 1);
	close_world();
}

Test(life, of_too_many_the_oldest_leaves_and_none_is_lost)
{
	static struct event_process images[LIFE_MAX + 10];

	open_world();
	for (size_t i = 0; i < LIFE_MAX + 10; i++) {
		images[i] = first_of((uint8_t)i, 1);
		images[i].entry_leader = &images[i];
		end(&images[i], start + i);
	}
	cr_assert_eq(world.sent, 10);
	cr_assert_eq(world.sent_id, 9);
	life_expire(world.life, UINT64_MAX);
	cr_assert_eq(world.sent, LIFE_MAX + 10);
	close_world();
}

Test(life, a_container_begins_with_the_exec_of_its_first_process)
{
	struct kernel_exec exec = {.header.kind = KERNEL_EXEC};
	struct record record = {.exec = &exec};
	struct event_process image = first_of(1, 1);

	image.entry_leader = &image;
	cr_assert_not(life_begins(&record, &image), "a later exec of the same process");
	image.entering = true;
	cr_assert(life_begins(&record, &image));
	exec.header.kind = KERNEL_OPEN;
	cr_assert_not(life_begins(&record, &image));
	exec.header.kind = KERNEL_EXEC;
	image.entry = EVENT_ENTRY_RUNTIME_EXEC;
	cr_assert_not(life_begins(&record, &image));
	cr_assert_not(life_begins(&record, NULL));
}
