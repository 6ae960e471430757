/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static void expect(uint64_t unix_ns, const char *expected)
{
	char text[CLOCK_TEXT_SIZE];

	memset(text, '#', sizeof(text));
	clock_format(text, unix_ns);
	cr_assert_str_eq(text, expected);
}

Test(clock, times_are_written_as_rfc_3339_says)
{
	expect(0, "1970-01-01T00:00:00.000000000Z");
	expect(1, "1970-01-01T00:00:00.000000001Z");
	expect(1767323045123456789ull, "2026-01-02T03:04:05.123456789Z");
	expect(951782399999999999ull, "2000-02-28T23:59:59.999999999Z");
	expect(951782400000000000ull, "2000-02-29T00:00:00.000000000Z");
	expect(2147483648000000000ull, "2038-01-19T03:14:08.000000000Z");
	expect(UINT64_MAX, "2554-07-21T23:34:33.709551615Z");
}

Test(clock, one_second_in_many_parts_and_two_in_turn)
{
	/* The second is kept between calls: what comes after another one must not be its text. */
	for (int i = 0; i < 3; i++) {
		expect(59999999999ull, "1970-01-01T00:00:59.999999999Z");
		expect(60000000000ull, "1970-01-01T00:01:00.000000000Z");
		expect(60000000001ull, "1970-01-01T00:01:00.000000001Z");
	}
}

Test(clock, the_zone_of_the_machine_means_nothing)
{
	setenv("TZ", "America/New_York", 1);
	tzset();
	expect(1767323045000000000ull, "2026-01-02T03:04:05.000000000Z");
}

Test(clock, the_same_as_strftime_all_over_the_years)
{
	for (uint64_t second = 0; second < 18000000000ull; second += 86399ull * 7 + 11) {
		char expected[64], date[32];
		time_t time = (time_t)second;
		struct tm parts;

		gmtime_r(&time, &parts);
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
		snprintf(expected, sizeof(expected), "%s.%09" PRIu64 "Z", date, second % 1000000000);
		expect(second * 1000000000 + second % 1000000000, expected);
	}
}

Test(clock, boot_time_and_its_offset_make_unix_time)
{
	uint64_t boot = clock_boottime_ns(), now = clock_unix_ns(), told = clock_unix_offset_ns() + boot;
	uint64_t apart = told > now ? told - now : now - told;

	cr_assert_lt(apart, 1000000000ull, "%" PRIu64 " ns apart", apart);
	cr_assert_geq(clock_boottime_ns(), boot);
}
