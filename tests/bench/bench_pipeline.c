/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event costs in user space, from its bytes in the ring to its bytes in a batch or in a line: the pipeline itself
 * (user/sensor/pipeline.c) on records made here, with a stream that acknowledges at once.
 *
 *	bench-pipeline [--events N] [--rounds N] [MIX CONTAINERS]
 *
 * Without a mix: the whole table. With one: that mix alone, for a profiler.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "event/wire.h"
#include "sensor/pipeline_inside.h"

enum {
	CHUNK = 4096,        /* records that are made, then taken: as many as one look at the bulk ring brings */
	PROCESSES = 3,       /* of each container */
	PATHS = 64,          /* that a process opens, in turn */
	INTERVAL_NS = 10000, /* between two events: 100,000 a second */
	RECORD_ROOM = 1024,
	BOOT_NS = 1000000000,
};

/* --- what is measured ------------------------------------------------------------------------------------------------ */

static _Thread_local bool counting;
static uint64_t allocations, batches, batch_bytes;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __wrap_stream_send(
	struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last, const struct wire_books *books);
bool __wrap_stream_room(struct stream *stream);
bool __wrap_stream_idle(const struct stream *stream);

/* The linker sends the sensor's own calls here (-Wl,--wrap). */
void *__wrap_malloc(size_t size)
{
	allocations += counting;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations += counting;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	allocations += counting;
	return __real_realloc(old, size);
}

/* A collector that has every batch on its disk the moment it is sent. */
int __wrap_stream_send(
	struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last, const struct wire_books *books)
{
	(void)stream;
	(void)books;
	(void)first;
	(void)last;
	batches++;
	batch_bytes += bytes->length;
	wire_bytes_free(bytes);
	return 0;
}

bool __wrap_stream_room(struct stream *stream)
{
	(void)stream;
	return true;
}

bool __wrap_stream_idle(const struct stream *stream)
{
	(void)stream;
	return false;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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
	return kib;
}

/* --- records --------------------------------------------------------------------------------------------------------- */

struct bench {
	struct pipeline *pipeline;
	unsigned int containers;
	uint64_t time_ns, sequence[KERNEL_RINGS];
	uint64_t made; /* events */
	uint32_t next_pid;
	uint64_t next_connection;
	struct kernel_header child; /* the last that was forked */
	_Alignas(8) char records[CHUNK][RECORD_ROOM];
};

static void fill_header(
	struct bench *bench, struct kernel_header *header, enum kernel_kind kind, enum kernel_ring ring, uint32_t index)
{
	uint32_t container = index / PROCESSES;

	*header = (struct kernel_header){
		.kind = (uint16_t)kind,
		.ring = (uint8_t)ring,
		.sequence = ++bench->sequence[ring],
		.time_ns = bench->time_ns += INTERVAL_NS,
		.start_ns = 1000 + index,
		.tgid = 1000 + index,
		.tid = 1000 + index,
		.exec_counter = 5,
		.flags = KERNEL_IN_CONTAINER,
		.cgroup_id = container,
	};
	memset(header->container_id, 0xab, sizeof(header->container_id));
	memcpy(header->container_id, &container, sizeof(container));
}

/* Appends a string to a record whose header has its size. */
static void put_string(void *record, struct kernel_string *string, const char *text)
{
	struct kernel_header *header = record;
	size_t length = strlen(text);

	*string = (struct kernel_string){(uint16_t)header->size, (uint16_t)length};
	memcpy((char *)record + header->size, text, length);
	header->size += (uint32_t)length;
}

static void make_open(struct bench *bench, void *room, uint32_t index)
{
	struct kernel_open *open = room;
	char path[128];

	memset(open, 0, sizeof(*open));
	fill_header(bench, &open->header, KERNEL_OPEN, KERNEL_RING_BULK, index);
	open->header.size = sizeof(*open);
	open->result = 3;
	open->flags = O_RDONLY | O_CLOEXEC;
	open->inode = 4711 + bench->made % PATHS;
	open->mode = 0100644;
	open->count = 1;
	snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/some-package/module-%llu.so.1",
		(unsigned long long)(bench->made % PATHS));
	put_string(open, &open->path, path);
	put_string(open, &open->argument, path + 9);
}

static void fill_tuple(struct bench *bench, struct kernel_tuple *tuple)
{
	*tuple = (struct kernel_tuple){
		.family = AF_INET,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM,
		.local = {{10, 0, 0, 7}},
		.remote = {{10, 96, 0, 10}},
		.local_port_be = htons((uint16_t)(32768 + bench->next_connection % 28000)),
		.remote_port_be = htons(443),
	};
}

