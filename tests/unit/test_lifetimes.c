/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 20,000 pods come and go, and the sensor's memory stays as it was: the whole pipeline with all its stages and its
 * stream, and the lookup of names. Simulated are the kernel's records and the clock (500 pods a minute, each alive for
 * half of one); the runtime's CRI and the collector answer over real sockets from a process of their own. In the metadata
 * thread's place stands the test, which asks, lists and ticks as that does, but by the simulated clock.
 */
#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/lookup.h"
#include "sensor/pipeline_inside.h"
#include "test_others.h"

enum {
	STEP_STARTS = 8,                         /* pods, in each step of the clock */
	TICKS = 4,                               /* of the pipeline, in each */
	KEEP_STEPS = LOOKUP_KEEP_NS / 960000000, /* of what is gone */
	LIFE_STEPS = 30,
	LATE_STEPS = 2, /* the runtime knows what has ended so long */
	NESTED = 2,     /* cgroups of a pod that are named like containers too */
	SETUP_OPENS = 6,
	OPENS = 8,
	PATIENCE_MS = 20000, /* until the runtime must have answered */
	GROWTH_KIB = 256,    /* that is none */
	LOST_EVERY = 97,     /* of so many records the one before is lost in its ring */
};
static const uint64_t boot_ns = 1000ull * 1000 * 1000;
static const uint64_t step_ns = 960ull * 1000 * 1000;

static struct {
	char root[64], collector[100], *collectors[1];
	struct event_base *base;
	struct lookup *lookup;
	struct cri *cri;
	struct pipeline *pipeline;
	struct settings settings;
	uint64_t listed_ns[KEEP_STEPS]; /* when that was, by the real clock; of the last steps */
	int recording_fd;
	uint64_t sequence[KERNEL_RINGS], connection, repeat;
	uint64_t begun, lost;
} world;

/* --- the pipeline ---------------------------------------------------------------------------------------------------- */

/* On a recording of nothing but a machine it opens without a kernel. `path`: where that is. */
static void open_pipeline(char path[64])
{
	static const struct event_host view = {.id = TEXT_STATIC("0123456789abcdef0123456789abcdef"),
		.name = TEXT_STATIC("node"),
		.boot_id = TEXT_STATIC("0f6c2f0e-0000-4000-8000-000000000000")};
	const struct recording_host host = {.host = &view,
		.cpus = 1,
		.lanes = 1,
		.boot_unix_ns = 1700000000000000000ull,
		.opens_window_ns = boot_ns};
	struct recording *recording;

	world.recording_fd = memfd_create("taffrail-lifetimes", MFD_CLOEXEC);
	snprintf(path, 64, "/proc/self/fd/%d", world.recording_fd);
	cr_assert_eq(recording_create(&recording, path), 0);
	recording_host(recording, boot_ns, &host);
	recording_close(recording);
	outbound_settings_default(&world.settings.outbound_settings);
	cr_assert_eq(pipeline_part(&world.pipeline, &world.settings), 0);
	cr_assert_eq(pipeline_open(world.pipeline, NULL), 0);
}

static const struct config_key keys[] = {{"record", CONFIG_TREE, &world.settings.record, 0, 0, ""}, CONFIG_END};

