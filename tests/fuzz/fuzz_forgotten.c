/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts that an operator wants forgotten, as DATA/forgotten names them: a file is refused with its name and line and stays as
 * it is, or it is taken, written with places, and the next start takes that for the same.
 */
#include "fuzz_folder.h"

#include <fcntl.h>
#include <string.h>

#include "collector/store.h"

static char path[80], file[160];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_folder_make();
	return fuzz_without_messages(argc, argv);
}

static bool is_unchanged(const uint8_t *bytes, size_t length)
{
	static uint8_t found[1 << 16];
	int fd = open(file, O_RDONLY);
	bool same = fd >= 0 && read(fd, found, sizeof(found)) == (ssize_t)length && memcmp(found, bytes, length) == 0;

	close(fd);
	return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct store_counters first, second;
	struct store *store;
	char why[300];
	int fd;

	if (length > 1 << 15)
		return 0;
	fuzz_folder_remove();
	snprintf(path, sizeof(path), "%s/data", fuzz_folder);
	snprintf(file, sizeof(file), "%s/forgotten", path);
	fuzz_expect(mkdir(fuzz_folder, 0700) == 0 && mkdir(path, 0700) == 0);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	fuzz_expect(fd >= 0);
	fuzz_put(fd, bytes, length);
	close(fd);
	if (store_open(&store, path, 0, why, sizeof(why)) != 0) {
		fuzz_expect(strstr(why, "/forgotten"));
		fuzz_expect(is_unchanged(bytes, length));
		return 0;
	}
	store_counters(store, &first);
	store_close(store);
	fuzz_expect(store_open(&store, path, 0, why, sizeof(why)) == 0);
	store_counters(store, &second);
	store_close(store);
	fuzz_expect(first.hosts_forgotten == second.hosts_forgotten);
	return 0;
}
