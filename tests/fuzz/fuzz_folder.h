/* SPDX-License-Identifier: Apache-2.0 */
/* A folder in memory for the targets whose bytes lie in a directory's files; it is gone when the target ends. */
#ifndef TAFFRAIL_FUZZ_FOLDER_H
#define TAFFRAIL_FUZZ_FOLDER_H

#include "fuzz.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char fuzz_folder[] = "/dev/shm/taffrail-fuzz-XXXXXX";

static inline int fuzz_remove_one(const char *name, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(name);
}

static inline void fuzz_folder_remove(void)
{
	(void)nftw(fuzz_folder, fuzz_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* For LLVMFuzzerInitialize. */
static inline void fuzz_folder_make(void)
{
	fuzz_expect(mkdtemp(fuzz_folder));
	atexit(fuzz_folder_remove);
}

static inline void fuzz_put(int fd, const void *bytes, size_t length)
{
	fuzz_expect(write(fd, bytes, length) == (ssize_t)length);
}

#endif
