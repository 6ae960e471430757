/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include <string.h>
#include <strings.h>

/* The next line, without its end; a bare line feed ends one too (RFC 9112, 2.2). False: it has not all come. */
static bool next_line(struct text *bytes, struct text *line)
{
	if (!bytes->length || !memchr(bytes->data, '\n', bytes->length))
		return false;
	*line = text_next(bytes, '\n');
	if (line->length && line->data[line->length - 1] == '\r')
		line->length--;
	return true;
}

/* Tabs aside nothing below a blank, no DEL, no NUL: such a head is somebody's trick. */
static bool is_clean(struct text line)
{
	for (size_t i = 0; i < line.length; i++) {
		unsigned char byte = (unsigned char)line.data[i];

		if ((byte < ' ' && byte != '\t') || byte == 127)
			return false;
	}
	return true;
}

static int read_first(struct http_request *request, struct text line)
{
	struct text method = text_next(&line, ' '), target = text_next(&line, ' ');

	if (method.length == 0 || target.length == 0 || target.data[0] != '/' ||
		!text_starts_with(line, TEXT_LITERAL("HTTP/")))
		return 400;
	if (!text_equal(line, TEXT_LITERAL("HTTP/1.1")) && !text_equal(line, TEXT_LITERAL("HTTP/1.0")))
		return 505;
	request->head = text_equal(method, TEXT_LITERAL("HEAD"));
	if (!request->head && !text_equal(method, TEXT_LITERAL("GET")))
		return 405;
	request->path = text_next(&target, '?');
	return 200;
}

static bool is_name(struct text name, const char *of)
{
	return name.length == strlen(of) && strncasecmp(name.data, of, name.length) == 0;
}

/* A field without its name, or one that goes on from the line before (RFC 9112, 5.2), is refused. */
static int read_field(struct text line)
{
	const char *colon = memchr(line.data, ':', line.length);
	struct text name = text_head(line, colon ? (size_t)(colon - line.data) : 0), value;

	if (name.length == 0 || memchr(name.data, ' ', name.length) || memchr(name.data, '\t', name.length))
		return 400;
	value = text_tail(line, name.length + 1);
	if (is_name(name, "Transfer-Encoding"))
		return 413;
	if (!is_name(name, "Content-Length"))
		return 200;
	while (value.length && (value.data[0] == ' ' || value.data[0] == '\t' || value.data[0] == '0'))
		value = text_tail(value, 1);
	return value.length ? 413 : 200;
}

int http_request_read(struct http_request *request, struct text bytes)
{
	bool too_long = bytes.length > HTTP_HEAD_MAX, begun = false;
	int status = 200, field;
	struct text line;

	if (too_long)
		bytes = text_head(bytes, HTTP_HEAD_MAX);
	while (next_line(&bytes, &line)) {
		if (!begun && line.length == 0)
			continue; /* RFC 9112, 2.2 */
		if (line.length == 0)
			return status;
		field = !is_clean(line) ? 400 : begun ? read_field(line) : read_first(request, line);
		if (status == 200)
			status = field;
		begun = true;
	}
	return too_long ? 431 : 0;
}
