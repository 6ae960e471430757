/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static const uint64_t second_ns = 1000ull * 1000 * 1000;

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

uint64_t clock_boottime_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_unix_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_unix_offset_ns(void)
{
	uint64_t best = UINT64_MAX, offset = 0;

	/* Between the two readings the thread may be held up: the pair that was read fastest is the truest. */
	for (int i = 0; i < 4; i++) {
		uint64_t before = read_clock(CLOCK_BOOTTIME);
		uint64_t unix_ns = read_clock(CLOCK_REALTIME);
		uint64_t took = read_clock(CLOCK_BOOTTIME) - before;

		if (took < best) {
			best = took;
			offset = unix_ns - before - took / 2;
		}
	}
	return offset;
}

static void put_digits(char *to, unsigned int value, int digits)
{
	while (digits-- > 0) {
		to[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

void clock_format(char text[CLOCK_TEXT_SIZE], uint64_t unix_ns)
{
	static _Thread_local time_t cached_second = -1;
	static _Thread_local char cached[20];
	time_t second = (time_t)(unix_ns / second_ns);

	if (second != cached_second) {
		struct tm parts;

		gmtime_r(&second, &parts);
		memcpy(cached, "0000-00-00T00:00:00", 20);
		put_digits(cached, (unsigned int)parts.tm_year + 1900, 4);
		put_digits(cached + 5, (unsigned int)parts.tm_mon + 1, 2);
		put_digits(cached + 8, (unsigned int)parts.tm_mday, 2);
		put_digits(cached + 11, (unsigned int)parts.tm_hour, 2);
		put_digits(cached + 14, (unsigned int)parts.tm_min, 2);
		put_digits(cached + 17, (unsigned int)parts.tm_sec, 2);
		cached_second = second;
	}
	memcpy(text, cached, 19);
	text[19] = '.';
	put_digits(text + 20, (unsigned int)(unix_ns % second_ns), 9);
	memcpy(text + 29, "Z", 2);
}