/* A rule for half of the pods, so that the policy has something to keep for each of them. */
static void read_rules(void)
{
	static const char yaml[] = "record: {leave_out: [{kinds: [connect], namespaces: [batch]}]}\n";
	char path[64];
	int fd = memfd_create("taffrail-record", MFD_CLOEXEC);

	cr_assert_eq(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_eq(config_read(keys, path), 0);
	cr_assert_eq(policy_rules_read(&world.settings.rules, &world.settings.record), 0);
	close(fd);
}

static int publish(void *context, struct container_meta *meta)
{
	(void)context;
	if (world.pipeline)
		pipeline_take_names(world.pipeline, meta);
	else
		container_meta_release(meta);
	return 0;
}

static bool is_settled(void)
{
	return lookup_settled(world.lookup);
}

static bool is_acknowledged(void)
{
	return stream_idle(world.pipeline->stream);
}

/* The simulated clock stands still while the runtime answers. */
static void wait_until(bool (*condition)(void), const char *what)
{
	const struct timeval tick = {0, 1000};
	uint64_t end_ns = clock_boottime_ns() + PATIENCE_MS * 1000000ull;

	while (!condition()) {
		cr_assert_lt(clock_boottime_ns(), end_ns, "no word of %s of pods up to %u", what, others->born);
		event_base_loopexit(world.base, &tick);
		event_base_loop(world.base, EVLOOP_ONCE);
	}
}

static void open_runtime(void)
{
	const struct lookup_ops lookup_ops = {publish, NULL};
	const struct lookup_options options = {.root = "/nonexistent"};
	const struct cri_ops cri_ops = {runtime_on_state, &world.lookup};
	char path[100];

	log_open("test-unit", LOG_ERROR);
	strcpy(world.root, "/tmp/taffrail-lifetimes-XXXXXX");
	others_open(world.root);
	snprintf(path, sizeof(path), "%s/cri.sock", world.root);
	world.base = event_base_new();
	cr_assert_eq(lookup_open(&world.lookup, world.base, &lookup_ops, &options), 0);
	cr_assert_eq(cri_open(world.base, path, &cri_ops, &world.cri), 0);
	cr_assert_eq(lookup_add_runtime(world.lookup, world.cri, true), 0);
	wait_until(is_settled, "the runtime");
}

static void close_runtime(void)
{
	lookup_stop(world.lookup);
	cri_close(world.cri);
	lookup_close(world.lookup);
	event_base_free(world.base);
	others_close();
}

static void open_world(void)
{
	static char replay[64];

	open_runtime();
	read_rules();
	snprintf(world.collector, sizeof(world.collector), "unix:%s/collector.sock", world.root);
	world.collectors[0] = world.collector;
	world.settings.collectors = (struct config_list){world.collectors, 1};
	world.settings.replay = replay;
	world.settings.stream_bytes = 64 << 20;
	world.settings.drain_ms = 5000;
	open_pipeline(replay);
}

static void close_world(void)
{
	pipeline_close(world.pipeline);
	config_free(keys);
	close(world.recording_fd);
	close_runtime();
}

/* --- records --------------------------------------------------------------------------------------------------------- */

/* Who does it. */
struct actor {
	uint32_t number; /* of the pod */
	enum role role;
	uint32_t pid, vpid, image;
	uint64_t start_ns;
	uint8_t marks;
};

static _Alignas(8) char room[4096];

static void *begin(const struct actor *actor, enum kernel_kind kind, size_t size)
{
	enum kernel_ring ring = kind == KERNEL_OPEN ? KERNEL_RING_BULK : KERNEL_RING_CRITICAL;
	struct kernel_header *header = (void *)room;

	memset(room, 0, size);
	if (++world.begun % LOST_EVERY == 0) {
		world.sequence[ring]++;
		world.lost++;
	}
	*header = (struct kernel_header){
		.kind = (uint16_t)kind,
		.ring = (uint8_t)ring,
		.size = (uint32_t)size,
		.sequence = ++world.sequence[ring],
		.time_ns = world.pipeline->now_ns,
		.start_ns = actor->start_ns,
		.tgid = actor->pid,
		.tid = actor->pid,
		.exec_counter = actor->image,
		.flags = KERNEL_IN_CONTAINER,
		.marks = actor->marks,
		.cgroup_id = 100 + 10ull * actor->number + actor->role,
	};
	make_id(header->container_id, actor->number, actor->role);
	return room;
}

static void put_string(struct kernel_string *string, const char *text)
{
	struct kernel_header *header = (void *)room;
	size_t length = strlen(text);

	*string = (struct kernel_string){(uint16_t)header->size, (uint16_t)length};
	memcpy(room + header->size, text, length);
	header->size += (uint32_t)length;
}

static void take(void)
{
	pipeline_take_record(world.pipeline, room, ((struct kernel_header *)(void *)room)->size);
}

static void be_forked(const struct actor *actor, const struct actor *parent)
{
	struct kernel_fork *fork = begin(actor, KERNEL_FORK, sizeof(*fork));

	fork->parent_tgid = parent->pid;
	fork->parent_start_ns = parent->start_ns;
	fork->parent_exec_counter = parent->image;
	fork->parent_in_container = parent->role == actor->role;
	fork->vpid = actor->vpid;
	memcpy(fork->name, "runc:[2:INIT]", 13);
	take();
}

static void execute(struct actor *actor, const struct actor *parent, const char *path)
{
	struct kernel_exec *exec;

	actor->image++;
	actor->marks = 0;
	exec = begin(actor, KERNEL_EXEC, sizeof(*exec));
	exec->vpid = actor->vpid;
	exec->login_uid = exec->session = UINT32_MAX;
	memcpy(exec->name, "program", 7);
	exec->ancestor_count = 2;
	exec->ancestors[0] = (struct kernel_ancestor){.start_ns = parent->start_ns,
		.tgid = parent->pid,
		.exec_counter = parent->image,
		.name = "containerd-shi"};
	exec->ancestors[1] = (struct kernel_ancestor){.start_ns = 1, .tgid = 1, .exec_counter = 1, .name = "systemd"};
	put_string(&exec->executable, path);
	put_string(&exec->filename, path);
	put_string(&exec->cwd, "/srv");
	put_string(&exec->args, path);
	take();
}

static void open_files(const struct actor *actor, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct kernel_open *open = begin(actor, KERNEL_OPEN, sizeof(*open));
		char path[64];

		snprintf(path, sizeof(path), "/srv/data/%u-%u", actor->number, i);
		open->count = 1;
		open->repeat = actor->marks ? 0 : ++world.repeat;
		put_string(&open->path, path);
		put_string(&open->argument, path + 5);
		take();
	}
}

