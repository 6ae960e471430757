/* SPDX-License-Identifier: Apache-2.0 */
/* record: what the configuration does not want is not there, is counted, and nothing else is missing. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static char directory[] = "/tmp/taffrail-policy-XXXXXX";
static char config[64];

static void make_directory(void)
{
	cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (strncmp(directory, "/tmp/taffrail-policy-", 21) == 0 && system(command) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

TestSuite(kernel_policy, .init = make_directory, .fini = remove_directory);

/* The sensor's configuration; DIR in `yaml` stands for the test's directory. */
static void configure(const char *yaml)
{
	const char *arguments[] = {"--config", config, NULL};
	FILE *file;

	snprintf(config, sizeof(config), "%s/config.yaml", directory);
	file = fopen(config, "we");
	cr_assert_not_null(file);
	for (const char *at; (at = strstr(yaml, "DIR")); yaml = at + 3)
		fprintf(file, "%.*s%s", (int)(at - yaml), yaml, directory);
	fputs(yaml, file);
	cr_assert_eq(fclose(file), 0);
	sensor_arguments(arguments);
}

/* A number of what the sensor says it has left out; of all containers that were there. */
static long filtered_number(const char *name)
{
	struct json_object *found[16];
	size_t number = documents("events_filtered", found, 16);
	char path[64];
	long sum = 0;

	snprintf(path, sizeof(path), "taffrail.filtered.%s", name);
	for (size_t i = 0; i < number && i < 16; i++)
		sum += atol(at(found[i], path));
	return sum;
}

/* How many events of a kind. */
static long filtered(const char *action)
{
	char name[64];

	snprintf(name, sizeof(name), "counts.%s", action);
	return filtered_number(name);
}

