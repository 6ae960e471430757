/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/users.h"

#include <stdlib.h>

#include "base/rooted.h"

enum { DIGITS_MAX = 10 };

/* The number that `text` is, in decimal digits; UINT64_MAX: it is none. */
static uint64_t number_of(struct text text)
{
	uint64_t number = 0;

	if (text.length == 0 || text.length > DIGITS_MAX)
		return UINT64_MAX;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return UINT64_MAX;
		number = 10 * number + (uint64_t)(text.data[i] - '0');
	}
	return number;
}

void users_parse(struct text file, struct buffer *list)
{
	while (file.length > 0) {
		struct text line = text_next(&file, '\n');
		struct text name = text_next(&line, ':'), password = text_next(&line, ':'), id = text_next(&line, ':');

		(void)password;
		if (name.length == 0 || number_of(id) > UINT32_MAX)
			continue;
		if (list->length + id.length + name.length + 2 > USERS_LIST_MAX)
			return;
		buffer_append(list, id.data, id.length);
		buffer_append(list, ":", 1);
		buffer_append(list, name.data, name.length);
		buffer_append(list, "\n", 1);
	}
}

static void read_one(const char *root, const char *path, struct buffer *list)
{
	size_t length;
	char *bytes;

	buffer_clear(list);
	if (rooted_read(root, path, USERS_FILE_MAX, &bytes, &length) < 0)
		return;
	users_parse((struct text){bytes, length}, list);
	free(bytes);
}

void users_read(const char *root, struct buffer *users, struct buffer *groups)
{
	read_one(root, "/etc/passwd", users);
	read_one(root, "/etc/group", groups);
}

struct text users_find(struct text list, uint32_t id)
{
	while (list.length > 0) {
		struct text line = text_next(&list, '\n');

		if (number_of(text_next(&line, ':')) == id)
			return line;
	}
	return (struct text){0};
}
