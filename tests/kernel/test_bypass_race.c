/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Races that a second thread runs against the hooks: it rewrites what the first is calling with, or takes the descriptor
 * away before a hook can look behind it. The first notes what the kernel did; the documents must say the same.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

enum {
	OPENS = 100000,
	DATAGRAM_CONNECTS = 20000,
	STREAM_CONNECTS = 1000,
	SWAPPED_OPENS = 30000,
	RENAMED_OPENS = 100000,
	ARGUMENTS = 500,
	SWAPPED_CONNECTS = 5000,
	SECONDS = 20, /* each; a slow guest does fewer, and says how many */
	FILES = 3,    /* a and b are there, c is not */
};

/* What the deed did, as the kernel told it. */
struct made {
	long opens[FILES];
	long connects[2];
	int ports[2];
	long streams[2];
	long swapped;
	long unix_connects, accepts;
};

/* What the documents say. */
static struct seen {
	long opens[FILES], other_opens;
	long unsure, wrong;
	long connects[2], streams[2], other_connects;
	long swapped;
	long unix_connects, accepts;
	long unknown_connects;
	long lost, lost_critical;
} seen;

static struct made *made;
static char files[FILES][320]; /* <directory>/file-a, … */
static char unix_path[100];

static void prepare(void)
{
	scratch_make();
	made = shared(sizeof(*made));
	for (int i = 0; i < FILES; i++) {
		snprintf(files[i], sizeof(files[i]), "%s%c", scratch("file-"), 'a' + i);
		cr_assert(i == 2 || text_make(files[i], "", 0644) == 0);
	}
	snprintf(unix_path, sizeof(unix_path), "%s", scratch("socket"));
}

TestSuite(bypass_race, .init = prepare, .fini = scratch_remove);

static bool time_is_left(time_t *end)
{
	if (*end == 0)
		*end = time(NULL) + SECONDS;
	return time(NULL) < *end;
}

static long count_of(struct json_object *document)
{
	const char *text = at(document, "taffrail.count");

	return *text ? atol(text) : 1;
}

/* --- the path, the address ---------------------------------------------------------------------------------------------- */

static char path[320];
static struct sockaddr_in address;
static atomic_bool done;

static void *rewrite(void *argument)
{
	size_t last = strlen(path) - 1;
	volatile char *letter = path + last;
	volatile in_port_t *port = &address.sin_port;

	while (!atomic_load_explicit(&done, memory_order_relaxed))
		for (int i = 0; i < 60; i++) {
			*letter = (char)('a' + i % FILES);
			*port = htons((uint16_t)(made->ports[i % 2]));
		}
	return argument;
}

static int open_and_look(ino_t a, ino_t b)
{
	time_t end = 0;

	for (int i = 0; i < OPENS && (i % 256 || time_is_left(&end)); i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat status;

		if (fd < 0 && errno == ENOENT) {
			made->opens[2]++;
			continue;
		}
		if (fstat(fd, &status) || (status.st_ino != a && status.st_ino != b))
			return -1;
		made->opens[status.st_ino == b]++;
		close(fd);
	}
	return 0;
}

static int connect_and_look(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	time_t end = 0;

	for (int i = 0; i < DATAGRAM_CONNECTS && (i % 256 || time_is_left(&end)); i++) {
		struct sockaddr_in is = {0};
		socklen_t length = sizeof(is);

		if (connect(fd, (void *)&address, sizeof(address)) || getpeername(fd, (void *)&is, &length))
			return -1;
		made->connects[ntohs(is.sin_port) == made->ports[1]]++;
	}
	return 0;
}

/* On `*port`, which is set if it is 0. -1: it is not free. */
static int listening(int *port)
{
	struct sockaddr_in any = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (bind(fd, (void *)&any, sizeof(any)) || listen(fd, 64) || getsockname(fd, (void *)&any, &length)) {
		close(fd);
		return -1;
	}
	*port = ntohs(any.sin_port);
	return fd;
}

/* On ports that differ in one byte alone: some processors copy addresses byte by byte, and the kernel would take a port of both. */
static bool listening_both(int servers[2])
{
	for (int i = 0; i < 100; i++) {
		made->ports[0] = 0;
		servers[0] = listening(&made->ports[0]);
		made->ports[1] = made->ports[0] ^ 1;
		servers[1] = servers[0] < 0 ? -1 : listening(&made->ports[1]);
		if (servers[1] >= 0)
			return true;
		close(servers[0]);
	}
	return false;
}