static void make_connection(const struct actor *actor)
{
	static const struct kernel_tuple tuple = {
		.family = AF_INET, .protocol = IPPROTO_TCP, .type = SOCK_STREAM, .remote_port_be = 1};
	struct kernel_network *network;
	struct kernel_disconnect *disconnect;

	world.connection++;
	for (enum kernel_kind kind = KERNEL_CONNECT; kind <= KERNEL_CONNECT_DONE; kind++) {
		if (kind == KERNEL_CONNECT_DONE && actor->number % 8 == 3) /* its outcome was lost */
			continue;
		network = begin(actor, kind, sizeof(*network));
		network->connection = world.connection;
		network->tuple = tuple;
		take();
	}
	disconnect = begin(actor, KERNEL_DISCONNECT, sizeof(*disconnect));
	disconnect->connection = world.connection;
	disconnect->tuple = tuple;
	take();
}

/* Cgroups inside the container's, named like containers too, and a process in each. */
static void nest(const struct actor *actor)
{
	for (unsigned int i = 0; i < NESTED; i++) {
		struct actor inside = *actor;
		struct kernel_nested *nested = begin(actor, KERNEL_NESTED, sizeof(*nested));
		uint64_t cgroup = nested->header.cgroup_id + 5 + i;

		nested->header.cgroup_id = cgroup;
		make_id(nested->inner_id, actor->number, INNER);
		take();
		inside.marks = KERNEL_IN_NESTED;
		begin(&inside, KERNEL_EXEC_FAILED, sizeof(struct kernel_exec_failed));
		((struct kernel_header *)(void *)room)->cgroup_id = cgroup;
		take();
	}
}

static void leave_cgroup(const struct actor *actor)
{
	struct kernel_cgroup_left *left = begin(actor, KERNEL_CGROUP_LEFT, sizeof(*left));

	left->actor_tgid = actor->pid;
	put_string(&left->path, "/elsewhere");
	take();
}

static void end(const struct actor *actor)
{
	begin(actor, KERNEL_EXIT, sizeof(struct kernel_exit));
	take();
}

/* --- lives ----------------------------------------------------------------------------------------------------------- */

/* A process of the pod: `nth` of some ten. They and their times are always the same. */
static struct actor process_of(uint32_t number, enum role role, uint32_t nth)
{
	return (struct actor){.number = number,
		.role = role,
		.pid = 1000 + 10 * number + nth,
		.vpid = 1 + (nth > 2) * nth,
		.image = 1,
		.start_ns = boot_ns + number / STEP_STARTS * step_ns + nth};
}

/* A container's first process: by the runtime, which is still setting it up, until it executes. */
static struct actor enter(uint32_t number, enum role role, const struct actor *shim)
{
	struct actor actor = process_of(number, role, 1 + role);

	actor.marks = KERNEL_SETUP;
	be_forked(&actor, shim);
	open_files(&actor, SETUP_OPENS);
	execute(&actor, shim, role == SANDBOX ? "/pause" : "/usr/bin/web");
	return actor;
}

