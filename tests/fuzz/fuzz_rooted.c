/* SPDX-License-Identifier: Apache-2.0 */
/* A path below another root, as a runtime tells it of its state, in a tree of links that lead everywhere: none leads out. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rooted.h"

static char root[] = "/tmp/taffrail-fuzz-rooted-XXXXXX";
static bool held; /* by openat2: else links are this process's own */

static void remove_tree(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", root);
	fuzz_expect(system(command) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char command[600];
	int fd;

	(void)argc;
	(void)argv;
	fuzz_expect(mkdtemp(root));
	atexit(remove_tree);
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p a/b var && echo x >a/f && mkfifo a/p && ln -s /a var/a && ln -s /etc/passwd out && "
		"ln -s ../../../../../../etc up && ln -s . here && ln -s l m && ln -s m l && ln -s nowhere n && "
		"ln -s /proc/self/root magic",
		root);
	fuzz_expect(system(command) == 0);
	fd = rooted_open(root, "/up/passwd", 0);
	held = fd == -ENOENT;
	if (fd >= 0)
		close(fd);
	return 0;
}

/* What was opened is in the tree. */
static void expect_inside(int fd)
{
	char link[64], whole[PATH_MAX];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, whole, sizeof(whole));
	fuzz_expect(!held || (length >= (ssize_t)strlen(root) && memcmp(whole, root, strlen(root)) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char path[2 * PATH_MAX] = "/", whole[PATH_MAX], *read;
	size_t size;
	int fd;

	if (length >= sizeof(path) - 1)
		return 0;
	memcpy(path + 1, bytes, length);
	fd = rooted_open(root, path, length % 2 ? O_DIRECTORY : 0);
	if (fd >= 0) {
		expect_inside(fd);
		close(fd);
	}
	if (rooted_read(root, path, 64, &read, &size) == 0) {
		fuzz_expect(size <= 64 && (!held || (size == 2 && memcmp(read, "x\n", 2) == 0)));
		free(read);
	}
	if (rooted_resolve(root, path, whole) == 0)
		fuzz_expect(!held || strncmp(whole, root, strlen(root)) == 0);
	return 0;
}
