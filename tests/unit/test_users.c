/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sensor/users.h"

#define EXPECT(list, id, name)                                                                                         \
	cr_assert(text_equal(users_find((struct text){(list).data, (list).length}, id), TEXT_LITERAL(name)),           \
		"%u is not '%s'", (unsigned int)(id), name)

Test(users, lines_of_passwd)
{
	struct buffer list = {0};

	users_parse(TEXT_LITERAL("root:x:0:0:root:/root:/bin/sh\n"
				 "toor:x:0:0::/:\n" /* the first of a number counts */
				 "www-data:x:33:33:www:/var/www:/usr/sbin/nologin\n"
				 "\n"
				 "nobody\n"
				 ":x:7:7::/:\n"
				 "minus:x:-1:1::/:\n"
				 "large:x:4294967296:1::/:\n"
				 "last:x:4294967294:1"),
		&list);
	EXPECT(list, 0, "root");
	EXPECT(list, 33, "www-data");
	EXPECT(list, 4294967294u, "last");
	EXPECT(list, 7, "");
	EXPECT(list, 1, "");
	EXPECT(list, UINT32_MAX, "");
	buffer_free(&list);
}

Test(users, a_long_file_is_cut_behind_a_line)
{
	struct buffer file = {0}, list = {0};
	char line[64];

	for (int i = 0; i < 10000; i++) {
		snprintf(line, sizeof(line), "user-%d:x:%d:1::/:\n", i, i);
		buffer_append(&file, line, strlen(line));
	}
	users_parse((struct text){file.data, file.length}, &list);
	cr_assert_leq(list.length, USERS_LIST_MAX);
	cr_assert_eq(list.data[list.length - 1], '\n');
	EXPECT(list, 1000, "user-1000");
	EXPECT(list, 9999, "");
	buffer_free(&file);
	buffer_free(&list);
}

Test(users, files_of_a_container_lead_nowhere_else)
{
	char root[] = "/tmp/taffrail-users-XXXXXX", path[100], command[100];
	struct buffer users = {0}, groups = {0};
	FILE *file;

	cr_assert_not_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/etc", root);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/etc/group", root);
	cr_assert_eq(symlink("/etc/group", path), 0);
	snprintf(path, sizeof(path), "%s/etc/passwd", root);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs("own:x:7:7::/:\n", file);
	fclose(file);
	users_read(root, &users, &groups);
	EXPECT(users, 7, "own");
	cr_assert_eq(groups.length, 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	users_read(root, &users, &groups);
	cr_assert_eq(users.length, 0, "nobody waits for who writes into a pipe");
	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
	buffer_free(&users);
	buffer_free(&groups);
}