static void start_pod(uint32_t number)
{
	const struct actor shim = process_of(number, INNER, 0);
	struct actor first, child;

	enter(number, SANDBOX, &shim);
	first = enter(number, MAIN, &shim);
	nest(&first);
	open_files(&first, OPENS);
	child = process_of(number, MAIN, 3);
	be_forked(&child, &first);
	execute(&child, &first, "/usr/bin/worker");
	open_files(&child, OPENS);
	make_connection(&child);
	if (number % 16 == 0)
		leave_cgroup(&child);
	end(&child);
}

/* What the pipeline would have asked by its metadata. */
static void ask(uint32_t number)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	for (enum role role = MAIN; role <= SANDBOX; role++) {
		make_id(id, number, role);
		lookup_ask(world.lookup, id);
	}
}

static void end_first(uint32_t number, enum role role)
{
	struct actor first = process_of(number, role, 1 + role);

	first.image = 2;
	end(&first);
}

static bool all_named(void)
{
	return container_waiting(world.pipeline->containers) == 0;
}

static size_t ends_before;

static bool all_explained(void)
{
	return life_waiting(world.pipeline->life) <= ends_before;
}

/* As the metadata thread does each second. What is gone is forgotten when the simulated clock says so. */
static void list(uint32_t step)
{
	uint64_t *listed_ns = &world.listed_ns[step % KEEP_STEPS];

	lookup_list(world.lookup);
	wait_until(is_settled, "all");
	if (*listed_ns)
		lookup_tick(world.lookup, *listed_ns + LOOKUP_KEEP_NS);
	*listed_ns = clock_boottime_ns();
}

/* Time passes, and the collector gets everything. */
static void pass_step(void)
{
	struct pipeline *pipeline = world.pipeline;

	for (int i = 0; i < TICKS; i++) {
		pipeline->bulk_ns = pipeline->now_ns += step_ns / TICKS;
		pipeline_settle(pipeline, pipeline->now_ns);
		pipeline_tick(pipeline, NULL, false);
		pipeline_watch_attribution(pipeline, false);
	}
	cr_assert_eq(encode_flush(pipeline->encoder, pipeline->now_ns, true), 0);
	wait_until(is_acknowledged, "the events");
}

/* The books know what waits for names, and the ends of children that wait for their opens. */
static void expect_held(uint64_t held)
{
	const struct pipeline *pipeline = world.pipeline;
	struct wire_books books;

	books_sum(&pipeline->books, loss_known(pipeline->loss), loss_undeclared(pipeline->loss), &books);
	cr_assert_eq(
		books.held, held, "%llu are held, not %llu", (unsigned long long)books.held, (unsigned long long)held);
	cr_assert_eq(books.seen, world.sequence[KERNEL_RING_CRITICAL] + world.sequence[KERNEL_RING_BULK]);
}

/* At every batch, in the collector; and at last nothing is left. */
static void expect_balance(void)
{
	cr_assert_gt(others->batches, 0);
	cr_assert_eq(others->unbalanced, 0, "%lu of %lu", others->unbalanced, others->batches);
	cr_assert_eq(others->held, 0, "%lu", others->held);
	cr_assert_eq(others->seen, world.sequence[KERNEL_RING_CRITICAL] + world.sequence[KERNEL_RING_BULK]);
	cr_assert_gt(others->lost, 0);
	cr_assert_leq(others->lost, world.lost);
	cr_assert_geq(others->lost + STEP_STARTS * 4, world.lost, "of a second ago are told");
}

/* Some pods start, and as many end. */
static void live_step(uint32_t step)
{
	uint32_t first = step * STEP_STARTS, old = first - LIFE_STEPS * STEP_STARTS;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	others->born = first + STEP_STARTS;
	for (uint32_t i = 0; i < STEP_STARTS; i++) {
		start_pod(first + i);
		ask(first + i);
	}
	expect_held(container_waiting(world.pipeline->containers) + STEP_STARTS);
	wait_until(all_named, "the names");
	expect_held(STEP_STARTS);
	if (step >= LIFE_STEPS) {
		others->ended = old + STEP_STARTS;
		ends_before = life_waiting(world.pipeline->life);
		for (uint32_t i = 0; i < STEP_STARTS; i++) {
			end_first(old + i, MAIN);
			make_id(id, old + i, MAIN);
			lookup_ask_exit(world.lookup, id);
		}
		wait_until(all_explained, "the ends");
		for (uint32_t i = 0; i < STEP_STARTS; i++)
			end_first(old + i, SANDBOX);
		if (step >= LIFE_STEPS + LATE_STEPS)
			others->removed = old - (LATE_STEPS - 1) * STEP_STARTS;
	}
	list(step);
	pass_step();
}