static int opens(const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, flags, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* Repeats count as many times as they were made. */
static void expect_opens(const char *name, size_t number)
{
	struct json_object *found[256];
	size_t all = documents("open", found, 256), told = 0;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	for (size_t i = 0; i < all && i < 256; i++)
		if (strcmp(at(found[i], "file.path"), path) == 0)
			told += *at(found[i], "taffrail.count") ? strtoul(at(found[i], "taffrail.count"), NULL, 10) : 1;
	cr_assert_eq(told, number, "%s: %zu opens are told, not %zu", name, told, number);
}

/* --- opens ------------------------------------------------------------------------------------------------------------ */

static int open_here_and_there(void *argument)
{
	char from[256], to[256];
	int error = 0;

	(void)argument;
	snprintf(to, sizeof(to), "%s/quiet", directory);
	error |= mkdir(to, 0755);
	snprintf(to, sizeof(to), "%s/quieter", directory);
	error |= mkdir(to, 0755);
	error |= opens("quieter/file", O_RDWR | O_CREAT);
	error |= opens("quiet/file", O_WRONLY | O_CREAT);
	for (int i = 0; i < 50; i++)
		error |= opens("quiet/file", O_RDONLY);
	error |= opens("quiet/file", O_RDWR);
	error |= opens("quieter/file", O_RDONLY);
	/* The kernel's path counts, whatever way leads there. */
	error |= opens("quiet/../quieter/file", O_RDONLY);
	snprintf(from, sizeof(from), "%s/link", directory);
	snprintf(to, sizeof(to), "%s/quiet/file", directory);
	error |= symlink(to, from);
	error |= opens("link", O_RDONLY);
	error |= opens("quieter/../quiet/file", O_RDONLY | O_CREAT);
	error |= opens("quiet/nothing", O_RDONLY) != ENOENT;
	return error;
}

Test(kernel_policy, opens_below_a_path_are_left_out_by_the_kernels_path_and_counted)
{
	configure("record:\n  leave_out:\n    - {kinds: [open], paths: [DIR/quiet/], modes: [read]}\n");
	cr_assert_eq(watch(open_here_and_there, NULL), 0);
	expect_opens("quiet/file", 2); /* created, and written */
	expect_opens("quieter/file", 3);
	expect_opens("quiet/nothing", 1); /* it failed: there is no path of the kernel's */
	cr_assert(watch_all_told((long)filtered("open"), 52));

	struct json_object *document = one("events_filtered", "event.kind", "metric");

	expect(document, "taffrail.filtered.count", "52");
	expect(document, "taffrail.filtered.in_kernel", "52");
	expect(document, "taffrail.filtered.kinds.0", "open");
	expect(document, "event.category.0", "host");
	expect(document, "container.id", "");
	cr_assert_lt(strcmp(at(document, "event.start"), at(document, "event.end")), 0);
}

Test(kernel_policy, opens_are_left_out_by_their_mode)
{
	configure("record:\n  leave_out:\n    - {paths: DIR/quie, modes: [create, write]}\n");
	cr_assert_eq(watch(open_here_and_there, NULL), 0);
	expect_opens("quiet/file", 52);
	expect_opens("quieter/file", 2);
	cr_assert_eq(filtered("open"), 3);
	cr_assert_eq(filtered_number("in_kernel"), 3);
}

static int failing_opens(void *argument)
{
	(void)argument;
	return opens("nothing/to-write", O_WRONLY) != ENOENT || opens("nothing/to-read", O_RDONLY) != ENOENT ||
	       opens("", O_RDWR) != EISDIR;
}

Test(kernel_policy, a_failed_open_has_the_mode_that_it_asked_for)
{
	configure("record:\n  leave_out:\n    - {kinds: open, modes: write}\n    - {paths: /}\n");
	cr_assert_eq(watch(failing_opens, NULL), 0);
	expect_opens("nothing/to-read", 1);
	cr_assert_eq(documents("open", NULL, 0), 1, "all others had a path or were to write");
	cr_assert_geq(filtered("open"), 2);
	cr_assert_eq(filtered_number("in_kernel"), filtered_number("count"));
}

/* What the kernel could not hold of a path is its beginning: then a directory below begins it, called as its maker likes. */
static int open_far_down(void *argument)
{
	char name[256];

	(void)argument;
	if (chdir(directory) < 0)
		return 1;
	for (int i = 0; i < 18; i++) {
		memset(name, 'x', 255);
		name[255] = '\0';
		if (i == 2)
			strcpy(name, "quiet");
		if (mkdir(name, 0755) < 0 || chdir(name) < 0)
			return 2;
	}
	return open("file", O_RDWR | O_CREAT, 0600) < 0;
}

Test(kernel_policy, a_path_that_was_cut_begins_with_nothing)
{
	configure("record: {leave_out: [{paths: /quiet/}]}\n");
	cr_assert_eq(watch(open_far_down, NULL), 0);

	struct json_object *document = one("open", "taffrail.file.argument", "file");

	cr_assert_eq(strncmp(at(document, "file.path"), "/quiet/x", 8), 0, "it does not try what it is for: %s",
		at(document, "file.path"));
	expect(document, "taffrail.truncated.0", "file.path");
	cr_assert_eq(documents("events_filtered", NULL, 0), 0);
}

/* --- other kinds ------------------------------------------------------------------------------------------------------ */

static int run(const char *path, const char *word)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl(path, path, word, (char *)NULL);
		_exit(125);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}

static int run_cat(void *argument)
{
	(void)argument;
	return run("/bin/cat", "/etc/hostname") || run("/nonexistent/program", "x") != 125;
}

Test(kernel_policy, processes_are_known_though_nothing_is_told_of_their_beginning)
{
	configure("record:\n  leave_out:\n    - kinds: [exec, fork, end]\n");
	cr_assert_eq(watch(run_cat, NULL), 0);
	cr_assert_eq(documents("exec", NULL, 0) + documents("fork", NULL, 0) + documents("end", NULL, 0), 0);

	struct json_object *document = one("open", "file.path", "/etc/hostname");

	expect(document, "process.name", "cat");
	expect(document, "process.args.1", "/etc/hostname");
	expect(document, "process.executable", "/usr/bin/cat");
	cr_assert_str_neq(at(document, "process.parent.entity_id"), "");
	cr_assert_geq(filtered_number("in_kernel"), 1, "what failed is no process's beginning");
	cr_assert_geq(filtered("exec"), 2);
	cr_assert_geq(filtered("fork"), 2);
	cr_assert_geq(filtered("end"), 3);
}