static int connect_streams(const int servers[2])
{
	const struct linger reset = {.l_onoff = 1};
	time_t end = 0;

	for (int i = 0; i < STREAM_CONNECTS && (i % 16 || time_is_left(&end)); i++) {
		struct sockaddr_in is = {0};
		socklen_t length = sizeof(is);
		int fd = socket(AF_INET, SOCK_STREAM, 0), which;

		if (connect(fd, (void *)&address, sizeof(address)) || getpeername(fd, (void *)&is, &length))
			return -1;
		which = ntohs(is.sin_port) == made->ports[1];
		made->streams[which]++;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(accept(servers[which], NULL, NULL));
		close(fd);
	}
	return 0;
}

static int rewritten(void *argument)
{
	struct stat a, b;
	pthread_t thread;
	int result, servers[2];

	(void)argument;
	if (!listening_both(servers))
		return 1;
	memcpy(path, files[0], sizeof(path));
	address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)made->ports[0]),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (stat(files[0], &a) || stat(files[1], &b) || pthread_create(&thread, NULL, rewrite, NULL))
		return 1;
	result = open_and_look(a.st_ino, b.st_ino) ? 2 : connect_and_look() ? 3 : connect_streams(servers) ? 4 : 0;
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	return result;
}

static void look_at_open(struct json_object *document)
{
	const char *opened = at(document, "file.path");
	bool failed = strcmp(at(document, "error.code"), "ENOENT") == 0;

	if (*at(document, "taffrail.file.unsure"))
		seen.unsure += count_of(document);
	if (failed && strncmp(opened, files[0], strlen(files[0]) - 1) == 0)
		seen.opens[2] += count_of(document);
	else if (strcmp(opened, files[0]) == 0)
		seen.opens[0] += count_of(document);
	else if (strcmp(opened, files[1]) == 0)
		seen.opens[1] += count_of(document);
	else
		seen.other_opens += count_of(document);
}

static void look_at_connect(struct json_object *document)
{
	int port = atoi(at(document, "destination.port"));
	int which = port == made->ports[0] ? 0 : port == made->ports[1] ? 1 : -1;

	bool unknown = strcmp(at(document, "event.outcome"), "unknown") == 0;

	if (which < 0 || (!unknown && strcmp(at(document, "event.outcome"), "success") != 0))
		seen.other_connects++;
	else if (unknown) /* its return was passed over */
		seen.unknown_connects++;
	else if (strcmp(at(document, "network.transport"), "udp") == 0)
		seen.connects[which]++;
	else
		seen.streams[which]++;
}

static void look_at_loss(struct json_object *document)
{
	if (strcmp(at(document, "taffrail.lost.stage"), "ring-critical") == 0)
		seen.lost_critical += atol(at(document, "taffrail.lost.count"));
	else
		seen.lost += atol(at(document, "taffrail.lost.count"));
}

static bool look(struct json_object *document)
{
	const char *action = at(document, "event.action");

	if (strcmp(action, "events_lost") == 0)
		look_at_loss(document);
	else if (strcmp(at(document, "container.id"), place_id(PLACE_CONTAINER)) != 0)
		return false;
	else if (strcmp(action, "open") == 0)
		look_at_open(document);
	else if (strcmp(action, "connection_attempted") == 0)
		look_at_connect(document);
	return false;
}

