/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "base/metric.h"

static const struct metric_spec one = {"things_total", METRIC_COUNTER, "Things\\of\nall kinds.", {0}};
static const struct metric_spec two = {"room_bytes", METRIC_GAUGE, "Room.", {"of", "at"}};
static struct buffer page;

static const char *text(void)
{
	buffer_append(&page, "", 1);
	return page.data;
}

Test(metric, a_family_is_its_help_its_type_and_its_samples)
{
	metric_one(&page, &one, UINT64_MAX);
	metric_begin(&page, &two);
	metric_count(&page, &two, (const char *const[]){"a", "b"}, 7);
	metric_number(&page, &two, (const char *const[]){"c", ""}, 0.25);
	cr_assert_str_eq(text(), "# HELP things_total Things\\\\of\\nall kinds.\n"
				 "# TYPE things_total counter\n"
				 "things_total 18446744073709551615\n"
				 "# HELP room_bytes Room.\n"
				 "# TYPE room_bytes gauge\n"
				 "room_bytes{of=\"a\",at=\"b\"} 7\n"
				 "room_bytes{of=\"c\",at=\"\"} 0.25\n");
}

Test(metric, strangers_words_stay_within_their_quotes)
{
	metric_count(&page, &two, (const char *const[]){"a\"} 1\nevil 2\\", "\xff\xc3\xbc\xe2\x82"}, 1);
	cr_assert_str_eq(text(), "room_bytes{of=\"a\\\"} 1\\nevil 2\\\\\",at=\"?\xc3\xbc??\"} 1\n");
}

Test(metric, times_keep_their_seconds)
{
	metric_number(&page, &one, NULL, 1795729442.25);
	cr_assert_str_eq(text(), "things_total 1795729442.25\n");
}