/* The three records of a connection, in turn. */
static void make_connect(struct bench *bench, void *room, uint32_t index)
{
	struct kernel_network *network = room;
	struct kernel_disconnect *disconnect = room;

	memset(room, 0, sizeof(*disconnect));
	switch (bench->made % 3) {
	case 0:
	case 1:
		if (bench->made % 3 == 0)
			bench->next_connection++;
		fill_header(bench, &network->header, bench->made % 3 ? KERNEL_CONNECT_DONE : KERNEL_CONNECT,
			KERNEL_RING_CRITICAL, index);
		network->header.size = sizeof(*network);
		network->connection = bench->next_connection;
		fill_tuple(bench, &network->tuple);
		return;
	default:
		fill_header(bench, &disconnect->header, KERNEL_DISCONNECT, KERNEL_RING_CRITICAL, index);
		disconnect->header.size = sizeof(*disconnect);
		disconnect->connection = bench->next_connection;
		disconnect->established_ns = bench->time_ns - 2 * INTERVAL_NS;
		disconnect->bytes_sent = 800;
		disconnect->bytes_received = 64000;
		fill_tuple(bench, &disconnect->tuple);
	}
}

static void fill_exec(struct bench *bench, struct kernel_exec *exec, const struct kernel_header *of, uint32_t parent)
{
	struct kernel_header *header = &exec->header;

	memset(exec, 0, sizeof(*exec));
	fill_header(bench, header, KERNEL_EXEC, KERNEL_RING_CRITICAL, parent);
	if (of) {
		header->tgid = header->tid = of->tgid;
		header->start_ns = of->start_ns;
		header->exec_counter = of->exec_counter + 1;
	}
	header->size = sizeof(*exec);
	exec->vpid = header->tgid % 100 + 1;
	exec->login_uid = exec->session = UINT32_MAX;
	exec->cap_bounding = 0xa80425fb;
	exec->inode = 815;
	exec->mode = 0100755;
	exec->args_count = 3;
	memcpy(exec->name, "worker", 6);
	put_string(exec, &exec->executable, "/usr/local/bin/worker");
	put_string(exec, &exec->filename, "/usr/local/bin/worker");
	exec->interp = exec->filename;
	put_string(exec, &exec->cwd, "/var/lib/worker");
	put_string(exec, &exec->args, "/usr/local/bin/worker");
	exec->args.length += 27;
	memcpy((char *)exec + header->size, "\0--queue=incoming\0--verbose", 27);
	header->size += 27;
	exec->ancestor_count = 1;
	exec->ancestors[0] = (struct kernel_ancestor){.tgid = of ? 1000 + parent : 1,
		.start_ns = of ? 1000 + parent : 1,
		.exec_counter = of ? 5 : 1,
		.in_container = 1,
		.name = "worker"};
}

/* A process that is forked, executes and ends, in turn. */
static void make_exec(struct bench *bench, void *room, uint32_t index)
{
	struct kernel_fork *fork = room;
	struct kernel_exit *end = room;

	switch (bench->made % 3) {
	case 0:
		memset(fork, 0, sizeof(*fork));
		fill_header(bench, &fork->header, KERNEL_FORK, KERNEL_RING_CRITICAL, index);
		fork->header.size = sizeof(*fork);
		fork->header.tgid = fork->header.tid = bench->next_pid++;
		fork->header.start_ns = bench->time_ns;
		fork->parent_tgid = 1000 + index;
		fork->parent_start_ns = 1000 + index;
		fork->parent_exec_counter = 5;
		fork->parent_in_container = 1;
		memcpy(fork->name, "worker", 6);
		bench->child = fork->header;
		return;
	case 1: fill_exec(bench, room, &bench->child, index); return;
	default:
		memset(end, 0, sizeof(*end));
		fill_header(bench, &end->header, KERNEL_EXIT, KERNEL_RING_CRITICAL, index);
		end->header.size = sizeof(*end);
		end->header.tgid = end->header.tid = bench->child.tgid;
		end->header.start_ns = bench->child.start_ns;
		end->header.exec_counter = bench->child.exec_counter + 1;
	}
}

/* Of 100 events 90 are opens, 6 of connections and 4 of short processes, roughly as busy nodes do. */
static void make_mix(struct bench *bench, void *room, uint32_t index)
{
	static uint64_t connects, execs, opens;
	uint64_t made = bench->made;

	if (made % 100 >= 96) {
		bench->made = execs++;
		make_exec(bench, room, (uint32_t)(execs / 3) % (bench->containers * PROCESSES));
	} else if (made % 100 >= 90) {
		bench->made = connects++;
		make_connect(bench, room, index);
	} else {
		bench->made = opens++;
		make_open(bench, room, index);
	}
	bench->made = made;
}

