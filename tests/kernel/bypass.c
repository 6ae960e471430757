/* SPDX-License-Identifier: Apache-2.0 */
#include "bypass.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/taffrail-bypass-XXXXXX";
static bool made;

/* --- the directory ---------------------------------------------------------------------------------------------------- */

void scratch_make(void)
{
	cr_assert_not_null(mkdtemp(directory));
	made = true;
	atexit(scratch_remove); /* fini does not come after a failure */
	cr_assert_eq(chmod(directory, 0755), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

void scratch_remove(void)
{
	if (!made)
		return;
	made = false;
	if (nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

const char *scratch(const char *name)
{
	static char paths[16][320];
	static unsigned int next;
	char *path = paths[next++ % 16];

	snprintf(path, sizeof(paths[0]), "%s%s%s", directory, *name ? "/" : "", name);
	return path;
}

const char *inode_text(const char *path)
{
	static char text[32];
	struct stat status;

	cr_assert_eq(stat(path, &status), 0, "%s", path);
	snprintf(text, sizeof(text), "%lu", (unsigned long)status.st_ino);
	return text;
}

/* --- the program ------------------------------------------------------------------------------------------------------ */

/* exit(0) */
#if defined(__x86_64__)
static const unsigned char code[] = {0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05};
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
static const unsigned int code[] = {0xd2800000, 0xd2800ba8, 0xd4000001};
enum { MACHINE = EM_AARCH64 };
#endif

enum { LOAD_ADDRESS = 0x400000 };

int program_write(int fd)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		unsigned char code[sizeof(code)];
	} file = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_EXEC,
			.e_machine = MACHINE,
			.e_version = EV_CURRENT,
			.e_entry = LOAD_ADDRESS + offsetof(typeof(file), code),
			.e_phoff = offsetof(typeof(file), segment),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1},
		.segment = {.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = LOAD_ADDRESS,
			.p_filesz = sizeof(file),
			.p_memsz = sizeof(file),
			.p_align = 4096},
	};

	memcpy(file.code, code, sizeof(code));
	return write(fd, &file, sizeof(file)) == sizeof(file) ? 0 : -1;
}

int program_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	int result = fd < 0 ? -1 : program_write(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

int text_make(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	ssize_t length = (ssize_t)strlen(text), written = fd < 0 ? -1 : write(fd, text, (size_t)length);

	if (fd >= 0)
		close(fd);
	return written == length ? 0 : -1;
}

/* --- children --------------------------------------------------------------------------------------------------------- */

int child_end(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, __WALL) != child)
		return 255;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int in_child(int (*deed)(void *argument), void *argument)
{
	pid_t child = fork();

	if (child == 0)
		_exit(deed(argument));
	return child_end(child);
}

void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(memory, MAP_FAILED);
	return memory;
}

int run_ways(const struct way *ways)
{
	for (int i = 0; ways[i].name; i++) {
		pid_t child = fork();
		int result;

		if (child == 0)
			_exit(ways[i].run(ways[i].name));
		result = child_end(child);
		if (result != 0) {
			fprintf(stderr, "%s: ended with %d\n", ways[i].name, result);
			return i + 1;
		}
	}
	return 0;
}

/* --- descriptors ------------------------------------------------------------------------------------------------------ */

int descriptor_send(int to, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = "";
	struct iovec bytes = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);

	*control =
		(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	return sendmsg(to, &message, 0) == 1 ? 0 : -1;
}

int descriptor_receive(int from)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec bytes = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	int fd = -1;

	if (recvmsg(from, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}
