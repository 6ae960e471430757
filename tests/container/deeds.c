/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deeds for the tests of rules: one call each, done for real, in a container of the test's. Under whatever name it is
 * started: the names are what many rules ask for. A deed that the kernel refuses is a deed: only what a test leans on is
 * checked, and then the exit code is not 0.
 *
 *   deed as NONCE FILE LINE                becomes the program of that line, whose words have tabs between; the nonce stands in the
 *                                          exec before, and the words do not
 *   deed all FILE                          all lines, each as a process of its own; a line begins with its nonce
 *   deed VERB ARGUMENT...                  see the table at the end
 */
#include "deeds.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int number(const char *word)
{
	return (int)strtol(word, NULL, 0);
}

/* --- programs ---------------------------------------------------------------------------------------------------------- */

static int become(char **words)
{
	execv(words[0], words);
	err(126, "%s", words[0]);
}

static int wait_for(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		err(125, "a child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int spawn(char **words)
{
	pid_t child = fork();

	if (child == 0)
		become(words);
	return wait_for(child);
}

enum { WORDS_MAX = 64 };

/* The next line's words. False at the end. */
static bool read_words(FILE *file, char **words)
{
	static char line[16384];
	char *rest = line;
	int count = 0;

	if (!fgets(line, sizeof(line), file))
		return false;
	line[strcspn(line, "\n")] = '\0';
	while (count < WORDS_MAX - 1 && (words[count] = strsep(&rest, "\t")))
		count++;
	words[count] = NULL;
	return true;
}

static FILE *lines_of(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file)
		err(125, "%s", path);
	return file;
}

static int as(char **words)
{
	char *line[WORDS_MAX] = {NULL};
	FILE *file = lines_of(words[1]);

	for (int left = number(words[2]); left >= 0; left--)
		if (!read_words(file, line) || !line[0])
			errx(125, "%s has no such line", words[1]);
	return become(line + 1);
}

static int all(char **words)
{
	char *line[WORDS_MAX], digits[16];
	FILE *file = lines_of(words[0]);

	for (int i = 0; read_words(file, line); i++) {
		char *const again[] = {"/proc/self/exe", "as", line[0], words[0], digits, NULL};
		pid_t child;

		snprintf(digits, sizeof(digits), "%d", i);
		fflush(stdout);
		child = fork();
		if (child == 0)
			become((char **)again);
		printf("done\t%s\t%d\n", line[0], wait_for(child));
	}
	fclose(file);
	return 0;
}

static int copy_into(int to, const char *from_path)
{
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	char block[65536];
	ssize_t n;

	if (from < 0)
		return -1;
	while ((n = read(from, block, sizeof(block))) > 0)
		if (write(to, block, (size_t)n) != n)
			return -1;
	close(from);
	return n < 0 ? -1 : 0;
}

static int copy(char **words)
{
	int to = open(words[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	if (to < 0 || copy_into(to, words[0]) || close(to))
		err(1, "%s", words[1]);
	return 0;
}

/* A copy of itself that no file holds, with a name for what it is. */
static int from_memory(char **words)
{
	int fd = (int)syscall(SYS_memfd_create, "deed", MFD_CLOEXEC);

	if (fd < 0 || copy_into(fd, "/proc/self/exe"))
		err(1, "memfd");
	fexecve(fd, words, environ);
	err(1, "fexecve");
}

static int by_descriptor(char **words)
{
	int fd = open(words[0], O_RDONLY | O_CLOEXEC);

	fexecve(fd, words, environ);
	err(1, "fexecve");
}

/* In a session of its own with a new terminal. */
static int on_terminal(char **words)
{
	int controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlock = 0, terminal;
	unsigned int name;
	char path[32];
	pid_t child;

	if (controller < 0 || ioctl(controller, TIOCSPTLCK, &unlock) || ioctl(controller, TIOCGPTN, &name))
		err(1, "ptmx");
	snprintf(path, sizeof(path), "/dev/pts/%u", name);
	child = fork();
	if (child == 0) {
		setsid();
		terminal = open(path, O_RDWR | O_CLOEXEC);
		if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0))
			err(1, "%s", path);
		become(words);
	}
	return wait_for(child);
}

/* --- files -------------------------------------------------------------------------------------------------------------- */

/* MODE: r, w, c (create), t (truncate), a (append), d (a directory); `+`: it must work. */
static int open_file(char **words)
{
	static const struct {
		char letter;
		int flags;
	} modes[] = {{'r', O_RDONLY}, {'w', O_WRONLY}, {'c', O_WRONLY | O_CREAT}, {'t', O_WRONLY | O_TRUNC},
		{'a', O_WRONLY | O_APPEND}, {'d', O_RDONLY | O_DIRECTORY}};
	int flags = 0, fd;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (words[0][0] == modes[i].letter)
			flags = modes[i].flags;
	fd = open(words[1], flags, 0644);
	if (fd < 0 && words[0][1] == '+')
		err(1, "%s", words[1]);
	return 0;
}

/* A new one, with all bits of the mode. */
static int create_file(char **words)
{
	umask(0);
	return open(words[1], O_WRONLY | O_CREAT | O_CLOEXEC, (mode_t)strtol(words[0], NULL, 8)) < 0;
}

static int empty_file(char **words)
{
	return creat(words[0], 0644) < 0;
}

/* Once more, by a descriptor that may only name it. */
static int open_again(char **words)
{
	char path[64];
	char *again[] = {words[0], path, NULL};
	int fd = open(words[1], O_PATH | O_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd < 0 || open_file(again);
}

/* MODE FOLDER NAME: by a descriptor of the folder. */
static int open_below(char **words)
{
	int folder = open(words[1], O_PATH | O_DIRECTORY | O_CLOEXEC);

	return openat(folder, words[2], words[0][0] == 'w' ? O_WRONLY : O_RDONLY) < 0;
}

static int change_mode(char **words)
{
	return chmod(words[1], (mode_t)strtol(words[0], NULL, 8)) ? 1 : 0;
}

static int make_directory(char **words)
{
	return mkdir(words[0], 0755) ? 1 : 0;
}

static int remove_file(char **words)
{
	return unlink(words[0]) ? 1 : 0;
}

static int move(char **words)
{
	return rename(words[0], words[1]) ? 1 : 0;
}

static int link_hard(char **words)
{
	return link(words[0], words[1]) ? 1 : 0;
}

static int link_soft(char **words)
{
	return symlink(words[0], words[1]) ? 1 : 0;
}

static int by_handle(char **words)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[8];
	} given = {.handle = {.handle_bytes = 8, .handle_type = 1}};
	int fd = open(words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)!open_by_handle_at(fd, &given.handle, O_RDONLY);
	return fd < 0;
}