static const struct mix {
	const char *name;
	void (*make)(struct bench *bench, void *room, uint32_t index);
	bool together; /* three records in a row are of one process */
} mixes[] = {
	{"open", make_open, false},
	{"connect", make_connect, true},
	{"exec", make_exec, true},
	{"mix", make_mix, false},
};
enum { MIXES = sizeof(mixes) / sizeof(mixes[0]) };

static uint32_t index_of(const struct bench *bench, const struct mix *mix)
{
	uint64_t turn = mix->together ? bench->made / 3 : bench->made;

	return (uint32_t)(turn * 7919 %
			  (bench->containers * PROCESSES)); /* a prime: neighbours are of other containers */
}

/* --- runs ------------------------------------------------------------------------------------------------------------ */

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench-pipeline: %s failed\n", what);
	exit(1);
}

/* A recording of nothing but a machine: the pipeline opens without a kernel. */
static void make_recording(char *path, size_t size)
{
	static const struct event_host view = {.id = TEXT_STATIC("0123456789abcdef0123456789abcdef"),
		.name = TEXT_STATIC("node"),
		.boot_id = TEXT_STATIC("0f6c2f0e-0000-4000-8000-000000000000")};
	const struct recording_host host = {
		.host = &view, .cpus = 2, .lanes = 1, .boot_unix_ns = 1700000000000000000ull};
	struct recording *recording;
	int file = memfd_create("taffrail-bench", 0);

	snprintf(path, size, "/proc/self/fd/%d", file);
	check(file >= 0 && recording_create(&recording, path) == 0, "making a recording");
	recording_host(recording, BOOT_NS, &host);
	recording_close(recording);
}