Test(kernel_policy, only_these_kinds)
{
	configure("record: {kinds: exec}\n");
	cr_assert_eq(watch(run_cat, NULL), 0);
	one("exec", "process.args.1", "/etc/hostname");
	one("exec", "event.outcome", "failure");
	cr_assert_eq(documents(NULL, NULL, 0), 2 + documents("events_filtered", NULL, 0) +
						       documents("container_started", NULL, 0) +
						       documents("container_stopped", NULL, 0));
	cr_assert_geq(filtered("open"), 3);
}

static int talk(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), peer;
	int refused = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	if (bind(server, (void *)&address, length) || listen(server, 1) ||
		getsockname(server, (void *)&address, &length) || connect(client, (void *)&address, length))
		return 1;
	peer = accept(server, NULL, NULL);
	if (peer < 0 || write(client, "hello", 5) != 5)
		return 2;
	close(client);
	close(peer);
	close(server);
	if (connect(refused, (void *)&address, length) == 0 || errno != ECONNREFUSED)
		return 3;
	for (int i = 0; i < 10; i++)
		if (sendto(udp, "x", 1, 0, (void *)&address, length) != 1 && errno != ECONNREFUSED)
			return 4;
	return connect(unix_socket, (void *)&local, sizeof(local)) == 0;
}

static size_t told(void)
{
	return documents("connection_attempted", NULL, 0) + documents("connection_accepted", NULL, 0) +
	       documents("listen", NULL, 0) + documents("send", NULL, 0) + documents("disconnect_received", NULL, 0);
}

Test(kernel_policy, the_network_is_left_out_as_a_whole)
{
	configure("outbound: {off: [p2p, mining, tor, scan, beacon, dns_tunnel, egress]}\n"
		  "record:\n  leave_out:\n    - kinds: [connect, accept, listen, send, disconnect]\n");
	cr_assert_eq(watch(talk, NULL), 0);
	cr_assert_eq(told(), 0);
	cr_assert_geq(filtered("connection_attempted"), 3);
	cr_assert_geq(filtered("connection_accepted"), 1);
	cr_assert_geq(filtered("listen"), 1);
	cr_assert_geq(filtered("send"), 1);
	cr_assert_geq(filtered("disconnect_received"), 2);
	cr_assert_eq(filtered_number("in_kernel"), filtered_number("count"), "and not one record of it was built");
}

Test(kernel_policy, without_rules_all_of_it_is_told_and_nothing_was_left_out)
{
	cr_assert_eq(watch(talk, NULL), 0);
	cr_assert_eq(told(), 3 + 1 + 1 + 1 + 2);
	cr_assert_eq(documents("events_filtered", NULL, 0), 0);
}

/* Connects, and becomes another program before it hangs up. */
static int connect_and_exec(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (bind(server, (void *)&address, length) || listen(server, 1) ||
		getsockname(server, (void *)&address, &length) || connect(client, (void *)&address, length) ||
		accept(server, NULL, NULL) < 0)
		return 1;
	execl("/bin/sleep", "sleep", "4", (char *)NULL); /* the process table forgets what ended after two */
	return 2;
}

Test(kernel_policy, an_end_that_is_told_knows_who_opened_though_that_is_not)
{
	configure("record: {leave_out: [{kinds: [connect, accept]}]}\n");
	cr_assert_eq(watch(connect_and_exec, NULL), 0);
	cr_assert_eq(documents("connection_attempted", NULL, 0) + documents("connection_accepted", NULL, 0), 0);
	cr_assert_eq(count("disconnect_received", "event.action", "disconnect_received"), 2);
	cr_assert_eq(count("disconnect_received", "process.args.0", "sleep"), 0, "who connected was another image");
	cr_assert_geq(filtered("connection_attempted"), 1);
	cr_assert_geq(filtered("connection_accepted"), 1);
	cr_assert_eq(filtered("disconnect_received"), 0);
	cr_assert_eq(filtered_number("in_kernel"), 0, "the sensor keeps who opened");
}
