/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "sensor/nested.h"

static struct kernel_nested nested(uint64_t cgroup_id, uint8_t container, uint8_t inner, uint8_t flags)
{
	struct kernel_nested record = {.header = {.kind = KERNEL_NESTED, .flags = flags, .cgroup_id = cgroup_id}};

	record.header.marks = KERNEL_IN_NESTED;
	record.header.container_id[0] = container;
	record.inner_id[0] = inner;
	return record;
}

static void note(struct nested_table *table, uint64_t cgroup_id, uint8_t container, uint8_t inner, uint8_t flags)
{
	struct kernel_nested bytes = nested(cgroup_id, container, inner, flags);
	struct record record = {.nested = &bytes};

	nested_note(table, &record);
}

/* The first byte of what is found; 0: nothing. */
static uint8_t find(const struct nested_table *table, uint64_t cgroup_id, uint8_t container, uint8_t flags)
{
	struct kernel_nested bytes = nested(cgroup_id, container, 0, flags);
	struct record record = {.nested = &bytes};
	const uint8_t *inner = nested_find(table, &record);

	return inner ? *inner : 0;
}

Test(nested, a_cgroup_is_known_by_its_id_with_the_generation)
{
	const uint64_t number = 4711, generation = 1ull << 32;
	struct nested_table *table;

	cr_assert_eq(nested_open(&table), 0);
	note(table, number, 1, 11, 0);
	cr_assert_eq(find(table, number, 1, 0), 11);
	/* The number comes back for another cgroup, in another container, then inside none. */
	cr_assert_eq(find(table, number | generation, 2, 0), 0);
	note(table, number | generation, 2, 12, 0);
	cr_assert_eq(find(table, number | generation, 2, 0), 12);
	cr_assert_eq(find(table, number, 1, 0), 11);
	/* Hierarchies of v1 number for themselves. */
	cr_assert_eq(find(table, number, 1, KERNEL_CGROUP_V1), 0);
	note(table, number, 3, 13, KERNEL_CGROUP_V1);
	cr_assert_eq(find(table, number, 3, KERNEL_CGROUP_V1), 13);
	cr_assert_eq(find(table, number, 1, KERNEL_CGROUP_V1), 0, "of another container");
	nested_close(table);
}

Test(nested, what_is_not_marked_is_not_looked_for)
{
	struct kernel_header header = {.kind = KERNEL_OPEN, .cgroup_id = 7};
	struct record record = {.header = &header};
	struct nested_table *table;

	cr_assert_eq(nested_open(&table), 0);
	note(table, 7, 0, 1, 0);
	cr_assert_null(nested_find(table, &record));
	header.marks = KERNEL_IN_NESTED;
	cr_assert_not_null(nested_find(table, &record));
	nested_close(table);
}

Test(nested, so_many_and_the_oldest_goes)
{
	struct nested_table *table;

	cr_assert_eq(nested_open(&table), 0);
	for (uint64_t i = 1; i <= NESTED_MAX + 1; i++)
		note(table, i, 1, 1, 0);
	cr_assert_eq(find(table, 1, 1, 0), 0);
	cr_assert_eq(find(table, 2, 1, 0), 1);
	cr_assert_eq(find(table, NESTED_MAX + 1, 1, 0), 1);
	nested_close(table);
}