static void name_container(struct bench *bench, uint32_t container)
{
	const struct event_label labels[] = {{TEXT_LITERAL("app"), TEXT_LITERAL("shop")},
		{TEXT_LITERAL("pod-template-hash"), TEXT_LITERAL("6d4cf56db6")}};
	struct event_container view = {
		.name = TEXT_LITERAL("main"),
		.image_name = TEXT_LITERAL("registry.example/shop/web"),
		.image_tag = TEXT_LITERAL("1.4"),
		.image_digest = TEXT_LITERAL("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
		.pod_name = TEXT_LITERAL("web-6d4cf56db6-x7k2p"),
		.pod_namespace = TEXT_LITERAL("shop"),
		.pod_uid = TEXT_LITERAL("0f6c2f0e-0000-4000-8000-000000000001"),
		.labels = labels,
		.label_count = 2,
	};

	memset(view.id, 0xab, sizeof(view.id));
	memcpy(view.id, &container, sizeof(container));
	pipeline_take_names(bench->pipeline, container_meta_make(&view, CONTAINER_COMPLETE));
}

static void open_bench(struct bench *bench, unsigned int containers, bool lines, const struct settings *settings)
{
	memset(bench, 0, sizeof(*bench));
	check(containers > 0, "counting containers");
	check(pipeline_part(&bench->pipeline, settings) == 0 && pipeline_open(bench->pipeline, NULL) == 0,
		"opening the pipeline");
	bench->containers = containers;
	bench->next_pid = 1000000;
	bench->time_ns = bench->pipeline->now_ns = BOOT_NS;
	for (uint32_t container = 0; container < containers; container++)
		name_container(bench, container);
	for (uint32_t index = 0; index < containers * PROCESSES; index++) {
		fill_exec(bench, (void *)bench->records[0], NULL, index);
		pipeline_take_record(
			bench->pipeline, bench->records[0], ((struct kernel_header *)(void *)bench->records[0])->size);
		encode_flush(bench->pipeline->encoder, bench->time_ns, lines);
	}
}

struct figures {
	double ns, allocations, bytes;
};

/* What the event thread does with records, and all that it does beside. */
__attribute__((noinline)) static void take_chunk(
	/* noinline: for a profiler to find */ struct bench *bench, uint64_t count)
{
	struct pipeline *pipeline = bench->pipeline;

	pipeline->now_ns = bench->time_ns;
	for (uint64_t i = 0; i < count; i++)
		pipeline_take_record(
			pipeline, bench->records[i], ((struct kernel_header *)(void *)bench->records[i])->size);
	if (pipeline->now_ns >= pipeline->next_tick_ns) {
		pipeline->bulk_ns = pipeline->now_ns; /* the ring was read empty: what has ended can be forgotten */
		pipeline_tick(pipeline, NULL, false);
		pipeline->next_tick_ns = pipeline->now_ns + 100000000;
	}
	check(encode_flush(pipeline->encoder, pipeline->now_ns, false) == 0, "writing");
}

static struct figures run(struct bench *bench, const struct mix *mix, uint64_t events)
{
	uint64_t ns = 0;

	allocations = batches = batch_bytes = 0;
	for (uint64_t done = 0; done < events;) {
		uint64_t count = events - done < CHUNK ? events - done : CHUNK, before;

		for (uint64_t i = 0; i < count; i++, bench->made++)
			mix->make(bench, bench->records[i], index_of(bench, mix));
		before = cpu_ns();
		counting = true;
		take_chunk(bench, count);
		counting = false;
		ns += cpu_ns() - before;
		done += count;
	}
	return (struct figures){(double)ns / (double)events, (double)allocations / (double)events,
		(double)batch_bytes / (double)events};
}

static int compare(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* The median of several rounds, after one that is not counted. */
static struct figures measure(
	const struct mix *mix, unsigned int containers, bool lines, uint64_t events, unsigned int rounds, long *kib)
{
	static const char *const nowhere[] = {"unix:/nonexistent"};
	static struct bench bench;
	char path[64];
	struct settings settings = {.replay = path,
		.stdout_lines = lines,
		.collectors = {(char **)(uintptr_t)nowhere, lines ? 0 : 1},
		.stream_bytes = 64 << 20};
	struct figures figures = {0};
	double ns[99] = {0};

	outbound_settings_default(&settings.outbound_settings);
	make_recording(path, sizeof(path));
	open_bench(&bench, containers, lines, &settings);
	run(&bench, mix, events);
	for (unsigned int round = 0; round < rounds; round++) {
		figures = run(&bench, mix, events);
		ns[round] = figures.ns;
	}
	qsort(ns, rounds, sizeof(ns[0]), compare);
	figures.ns = ns[rounds / 2];
	if (kib)
		*kib = anonymous_kib();
	pipeline_close(bench.pipeline);
	close(atoi(strrchr(path, '/') + 1));
	return figures;
}

static void print_table(uint64_t events, unsigned int rounds, FILE *out)
{
	long kib = 0;

	/* First: what other mixes leave to the allocator is not this one's. */
	measure(&mixes[MIXES - 1], 100, false, events, 1, &kib);
	fprintf(out, "%-24s %12s %12s %12s %12s\n", "an event, 100 containers", "ns to batch", "ns to line",
		"allocations", "bytes");
	for (size_t i = 0; i < MIXES; i++) {
		struct figures batch = measure(&mixes[i], 100, false, events, rounds, NULL);
		struct figures line = measure(&mixes[i], 100, true, events, rounds, NULL);

		fprintf(out, "%-24s %12.0f %12.0f %12.4f %12.0f\n", mixes[i].name, batch.ns, line.ns, batch.allocations,
			batch.bytes);
	}
	fprintf(out, "%-24s %12ld KiB (4 MiB of them the bench's own, without BPF; the goal is 24576)\n",
		"RssAnon of the mix", kib);
	for (unsigned int containers = 10; containers <= 1000; containers *= 10)
		fprintf(out, "mix, %4u containers    %13.0f\n", containers,
			measure(&mixes[MIXES - 1], containers, false, events, rounds, NULL).ns);
}

int main(int argc, char **argv)
{
	uint64_t events = 300000;
	unsigned int rounds = 7;
	FILE *out = fdopen(dup(STDOUT_FILENO), "w");
	int null = open("/dev/null", O_WRONLY);

	check(out && null >= 0 && dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0,
		"opening /dev/null");
	for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
		if (strcmp(argv[1], "--events") == 0)
			events = strtoull(argv[2], NULL, 10);
		else
			rounds = (unsigned int)strtoul(argv[2], NULL, 10) % 99;
	}
	if (argc < 3) {
		print_table(events, rounds ? rounds : 1, out);
		return fclose(out);
	}
	for (size_t i = 0; i < MIXES; i++)
		if (strcmp(argv[1], mixes[i].name) == 0) {
			struct figures figures = measure(
				&mixes[i], (unsigned int)atoi(argv[2]), argc > 3, events, rounds ? rounds : 1, NULL);

			fprintf(out, "%s: %.0f ns, %.4f allocations, %.0f bytes\n", argv[1], figures.ns,
				figures.allocations, figures.bytes);
		}
	return fclose(out);
}
