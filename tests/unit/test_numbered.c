/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that grow, and the files that are named by one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbered.h"

Test(numbered, a_name_is_its_number_in_sixteen_digits)
{
	char name[NUMBERED_NAME_SIZE];
	uint64_t number = 0;

	numbered_name(name, 42, ".seg");
	cr_assert_str_eq(name, "0000000000000042.seg");
	cr_assert(numbered_parse(name, ".seg", &number) && number == 42);
	numbered_name(name, 9999999999999999, ".damaged");
	cr_assert_str_eq(name, "9999999999999999.damaged");
	cr_assert(numbered_parse(name, ".damaged", &number) && number == 9999999999999999);
	numbered_name(name, UINT64_MAX, ".new");
	cr_assert_str_eq(name, "6744073709551615.new");
}

Test(numbered, what_is_no_such_name_is_none)
{
	static const char *const others[] = {"", ".seg", "1.seg", "000000000000042.seg", "00000000000000042.seg",
		"0000000000000042", "0000000000000042.se", "0000000000000042.seg2", "0000000000000042.spool",
		"000000000000004x.seg", " 000000000000042.seg", "-000000000000042.seg", "0000000000000000.seg"};
	uint64_t number;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_not(numbered_parse(others[i], ".seg", &number), "%s", others[i]);
}

static void make(int directory, const char *name)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	close(fd);
}

Test(numbered, a_directory_is_listed_in_order_and_again)
{
	char path[] = "/tmp/taffrail-numbered-XXXXXX", name[NUMBERED_NAME_SIZE];
	struct numbers numbers = {0};
	int directory;

	cr_assert_not_null(mkdtemp(path));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(directory, 0);
	for (uint64_t i = 0; i < 200; i++) {
		numbered_name(name, 1 + i * 77 % 200, ".seg");
		make(directory, name);
	}
	make(directory, "0000000000000007.new");
	make(directory, "other");
	for (int round = 0; round < 2; round++) {
		numbers_free(&numbers);
		cr_assert_eq(numbered_list(directory, ".seg", &numbers), 0);
		cr_assert_eq(numbers.count, 200);
		for (size_t i = 0; i < 200; i++)
			cr_assert_eq(numbers.items[i], i + 1);
	}
	cr_assert_eq(numbered_list(-1, ".seg", &numbers), -EBADF);
	cr_assert_eq(numbers.count, 200);
	numbers_free(&numbers);
	for (size_t i = 1; i <= 200; i++) {
		numbered_name(name, i, ".seg");
		cr_assert_eq(unlinkat(directory, name, 0), 0);
	}
	cr_assert_eq(unlinkat(directory, "0000000000000007.new", 0), 0);
	cr_assert_eq(unlinkat(directory, "other", 0), 0);
	close(directory);
	cr_assert_eq(rmdir(path), 0);
}

Test(numbers, what_was_added_is_found_when_it_is_sorted)
{
	struct numbers numbers = {0};

	numbers_sort(&numbers);
	cr_assert_not(numbers_have(&numbers, 0));
	for (uint64_t i = 0; i < 1000; i++)
		cr_assert_eq(numbers_add(&numbers, (i * 7919 % 1000) * 3 + (UINT64_MAX - 3000)), 0);
	numbers_sort(&numbers);
	for (uint64_t i = 0; i < 3000; i++)
		cr_assert_eq(numbers_have(&numbers, UINT64_MAX - 3000 + i), i % 3 == 0);
	numbers_free(&numbers);
	cr_assert(numbers.count == 0 && !numbers.items);
}