static int mount_there(char **words)
{
	(void)mount(words[0], words[1], words[2], 0, NULL);
	return 0;
}

static int move_mount_there(char **words)
{
	(void)!syscall(429, AT_FDCWD, words[0], AT_FDCWD, words[1], 0); /* move_mount */
	return 0;
}

/* --- sockets ------------------------------------------------------------------------------------------------------------ */

static socklen_t address_of(struct sockaddr_storage *address, const char *ip, const char *port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)number(port));
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, ip, &in6->sin6_addr) != 1)
		errx(2, "%s is no address", ip);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)number(port));
	return sizeof(*in6);
}

int call(char **words)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, words[0], words[1]);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)connect(fd, (struct sockaddr *)&address, length);
	return fd < 0;
}

/* Waits for each answer: IP, the first port, how many. */
static int call_many(char **words)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, words[0], words[1]);

	for (int left = number(words[2]); left > 0; left--) {
		int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		(void)connect(fd, (struct sockaddr *)&address, length);
		close(fd);
		/* The port is at the same place in both. */
		((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)(number(words[1]) + left));
	}
	return 0;
}

static int call_datagram(char **words)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, words[0], words[1]);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)connect(fd, (struct sockaddr *)&address, length);
	return fd < 0;
}

static int send_datagram(char **words)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, words[0], words[1]);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)sendto(fd, "deed", 4, 0, (struct sockaddr *)&address, length);
	return fd < 0;
}

/* A connection to itself. Returns the client's end; the server's stays open until the process ends. */
static int loop(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(server, (struct sockaddr *)&address, length) || listen(server, 1) ||
		getsockname(server, (struct sockaddr *)&address, &length) ||
		connect(client, (struct sockaddr *)&address, length))
		err(1, "a connection");
	return fcntl(client, F_DUPFD, 100);
}

/* The connection as a descriptor of that number. */
static int as_descriptor(char **words)
{
	return dup2(loop(), number(words[0])) < 0;
}

static int file_as_input(char **words)
{
	return dup2(open(words[0], O_RDONLY), 0) < 0;
}

/* A program with the connection as its input and output. */
static int on_connection(char **words)
{
	int fd = loop();

	if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
		err(1, "dup2");
	return become(words);
}

static int open_socket(char **words)
{
	int family = strcmp(words[0], "packet") == 0 ? AF_PACKET : strcmp(words[0], "unix") == 0 ? AF_UNIX : AF_INET;

	(void)!socket(family, family == AF_PACKET ? SOCK_RAW : SOCK_STREAM, 0);
	return 0;
}

