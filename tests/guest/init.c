/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of a guest: makes an ordinary machine of a bare kernel, runs the kernel tests, prints their report on
 * the console between two lines that scripts/test-kernels.sh looks for, and switches the machine off.
 *
 * The kernel hands over what stands on its command line: words behind "--" as arguments, NAME=VALUE as environment.
 * A shell script /command in the initramfs is run instead of the tests. CGROUPS=v1 mounts v1 hierarchies for the containers, as an old machine does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT "/tmp/report.json"
#define SENSOR "/bin/taffrail-sensor"
#define SENSOR_LOG "/run/sensor.log"
#define SENSOR_LINES "/run/sensor.ndjson"

enum { READY_SECONDS = 300 };

static void complain(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
}

static void mount_at(const char *type, const char *where, const char *options)
{
	mkdir(where, 0755);
	if (mount("none", where, type, 0, options) < 0)
		complain(where);
}

/* The kernel leaves an initramfs without open files: the console is in a file system that is not mounted yet. */
static void open_console(void)
{
	int fd;

	mount_at("devtmpfs", "/dev", NULL);
	fd = open("/dev/console", O_RDWR);
	for (int i = 0; i < 3 && fd >= 0; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* The initramfs is the one root that pivot_root refuses to leave; a mount of itself on top of it can be left. */
static void make_root_ordinary(void)
{
	mkdir("/newroot", 0755);
	if (mount("/", "/newroot", NULL, MS_BIND, NULL) < 0 || chdir("/newroot") < 0 ||
		mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		complain("the root file system");
	rmdir("/newroot");
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		complain("shared mounts");
}

static void mount_cgroups(void)
{
	const char *version = getenv("CGROUPS");

	if (!version || strcmp(version, "v1") != 0) {
		mount_at("cgroup2", "/sys/fs/cgroup", NULL);
		return;
	}
	mount_at("tmpfs", "/sys/fs/cgroup", NULL);
	mount_at("cgroup", "/sys/fs/cgroup/pids", "pids");
	mount_at("cgroup", "/sys/fs/cgroup/memory", "memory");
	mount_at("cgroup2", "/sys/fs/cgroup/unified", NULL);
}

static void mount_all(void)
{
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("tracefs", "/sys/kernel/tracing", NULL);
	mount_at("securityfs", "/sys/kernel/security", NULL);
	mount_at("bpf", "/sys/fs/bpf", NULL);
	mount_at("tmpfs", "/tmp", "mode=1777");
	mount_at("tmpfs", "/run", NULL);
	mount_at("tmpfs", "/dev/shm", NULL);
	mount_at("devpts", "/dev/pts", NULL);
	if (symlink("/proc/self/fd", "/dev/fd") < 0)
		complain("/dev/fd");
	mount_cgroups();
}

/* Modules lie in /modules under names that sort in the order in which they need one another. */
static void load_modules(void)
{
	struct dirent **entries;
	int count = scandir("/modules", &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[300];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", entries[i]->d_name);
		if (entries[i]->d_name[0] == '.')
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			complain(path);
		close(fd);
	}
}

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		complain("loopback");
	close(fd);
}

/* --- the tests ------------------------------------------------------------------------------------------------------ */

/* Starts a program; `lines` and `log` are files for its stdout and stderr, or NULL for the console. */
static pid_t start(char *const arguments[], const char *lines, const char *log)
{
	pid_t child = fork();

	if (child != 0)
		return child;
	if (lines)
		dup2(open(lines, O_WRONLY | O_CREAT | O_APPEND, 0644), STDOUT_FILENO);
	if (log)
		dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0644), STDERR_FILENO);
	execv(arguments[0], arguments);
	complain(arguments[0]);
	_exit(127);
}

/* Waits for a process; as the first one, init also inherits what others leave behind. Returns what wait() says. */
static int finish(pid_t process)
{
	int status = -1;

	for (pid_t ended = 0; process > 0 && ended != process;)
		ended = wait(&status);
	return status;
}

/* The sensor that shared_sensor.c lends to the tests: with the arguments that they would give it. */
static pid_t start_sensor(void)
{
	char *arguments[] = {SENSOR, "--stdout", "--no-rules", NULL, NULL, NULL};
	char hooks[64], log[4096] = "";
	pid_t sensor;

	if (getenv("TAFFRAIL_HOOKS")) {
		snprintf(hooks, sizeof(hooks), "hooks=%s", getenv("TAFFRAIL_HOOKS"));
		arguments[3] = "--set";
		arguments[4] = hooks;
	}
	sensor = start(arguments, SENSOR_LINES, SENSOR_LOG);
	for (int i = 0; i < READY_SECONDS * 10 && !strstr(log, "taffrail-sensor: ready"); i++) {
		int fd = open(SENSOR_LOG, O_RDONLY | O_CLOEXEC);
		ssize_t length = fd < 0 ? 0 : read(fd, log, sizeof(log) - 1);

		log[length > 0 ? length : 0] = '\0';
		close(fd);
		if (waitpid(sensor, NULL, WNOHANG) == sensor)
			return -1; /* the tests will tell what it said */
		usleep(100 * 1000);
	}
	return sensor;
}

/* The tests, with the options that init got. */
static int run_tests(int count, char **options)
{
	char report[] = "--json=" REPORT;
	char *arguments[40] = {"/bin/test-kernel", "-j1", "--verbose", "--color=never", report};
	pid_t sensor = start_sensor();
	int used = 5, status;

	for (int i = 1; i < count && used < 39; i++)
		arguments[used++] = options[i];
	status = finish(start(arguments, NULL, NULL));
	if (sensor > 0 && kill(sensor, SIGTERM) == 0)
		printf("init: the sensor ended with status %d\n", finish(sensor));
	return status;
}

static void print_report(int status)
{
	FILE *report = fopen(REPORT, "re");
	char bytes[4096];
	size_t length;

	printf("\n==== the runner ended with status %d, its report:\n", status);
	while (report && (length = fread(bytes, 1, sizeof(bytes), report)) > 0)
		fwrite(bytes, 1, length, stdout);
	printf("\n==== end of the report\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	open_console();
	make_root_ordinary();
	mount_all();
	load_modules();
	raise_loopback();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("TAFFRAIL_SENSOR", "/bin/shared-sensor", 1);
	if (access("/command", R_OK) == 0)
		finish(start((char *const[]){"/bin/sh", "/command", NULL}, NULL, NULL));
	else
		print_report(run_tests(argc, argv));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