Test(bypass_race, what_is_rewritten_during_the_call_is_told_as_the_kernel_took_it, .timeout = 300)
{
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	watch_filter(look);
	cr_assert_eq(watch(rewritten, NULL), 0);
	cr_log_info("%ld+%ld opens, %ld that failed, %ld+%ld UDP and %ld+%ld TCP connects; %ld lost", made->opens[0],
		made->opens[1], made->opens[2], made->connects[0], made->connects[1], made->streams[0],
		made->streams[1], seen.lost);
	cr_assert_eq(seen.unsure, 0);
	cr_assert_eq(seen.other_opens, 0);
	cr_assert_eq(seen.other_connects, 0);
	cr_assert_leq(seen.unknown_connects, watch_passed_over());
	cr_assert_eq(seen.lost_critical, 0);
	if (seen.lost + watch_passed_over() == 0)
		for (int i = 0; i < FILES; i++)
			cr_assert_eq(seen.opens[i], made->opens[i], "file %c: %ld opens, %ld told", 'a' + i,
				made->opens[i], seen.opens[i]);
	cr_assert(watch_all_told(seen.opens[0] + seen.opens[1] + seen.opens[2] + seen.lost,
		made->opens[0] + made->opens[1] + made->opens[2]));
	cr_assert(made->opens[0] > 0 && made->opens[1] > 0 && made->opens[2] > 0, "there was no race");
	for (int i = 0; i < 2; i++) {
		cr_assert(watch_all_told(seen.connects[i], made->connects[i]), "UDP %d: %ld, %ld told", i,
			made->connects[i], seen.connects[i]);
		cr_assert(watch_all_told(seen.streams[i], made->streams[i]), "TCP %d: %ld, %ld told", i,
			made->streams[i], seen.streams[i]);
		cr_assert_gt(made->connects[i], 0, "there was no race");
	}
}

/* --- the descriptor ------------------------------------------------------------------------------------------------------ */

static atomic_int target = -1; /* the descriptor that the first thread is about to get, or to use */
static int other_file, other_socket;

static void *swap(void *argument)
{
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		int fd = atomic_load_explicit(&target, memory_order_relaxed);

		if (fd < 0)
			continue;
		dup2(fd % 2 ? other_file : other_socket, fd);
		close(fd);
		dup2(other_file, fd);
		close(fd);
	}
	return argument;
}

/* A descriptor number that open and accept will give out next. */
static int next_descriptor(void)
{
	int fd = dup(other_file);

	close(fd);
	return fd;
}

static void open_while_swapped(void)
{
	time_t end = 0;

	atomic_store(&target, next_descriptor());
	for (int i = 0; i < SWAPPED_OPENS && (i % 256 || time_is_left(&end)); i++) {
		int fd = open(files[0], O_RDONLY | O_CLOEXEC);

		made->swapped += fd >= 0;
		close(fd);
	}
	atomic_store(&target, -1);
	usleep(1000);
}

static int connect_while_swapped(int server)
{
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	time_t end = 0;

	snprintf(there.sun_path, sizeof(there.sun_path), "%s", unix_path);
	for (int i = 0; i < SWAPPED_CONNECTS && (i % 256 || time_is_left(&end)); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), accepted;

		atomic_store(&target, fd);
		if (connect(fd, (void *)&there, sizeof(there)) == 0)
			made->unix_connects++;
		close(fd);
		atomic_store(&target, -1);
		usleep(1);
		/* One for a connect, whoever has its descriptor by now. */
		atomic_store(&target, next_descriptor());
		accepted = accept(server, NULL, NULL);
		made->accepts += accepted >= 0;
		close(accepted);
		atomic_store(&target, -1);
	}
	return 0;
}

static int swapped(void *argument)
{
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	pthread_t thread;

	(void)argument;
	snprintf(there.sun_path, sizeof(there.sun_path), "%s", unix_path);
	other_file = open(files[1], O_RDONLY);
	other_socket = socket(AF_INET, SOCK_DGRAM, 0);
	if (other_file < 0 || bind(server, (void *)&there, sizeof(there)) || listen(server, 64) ||
		pthread_create(&thread, NULL, swap, NULL))
		return 1;
	open_while_swapped();
	connect_while_swapped(server);
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	return 0;
}

static bool look_at_swapped(struct json_object *document)
{
	const char *action = at(document, "event.action");

	if (strcmp(action, "events_lost") == 0) {
		look_at_loss(document);
	} else if (strcmp(at(document, "taffrail.file.argument"), files[0]) == 0) {
		bool unsure = *at(document, "taffrail.file.unsure"),
		     right = strcmp(at(document, "file.path"), files[0]) == 0;

		seen.swapped += count_of(document);
		seen.unsure += unsure ? count_of(document) : 0;
		seen.wrong += !unsure && !right ? count_of(document) : 0;
	} else if (strcmp(at(document, "destination.address"), unix_path) == 0) {
		bool done_well = strcmp(at(document, "event.outcome"), "success") == 0;

		seen.unix_connects += strcmp(action, "connection_attempted") == 0 && done_well;
		seen.accepts += strcmp(action, "connection_accepted") == 0;
	}
	return false;
}