/* --- memory ---------------------------------------------------------------------------------------------------------- */

static long anonymous_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	if (status)
		fclose(status);
	cr_assert_gt(kib, 0);
	return kib;
}

#ifdef __SANITIZE_ADDRESS__
static uint32_t marks[] = {1000}; /* what is freed stays for long: it is leaks that are looked for */
#else
static uint32_t marks[] = {2000, 5000, 10000, 17000, 20000};
#endif
enum { MARKS = sizeof(marks) / sizeof(marks[0]), FULL = 2 }; /* at that mark all tables have reached their limits */

/* What is of the pods that live, and of those that ended a moment ago. */
static void expect_tables(void)
{
	struct container_counters counters;
	size_t living, ended;

	container_counters(world.pipeline->containers, &counters);
	cr_assert_leq(counters.containers, CONTAINER_MAX);
	cr_assert_eq(counters.pending_late + counters.pending_full + counters.pending_at_once, 0);
	process_count(world.pipeline->processes, &living, &ended);
	cr_assert_eq(living, 2 * (others->born - others->ended), "%zu", living);
	cr_assert_leq(ended, 10 * STEP_STARTS);
	cr_assert_leq(repeat_count(world.pipeline->repeats), 4 * OPENS * STEP_STARTS);
	cr_assert_eq(connection_count(world.pipeline->connections), 0);
	cr_assert_leq(lookup_count(world.lookup), 2 * STEP_STARTS * (KEEP_STEPS + LIFE_STEPS + 2 * LATE_STEPS), "%zu",
		lookup_count(world.lookup));
	cr_assert_leq(life_waiting(world.pipeline->life), LATE_STEPS * STEP_STARTS);
}

static void expect_everything_told(uint32_t ended)
{
	cr_assert_eq(others->pending, 0);
	cr_assert_eq(others->started, 2 * others->born, "%lu", others->started);
	cr_assert_eq(others->explained, ended);
	cr_assert_geq(others->stopped, 2 * ended - LATE_STEPS * STEP_STARTS);
}

Test(lifetimes, memory_stays_flat, .init = open_world, .fini = close_world)
{
	const char *longer = getenv("TAFFRAIL_LIFETIMES");
	long kib[MARKS];
	uint32_t mark = 0;

	if (longer)
		marks[MARKS - 1] = (uint32_t)strtoul(longer, NULL, 10) / STEP_STARTS * STEP_STARTS;
	for (uint32_t step = 0; mark < MARKS; step++) {
		live_step(step);
		if (others->ended != marks[mark])
			continue;
		kib[mark] = anonymous_kib();
		expect_tables();
		printf("RssAnon after %u lifetimes: %ld KiB, %llu events\n", marks[mark], kib[mark],
			(unsigned long long)others->events);
		mark++;
	}
	expect_everything_told(marks[MARKS - 1]);
	expect_balance();
	for (uint32_t i = FULL + 1; i < MARKS; i++)
		cr_assert_leq(kib[i], kib[FULL] + GROWTH_KIB, "%ld KiB after %u, %ld KiB after %u", kib[FULL],
			marks[FULL], kib[i], marks[i]);
}

/* --- a runtime that fails to list ------------------------------------------------------------------------------------ */

/* Its answers are all that is known: above the limit what it told is forgotten, though nobody hears that it is gone. */
Test(lifetimes, what_no_list_tells_of_is_forgotten_above_the_limit, .init = open_runtime, .fini = close_runtime)
{
	others->lists_fail = true;
	others->born = LOOKUP_SUBJECTS_MAX;
	for (uint32_t number = 0; number < LOOKUP_SUBJECTS_MAX / 2 + 100; number++) {
		ask(number);
		if (number % 32 == 0)
			wait_until(is_settled, "the names");
	}
	wait_until(is_settled, "the names");
	cr_assert_eq(lookup_count(world.lookup), LOOKUP_SUBJECTS_MAX + 200, "each with its sandbox");
	lookup_list(world.lookup);
	wait_until(is_settled, "the lists");
	lookup_tick(world.lookup, clock_boottime_ns() + 2 * LOOKUP_WAIT_NS);
	cr_assert_eq(lookup_count(world.lookup), LOOKUP_SUBJECTS_MAX, "%zu", lookup_count(world.lookup));
}
