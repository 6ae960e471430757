/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-read FOLDER [findings] < DOCUMENTS: what came of bench-load, as one line of JSON: how many of its execs, how many
 * twice, how long after their own time they arrived (or what the rule Bench found of them), how many opens of FOLDER's files, and
 * how many records were declared lost.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXECS_MAX = 65536, ROOM = 1 << 20 };

static uint8_t seen[EXECS_MAX];
static uint32_t delays_us[EXECS_MAX];
static size_t execs, twice;
static unsigned long long opens, lost;

static const uint64_t day_ns = 86400ull * 1000000000ull;

static uint64_t day_now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return ((uint64_t)time.tv_sec % 86400) * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The time of day of {"@timestamp":"2026-01-02T03:04:05.123456789Z", … */
static uint64_t day_of_ns(const char *line)
{
	unsigned int hour = 0, minute = 0, second = 0, ns = 0;

	if (sscanf(line, "{\"@timestamp\":\"%*10cT%2u:%2u:%2u.%9uZ", &hour, &minute, &second, &ns) != 4)
		return 0;
	return (hour * 3600ull + minute * 60ull + second) * 1000000000ull + ns;
}

static unsigned long long number_behind(const char *line, const char *key, unsigned long long usual)
{
	const char *at = strstr(line, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : usual;
}

static void take(const char *line, const char *folder, bool findings, uint64_t arrived_ns)
{
	if (strstr(line, "\"action\":\"exec\"")) {
		bool alert = strstr(line, "\"kind\":\"alert\""), finding = alert && strstr(line, "\"Bench\"");
		const char *nonce = strstr(line, "taffrail-nonce-");
		unsigned long number = nonce ? strtoul(nonce + strlen("taffrail-nonce-"), NULL, 10) : EXECS_MAX;

		if (number >= EXECS_MAX || (findings ? !finding : alert))
			return;
		if (seen[number]++) {
			twice++;
			return;
		}
		delays_us[execs++] = (uint32_t)((arrived_ns + day_ns - day_of_ns(line)) % day_ns / 1000);
	} else if (strstr(line, "\"action\":\"open\"") && strstr(line, folder)) {
		opens += number_behind(line, "\"taffrail\":{\"count\":", number_behind(line, "\"count\":", 1));
	} else if (strstr(line, "\"action\":\"events_lost\"")) {
		lost += number_behind(line, "\"lost\":{\"count\":", 0);
	}
}

static int compare(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b);
}

int main(int argc, char **argv)
{
	static char room[ROOM + 1];
	size_t length = 0;
	ssize_t got;

	if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "findings") != 0))
		return 2;
	while ((got = read(STDIN_FILENO, room + length, ROOM - length)) > 0) {
		uint64_t arrived_ns = day_now_ns();
		char *line = room, *end;

		length += (size_t)got;
		room[length] = '\0';
		while ((end = memchr(line, '\n', length - (size_t)(line - room)))) {
			*end = '\0';
			take(line, argv[1], argc == 3, arrived_ns);
			line = end + 1;
		}
		length -= (size_t)(line - room);
		memmove(room, line, length);
		if (length == ROOM) /* a line that is longer: of no account here */
			length = 0;
	}
	qsort(delays_us, execs, sizeof(delays_us[0]), compare);
	printf("{\"execs\":%zu,\"twice\":%zu,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"opens\":%llu,\"lost\":%llu}\n",
		execs, twice, execs ? delays_us[execs / 2] : 0, execs ? delays_us[execs * 99 / 100] : 0,
		execs ? delays_us[execs - 1] : 0, opens, lost);
	return 0;
}