static int call_unix(char **words)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(words[0]) >= sizeof(address.sun_path))
		errx(2, "the name is too long");
	strcpy(address.sun_path, words[0]);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "%s", words[0]);
	return 0;
}

/* --- processes and the kernel --------------------------------------------------------------------------------------------- */

static int enter(char **words)
{
	int fd = open(words[0], O_RDONLY | O_CLOEXEC);

	(void)!setns(fd, 0);
	return fd < 0;
}

static int leave(char **words)
{
	(void)!unshare(strcmp(words[0], "user") == 0 ? CLONE_NEWUSER : CLONE_FS);
	return 0;
}

static int use_bpf(char **words)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER}; /* it has no instructions: it is refused */

	if (strcmp(words[0], "load") == 0)
		(void)!syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program));
	else
		(void)!syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));
	return 0;
}

/* Four bytes are no module: it is refused, whoever asks. */
static int load_module(char **words)
{
	(void)words;
	return syscall(SYS_init_module, "none", 4, "") == 0;
}

static int trace(char **words)
{
	int status;
	pid_t child;

	if (strcmp(words[0], "me") == 0)
		return ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0;
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	if (ptrace(strcmp(words[0], "attach") == 0 ? PTRACE_ATTACH : PTRACE_CONT, child, NULL, NULL) == 0)
		waitpid(child, &status, __WALL);
	kill(child, SIGKILL);
	return 0;
}

/* The memory, or the environment, of a child: by its number. */
static int look_into(char **words)
{
	char path[64];
	pid_t child = fork();
	int fd;

	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", child, words[0]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	kill(child, SIGKILL);
	return fd < 0;
}

/* The bare call: libc's tells all threads by a signal. UID, then UID... */
static int change_user(char **words)
{
	for (; *words; words++)
		(void)!syscall(SYS_setuid, number(*words));
	return 0;
}

static int after(char **words);
static int in_folder(char **words);

static const struct verb {
	const char *name;
	int words; /* it needs at least */
	int (*run)(char **words);
} verbs[] = {
	{"as", 3, as},
	{"all", 1, all},
	{"spawn", 1, spawn},
	{"become", 1, become},
	{"copy", 2, copy},
	{"from-memory", 1, from_memory},
	{"by-descriptor", 1, by_descriptor},
	{"on-terminal", 1, on_terminal},
	{"open", 2, open_file},
	{"create", 2, create_file},
	{"empty", 1, empty_file},
	{"open-again", 2, open_again},
	{"open-below", 3, open_below},
	{"chmod", 2, change_mode},
	{"mkdir", 1, make_directory},
	{"unlink", 1, remove_file},
	{"rename", 2, move},
	{"link", 2, link_hard},
	{"symlink", 2, link_soft},
	{"by-handle", 1, by_handle},
	{"mount", 3, mount_there},
	{"move-mount", 2, move_mount_there},
	{"call", 2, call},
	{"call-by-name", 3, call_by_name},
	{"call-many", 3, call_many},
	{"call-datagram", 2, call_datagram},
	{"send", 2, send_datagram},
	{"as-descriptor", 1, as_descriptor},
	{"file-as-input", 1, file_as_input},
	{"on-connection", 1, on_connection},
	{"socket", 1, open_socket},
	{"call-unix", 1, call_unix},
	{"setns", 1, enter},
	{"unshare", 1, leave},
	{"bpf", 1, use_bpf},
	{"module", 0, load_module},
	{"ptrace", 1, trace},
	{"look-into", 1, look_into},
	{"setuid", 1, change_user},
	{"after", 1, after},
	{"in", 1, in_folder},
};

/* Any other words are some program's own: whoever is called like it has done its deed by being started. */
static int run(char **words)
{
	int count = 0;

	while (words[count])
		count++;
	for (size_t i = 0; count > 0 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(words[0], verbs[i].name) == 0 && count > verbs[i].words)
			return verbs[i].run(words + 1);
	return 0;
}

/* MILLISECONDS VERB ARGUMENT...: of the same process, when it is so old. */
static int after(char **words)
{
	usleep(1000 * (useconds_t)number(words[0]));
	return run(words + 1);
}

/* FOLDER VERB ARGUMENT...: of the same process, there. */
static int in_folder(char **words)
{
	if (chdir(words[0]))
		err(1, "%s", words[0]);
	return run(words + 1);
}

int main(int argc, char **argv)
{
	return argc > 1 ? run(argv + 1) : 0;
}
