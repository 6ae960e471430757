/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's tests start as their sensor: it lends them the one that init has started, for to load the programs costs
 * an emulated processor many seconds. A test that gives other arguments, or has TAFFRAIL_OWN_SENSOR set, gets a sensor of
 * its own. Those that ask for calls by need (family_ask) are lent another one, that is asked for all of them. It is started
 * for the first of them and ended for the next test that wants the ordinary one: where the kernel passes over a program
 * that it finds at work on that CPU already, two sensors that watch each other make that much more likely.
 *
 * Says "ready" as the sensor does, and at SIGTERM copies to stdout what the sensor has written since. To know that all of
 * it is there, a process in a container of its own makes one record for each ring: rings keep their order.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SENSOR "/bin/taffrail-sensor"
#define FAMILIES_CONFIG "/run/families.yaml"
#define FAMILIES_PID "/run/families.pid"

enum { MARK_SECONDS = 60, MARK_AGAIN_MS = 3000, MARK_LOOK_MS = 50, SETTLE_MS = 200, READY_SECONDS = 300 };

struct lent {
	const char *log, *lines;
};

static const struct lent init_s = {"/run/sensor.log", "/run/sensor.ndjson"};
static const struct lent of_families = {"/run/families.log", "/run/families.ndjson"};
static const char families[] =
	"record:\n  also: [link, symlink, unlink, rmdir, rename, mkdir, chmod, dup, ptrace, setuid, "
	"setns, unshare, bpf, module, userfaultfd, mount, receive, socket, open]\n";

static int die(const char *what)
{
	fprintf(stderr, "shared sensor: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

/* Which one the arguments ask for; NULL: one of its own. */
static const struct lent *wanted(int argc, char **argv)
{
	const char *hooks = getenv("TAFFRAIL_HOOKS");
	int by_need = getenv("TAFFRAIL_FAMILIES") != NULL;
	char setting[64];

	if (getenv("TAFFRAIL_OWN_SENSOR"))
		return NULL;
	snprintf(setting, sizeof(setting), "hooks=%s", hooks ? hooks : "");
	for (int i = 1; i < argc; i++) {
		if (by_need && strcmp(argv[i], "--config") == 0)
			i++;
		else if (strcmp(argv[i], "--stdout") != 0 && strcmp(argv[i], "--no-rules") != 0 &&
			 strcmp(argv[i], "--set") != 0 && strcmp(argv[i], setting) != 0)
			return NULL;
	}
	return by_need ? &of_families : &init_s;
}

/* The whole of a small file, or its end, as text. */
static const char *text_of(const char *path)
{
	static char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[length > 0 ? length : 0] = '\0';
	close(fd);
	return text;
}

static int is_ready(const struct lent *lent)
{
	return strstr(text_of(lent->log), "taffrail-sensor: ready") != NULL;
}

static void end_families(void)
{
	pid_t sensor = (pid_t)atoi(text_of(FAMILIES_PID));

	if (sensor > 0)
		kill(sensor, SIGKILL);
	unlink(FAMILIES_PID);
	unlink(FAMILIES_CONFIG);
	unlink(of_families.log);
	unlink(of_families.lines);
}

static void note_pid(void)
{
	FILE *file = fopen(FAMILIES_PID, "we");

	if (!file)
		_exit(127);
	fprintf(file, "%d", (int)getpid());
	fclose(file);
}

/* Starts the families' one, if this is the first test that wants it: it goes on when this process has ended. */
static int start_families(void)
{
	const char *hooks = getenv("TAFFRAIL_HOOKS");
	char setting[64];
	FILE *file = fopen(FAMILIES_CONFIG, "wxe");

	if (!file)
		return errno == EEXIST ? 0 : -1;
	fputs(families, file);
	fclose(file);
	if (fork() == 0) {
		snprintf(setting, sizeof(setting), "hooks=%s", hooks ? hooks : "auto");
		setsid();
		note_pid();
		if (!freopen(of_families.lines, "a", stdout) || !freopen(of_families.log, "a", stderr))
			_exit(127);
		execl(SENSOR, SENSOR, "--stdout", "--no-rules", "--config", FAMILIES_CONFIG, "--set", setting,
			(char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < READY_SECONDS * 10 && !is_ready(&of_families); i++)
		usleep(100 * 1000);
	return 0;
}

/* In a cgroup named like a container's: an open that fails, then the end of a process. */
static pid_t make_mark(const char *cgroup)
{
	char path[300];
	pid_t child = fork();

	if (child != 0)
		return child;
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);

	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(1);
	_exit(open("/nonexistent/taffrail-mark", O_RDONLY) >= 0);
}

/* Are both of the mark's documents there? They are looked for in what came since `from`. */
static int is_marked(FILE *lines, long from, const char *id)
{
	static char line[1 << 20];
	int opened = 0, ended = 0;

	clearerr(lines);
	fseek(lines, from, SEEK_SET);
	while (fgets(line, sizeof(line), lines))
		if (strstr(line, id)) {
			opened |= strstr(line, "\"action\":\"open\"") != NULL;
			ended |= strstr(line, "\"action\":\"end\"") != NULL;
		}
	return opened && ended;
}

static int await_mark(FILE *lines)
{
	const char *root =
		access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
	time_t start = time(NULL);
	char id[65], cgroup[200];
	int status = 0, marked = 0;
	long from;

	fseek(lines, 0, SEEK_END);
	from = ftell(lines);
	snprintf(id, sizeof(id), "%064lx", (unsigned long)start << 24 | (unsigned long)getpid());
	snprintf(cgroup, sizeof(cgroup), "%s/%s", root, id);
	if (mkdir(cgroup, 0755) < 0)
		return die(cgroup);
	/* Now and then another one: the kernel may pass over what tells of a mark, as of anything. */
	for (int looks = 0; status == 0 && !marked && time(NULL) - start < MARK_SECONDS; looks++) {
		if (looks % (MARK_AGAIN_MS / MARK_LOOK_MS) == 0)
			waitpid(make_mark(cgroup), &status, 0);
		usleep(MARK_LOOK_MS * 1000);
		marked = is_marked(lines, from, id);
	}
	rmdir(cgroup);
	errno = ETIME;
	return marked ? 0 : die("the mark did not come through the sensor");
}

int main(int argc, char **argv)
{
	const struct lent *lent = wanted(argc, argv);
	sigset_t signals;
	FILE *lines;
	int signal_number;
	char bytes[65536];
	size_t length;

	if (!lent) {
		execv(SENSOR, argv);
		return die(SENSOR);
	}
	if (lent == &init_s)
		end_families();
	else if (start_families() < 0)
		return die(FAMILIES_CONFIG);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	lines = fopen(lent->lines, "r+e");
	/* Other tests' documents are in nobody's way, but memory is short; the sensor appends. */
	if (!lines || ftruncate(fileno(lines), 0) < 0)
		return die(lent->lines);
	fputs(text_of(lent->log), stderr);
	if (!is_ready(lent))
		return EXIT_FAILURE;
	sigwait(&signals, &signal_number);
	if (await_mark(lines) != 0)
		return EXIT_FAILURE;
	usleep(SETTLE_MS * 1000);
	clearerr(lines);
	rewind(lines);
	while ((length = fread(bytes, 1, sizeof(bytes), lines)) > 0)
		if (fwrite(bytes, 1, length, stdout) != length)
			return die("stdout");
	return fflush(stdout) == 0 ? EXIT_SUCCESS : die("stdout");
}
