/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the bypass corpus share: a directory of their own, a program that needs nothing but the kernel (a
 * guest may have neither shell nor /bin/true), and children.
 */
#ifndef TAFFRAIL_TESTS_KERNEL_BYPASS_H
#define TAFFRAIL_TESTS_KERNEL_BYPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* init and fini of a suite: a directory below /tmp, and its end with all that is in it. */
void scratch_make(void);
void scratch_remove(void);
/* "<directory>/<name>" (the directory alone for ""): good until the 16th call after this one. */
const char *scratch(const char *name);

/* Writes the program, an ELF file that exits with 0, to a descriptor, or makes an executable file of it. 0 or -1. */
int program_write(int fd);
int program_make(const char *path);
/* Makes a file with this text. 0 or -1. */
int text_make(const char *path, const char *text, mode_t mode);

/* Runs `deed` in a child and waits for it. Its return value, or 128 + the signal that ended it. */
int in_child(int (*deed)(void *argument), void *argument);
/* The same for a child that is there. */
int child_end(pid_t child);

/* Memory that children share with the caller, zeroed. */
void *shared(size_t size);

/* Over a unix socket, to another process. 0 or -1; the descriptor or -1. */
int descriptor_send(int to, int fd);
int descriptor_receive(int from);

/* A deed that does one after the other; each has a child of its own. Stops at the first that fails: its number, from 1. */
struct way {
	const char *name;
	int (*run)(const char *name);
};
int run_ways(const struct way *ways);

/* The inode of a path as file.inode has it. */
const char *inode_text(const char *path);

#endif
