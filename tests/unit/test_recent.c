/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "base/recent.h"

enum { LIMIT = 100 };

Test(recent, the_oldest_makes_room_for_the_newest)
{
	struct recent *recent;

	cr_assert_eq(recent_open(&recent, sizeof(int), sizeof(long), LIMIT), 0);
	for (int key = 0; key < 3 * LIMIT; key++) {
		long *value;

		cr_assert_null(recent_find(recent, &key));
		value = recent_add(recent, &key);
		cr_assert_not_null(value);
		cr_assert_eq(*value, 0);
		*value = 10L * key;
	}
	for (int key = 0; key < 3 * LIMIT; key++) {
		const long *value = recent_find(recent, &key);

		if (key < 2 * LIMIT)
			cr_assert_null(value, "%d is still there", key);
		else
			cr_assert(value && *value == 10L * key, "%d is not as it was", key);
	}
	recent_close(recent);
}

Test(recent, keys_alone)
{
	struct recent *recent;

	cr_assert_eq(recent_open(&recent, 3, 0, 1), 0);
	cr_assert_null(recent_find(recent, "abc"));
	cr_assert_not_null(recent_add(recent, "abc"));
	cr_assert_not_null(recent_find(recent, "abc"));
	cr_assert_not_null(recent_add(recent, "abd"));
	cr_assert_null(recent_find(recent, "abc"));
	cr_assert_not_null(recent_find(recent, "abd"));
	recent_close(recent);
	recent_close(NULL);
}
