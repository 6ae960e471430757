/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones, from the system's files (RFC 8536): reading TZ would be of the whole process. */
#include <errno.h>
#include <stdio.h>

#include "detect/window.h"

enum { FILE_MAX = 128 * 1024, HEADER_SIZE = 44, TRANSITIONS_MAX = 4096 };

static int64_t number_at(const unsigned char *bytes, size_t size)
{
	uint64_t number = bytes[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++)
		number = number << 8 | bytes[i];
	return (int64_t)number;
}

static int take_offset(struct arena *arena, struct window_zone *zone, int64_t transition, int32_t offset)
{
	size_t count = zone->count;
	int64_t *time = arena_append(arena, &zone->transitions, &count, sizeof(*time));
	int32_t *slot = arena_append(arena, &zone->offsets, &zone->count, sizeof(*slot));

	if (!time || !slot)
		return -ENOMEM;
	*time = transition;
	*slot = offset;
	return 0;
}

/* The parts of a header: how many of each kind follow. */
struct parts {
	size_t universal, standard, leaps, times, types, letters;
};

static bool read_header(const unsigned char *bytes, size_t length, struct parts *parts)
{
	size_t *const fields[] = {
		&parts->universal, &parts->standard, &parts->leaps, &parts->times, &parts->types, &parts->letters};

	if (length < HEADER_SIZE || memcmp(bytes, "TZif", 4) != 0)
		return false;
	for (size_t i = 0; i < 6; i++) {
		*fields[i] = (size_t)(number_at(bytes + 20 + 4 * i, 4) & 0xffffffff);
		if (*fields[i] > FILE_MAX)
			return false;
	}
	return true;
}

static int read_data(
	struct arena *arena, const unsigned char *bytes, size_t length, size_t time_size, struct window_zone *zone)
{
	struct parts parts;
	const unsigned char *times = bytes + HEADER_SIZE, *indices, *types;
	int error = 0;

	if (!read_header(bytes, length, &parts) || parts.types == 0 || parts.times > TRANSITIONS_MAX ||
		HEADER_SIZE + parts.times * (time_size + 1) + parts.types * 6 > length)
		return -ENOENT;
	indices = times + parts.times * time_size;
	types = indices + parts.times;
	if (parts.times == 0)
		return take_offset(arena, zone, INT64_MIN, (int32_t)number_at(types, 4));
	for (size_t i = 0; i < parts.times && !error; i++) {
		if (indices[i] >= parts.types)
			return -ENOENT;
		error = take_offset(arena, zone, number_at(times + i * time_size, time_size),
			(int32_t)number_at(types + (size_t)indices[i] * 6, 4));
	}
	return error;
}

static int read_file(struct arena *arena, struct text name, struct window_zone *zone)
{
	unsigned char *bytes = arena_take(arena, FILE_MAX);
	char path[256];
	struct parts parts;
	size_t length, first;
	FILE *file;

	if (!bytes)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%.*s", (int)name.length, name.data);
	file = fopen(path, "re");
	length = file ? fread(bytes, 1, FILE_MAX, file) : 0;
	if (file)
		fclose(file);
	if (!read_header(bytes, length, &parts))
		return -ENOENT;
	if (bytes[4] < '2')
		return read_data(arena, bytes, length, 4, zone);
	/* Behind the data of 32 bits, which old readers take, comes the same with times of 64. */
	first = HEADER_SIZE + parts.times * 5 + parts.types * 6 + parts.letters + parts.leaps * 8 + parts.standard +
		parts.universal;
	return first < length ? read_data(arena, bytes + first, length - first, 8, zone) : -ENOENT;
}

int window_zone_read(struct arena *arena, struct text name, struct window_zone *zone)
{
	char words[64];
	const char *at = words + 1;
	uint32_t hours, minutes;
	int32_t seconds;

	if (name.length == 0 || name.length >= sizeof(words))
		return -ENOENT;
	memcpy(words, name.data, name.length);
	words[name.length] = '\0';
	if (strcmp(words, "UTC") == 0)
		return take_offset(arena, zone, INT64_MIN, 0);
	if (words[0] == '+' || words[0] == '-') {
		if (!document_take_number(&at, &hours) || *at++ != ':' || !document_take_number(&at, &minutes) || *at ||
			hours > 14 || minutes > 59)
			return -ENOENT;
		seconds = (int32_t)(hours * 3600 + minutes * 60);
		return take_offset(arena, zone, INT64_MIN, words[0] == '-' ? -seconds : seconds);
	}
	if (words[0] == '/' || strstr(words, "..") ||
		strspn(words, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") != name.length)
		return -ENOENT;
	return read_file(arena, name, zone);
}

static int32_t offset_at(const struct window_zone *zone, int64_t second)
{
	size_t low = 0, high = zone->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (zone->transitions[middle] <= second)
			low = middle + 1;
		else
			high = middle;
	}
	return zone->offsets[low > 0 ? low - 1 : 0];
}

bool window_is_outside(const struct window_hours *hours, uint64_t time_ns)
{
	int64_t second = (int64_t)(time_ns / 1000000000u), local = second + offset_at(&hours->zone, second);
	uint32_t minute = (uint32_t)(local % 86400 / 60);
	unsigned int day = (unsigned int)((local / 86400 + 4) % 7); /* the first of 1970 was a Thursday */
	bool inside = hours->from <= hours->to ? minute >= hours->from && minute < hours->to
					       : minute >= hours->from || minute < hours->to;

	return !(inside && hours->days >> day & 1);
}