Test(bypass_race, what_is_done_behind_a_swapped_descriptor_is_right_or_unsure, .timeout = 300)
{
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	watch_filter(look_at_swapped);
	cr_assert_eq(watch(swapped, NULL), 0);
	cr_log_info("%ld opens, %ld told, of which %ld unsure, %ld lost; %ld unix connects, %ld told; %ld accepts, %ld "
		    "told; %ld lost",
		made->swapped, seen.swapped, seen.unsure, seen.lost, made->unix_connects, seen.unix_connects,
		made->accepts, seen.accepts, seen.lost_critical);
	cr_assert_eq(seen.wrong, 0, "%ld opens told as sure with another file", seen.wrong);
	cr_assert(watch_all_told(seen.swapped + seen.lost, made->swapped), "%ld opens, %ld told", made->swapped,
		seen.swapped);
	cr_assert(watch_all_told(
			  seen.unix_connects + seen.accepts + seen.lost_critical, made->unix_connects + made->accepts),
		"%ld connects, %ld told; %ld accepts, %ld told; %ld lost", made->unix_connects, seen.unix_connects,
		made->accepts, seen.accepts, seen.lost_critical);
	if (watch_by_function())
		cr_assert_eq(seen.unsure + seen.lost_critical, 0);
}

/* --- the directory -------------------------------------------------------------------------------------------------------- */

/* The directory has two names by turns; no other path ever is. */
static char places[2][2][340]; /* the directory and the file, before and after */
static long places_told[2], places_cut, places_never;

static void *rename_places(void *argument)
{
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		rename(places[0][0], places[0][1]);
		rename(places[0][1], places[0][0]);
	}
	return argument;
}

static int open_while_renamed(void *argument)
{
	static char
		slashes[ARGUMENTS + 8]; /* as many different arguments: so they are no repeats, and each is walked */
	int directory = open(places[0][0], O_PATH | O_DIRECTORY);
	pthread_t thread;
	time_t end = 0;

	(void)argument;
	memset(slashes, '/', ARGUMENTS);
	memcpy(slashes + ARGUMENTS, "./file", 7);
	if (directory < 0 || pthread_create(&thread, NULL, rename_places, NULL))
		return 1;
	for (int i = 0; i < RENAMED_OPENS && (i % 256 || time_is_left(&end)); i++) {
		char relative[ARGUMENTS + 8];
		int fd;

		snprintf(relative, sizeof(relative), ".%s", slashes + i % ARGUMENTS);
		fd = openat(directory, relative, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return 2;
		made->opens[0]++;
		close(fd);
	}
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	return 0;
}

static bool look_at_places(struct json_object *document)
{
	const char *is = at(document, "file.path");

	if (strncmp(at(document, "taffrail.file.argument"), "./", 2) != 0)
		return false;
	for (int i = 0; i < 2; i++)
		if (strcmp(is, places[1][i]) == 0) {
			places_told[i] += count_of(document);
			return false;
		}
	if (strcmp(at(document, "taffrail.truncated.0"), "file.path") == 0) {
		places_cut += count_of(document); /* the renaming thread stood still in the middle of it */
		return false;
	}
	places_never += count_of(document);
	fprintf(stderr, "%s\n", is);
	return false;
}

Test(bypass_race, a_directory_that_is_renamed_meanwhile_has_one_of_its_names, .timeout = 300)
{
	for (int i = 0; i < 2; i++) {
		snprintf(places[0][i], sizeof(places[0][i]), "%s",
			scratch(i ? "public-bbbbbbbbbbbbbbbb" : "secret-aaaaaaaaaaaaaaaa"));
		snprintf(places[1][i], sizeof(places[1][i]), "%.300s/file", places[0][i]);
	}
	cr_assert(mkdir(places[0][0], 0755) == 0 && text_make(places[1][0], "", 0644) == 0);
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	watch_filter(look_at_places);
	cr_assert_eq(watch(open_while_renamed, NULL), 0);
	cr_log_info("%ld opens: %ld and %ld told, %ld of a path that never was", made->opens[0], places_told[0],
		places_told[1], places_never);
	cr_assert_eq(places_never, 0);
	cr_assert(watch_all_told(places_told[0] + places_told[1] + places_cut, made->opens[0]));
	cr_assert_leq(places_cut, made->opens[0] / 100);
	cr_assert(places_told[0] > 0 && places_told[1] > 0, "there was no race");
}
