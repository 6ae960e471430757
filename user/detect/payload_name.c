/* SPDX-License-Identifier: Apache-2.0 */
/* Names in DNS messages and in TLS's first one. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "detect/payload.h"

enum {
	DNS_HEADER = 12,
	DNS_POINTERS_MAX = 16, /* each leads backwards; a name of 127 labels needs no more than its labels */
	DNS_TYPE_A = 1,
	DNS_TYPE_AAAA = 28,
	DNS_CLASS_IN = 1,
	TLS_EXTENSION_NAME = 0,
};

/* A reader that never goes past its end: what is not there is 0, and `short_of` says so. */
struct reader {
	const uint8_t *bytes;
	size_t length, at;
	bool short_of;
};

static bool reader_has(struct reader *reader, size_t count)
{
	if (count <= reader->length - reader->at)
		return true;
	reader->short_of = true;
	reader->at = reader->length;
	return false;
}

static uint8_t read_u8(struct reader *reader)
{
	return reader_has(reader, 1) ? reader->bytes[reader->at++] : 0;
}

static uint16_t read_u16(struct reader *reader)
{
	if (!reader_has(reader, 2))
		return 0;
	reader->at += 2;
	return payload_u16(reader->bytes + reader->at - 2);
}

static void skip(struct reader *reader, size_t count)
{
	if (reader_has(reader, count))
		reader->at += count;
}

static bool name_add(struct payload_name *name, const uint8_t *bytes, size_t length)
{
	if (length > PAYLOAD_NAME_MAX - name->length)
		return false;
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = bytes[i];

		if (byte >= 'A' && byte <= 'Z')
			byte = (uint8_t)(byte + 'a' - 'A');
		name->text[name->length++] = byte > ' ' && byte < 127 ? (char)byte : '?';
	}
	name->text[name->length] = '\0';
	return true;
}

/* --- DNS ------------------------------------------------------------------------------------------------------------------ */

/*
 * A name from `reader` on, which is then behind it (RFC 1035, 4.1.4). A pointer must lead to before the name, or the part of
 * it, that it ends: so it ends. False if it is none; a name that the bytes end in is `short_of`.
 */
static bool read_name(struct reader *reader, struct payload_name *name)
{
	size_t at = reader->at, before = at;
	bool jumped = false;

	*name = (struct payload_name){0};
	for (int pointers = 0;;) {
		struct reader part = {reader->bytes, reader->length, at, false};
		uint8_t length = read_u8(&part);

		if (length > 63 && length < 0xc0)
			return false;
		if (part.short_of || (length < 0xc0 && length > part.length - part.at)) {
			reader->short_of = true;
			reader->at = reader->length;
			return true;
		}
		if (length >= 0xc0) {
			size_t to = (size_t)(length & 0x3f) << 8 | read_u8(&part);

			if (!jumped)
				reader->at = part.at;
			jumped = true;
			if (part.short_of || to >= before || ++pointers > DNS_POINTERS_MAX)
				return part.short_of;
			at = before = to;
			continue;
		}
		if (length == 0) {
			if (!jumped)
				reader->at = part.at;
			return true;
		}
		if ((name->length && !name_add(name, (const uint8_t *)".", 1)) ||
			!name_add(name, part.bytes + part.at, length))
			return false;
		at = part.at + length;
	}
}

static void read_answers(struct reader *reader, size_t count, struct payload_dns *dns)
{
	struct payload_name owner;

	for (size_t i = 0; i < count && !reader->short_of; i++) {
		uint16_t type, class, length;

		if (!read_name(reader, &owner))
			break;
		type = read_u16(reader);
		class = read_u16(reader) & 0x7fff; /* mDNS has a flag in it (RFC 6762, 10.2) */
		skip(reader, 4);
		length = read_u16(reader);
		if (!reader_has(reader, length))
			break;
		if (class == DNS_CLASS_IN &&
			((type == DNS_TYPE_A && length == 4) || (type == DNS_TYPE_AAAA && length == 16))) {
			struct event_address *address = &dns->addresses[dns->address_count];

			if (dns->address_count == PAYLOAD_ANSWERS_MAX) {
				dns->cut = true;
				return;
			}
			*address = (struct event_address){.family = length == 4 ? AF_INET : AF_INET6};
			memcpy(address->bytes, reader->bytes + reader->at, length);
			dns->address_count++;
		}
		reader->at += length;
	}
	dns->cut = dns->cut || reader->short_of;
}

bool payload_dns_read(const struct payload *payload, struct payload_dns *dns)
{
	struct reader reader = {payload->bytes, payload->length, 0, false};
	uint16_t flags, questions, answers;

	*dns = (struct payload_dns){0};
	if (payload->transport == IPPROTO_TCP) {
		if (payload->length < 2 || payload_u16(payload->bytes) < DNS_HEADER)
			return false;
		reader.bytes += 2;
		reader.length -= 2;
		if (payload_u16(payload->bytes) < reader.length)
			reader.length = payload_u16(payload->bytes);
	}
	if (reader.length < DNS_HEADER)
		return false;
	dns->id = read_u16(&reader);
	flags = read_u16(&reader);
	questions = read_u16(&reader);
	answers = read_u16(&reader);
	skip(&reader, 4);
	dns->answer = flags >> 15;
	dns->response_code = flags & 15;
	/* An ordinary question (opcode 0) of one name; mDNS asks several at once, and answers without one. The bit Z is 0. */
	if ((flags >> 11 & 15) != 0 || flags & 0x40 || questions > 8 || answers > 256 ||
		(!questions && !(dns->answer && answers)))
		return false;
	for (size_t i = 0; i < questions; i++) {
		struct payload_name name;

		if (!read_name(&reader, i ? &name : &dns->question))
			return false;
		if (i == 0)
			dns->type = read_u16(&reader);
		else
			skip(&reader, 2);
		skip(&reader, 2);
		if (reader.short_of)
			break;
	}
	dns->cut = reader.short_of;
	if (dns->answer)
		read_answers(&reader, answers, dns);
	return true;
}

/* --- TLS ------------------------------------------------------------------------------------------------------------------ */

/* The extension's list of names: the first that is a host's. */
static void read_server_name(struct reader *reader, struct payload_name *name)
{
	uint16_t length;

	skip(reader, 2);
	if (read_u8(reader) != 0)
		return;
	length = read_u16(reader);
	if (length == 0 || length > PAYLOAD_NAME_MAX || !reader_has(reader, length))
		return;
	name_add(name, reader->bytes + reader->at, length);
	if (name->length > 1 && name->text[name->length - 1] == '.')
		name->text[--name->length] = '\0';
}

bool payload_tls_read(const struct payload *payload, struct payload_name *name)
{
	struct reader reader = {payload->bytes, payload->length, 0, false};

	*name = (struct payload_name){0};
	/* A record of a handshake, in it a ClientHello: its length of 24 bits, the version that it says for old servers. */
	if (payload->length < 11 || payload->bytes[0] != 22 || payload->bytes[1] != 3 || payload->bytes[5] != 1 ||
		payload->bytes[6] != 0 || payload->bytes[9] != 3)
		return false;
	skip(&reader, 11 + 32);           /* and the random bytes */
	skip(&reader, read_u8(&reader));  /* the session's id */
	skip(&reader, read_u16(&reader)); /* ciphers */
	skip(&reader, read_u8(&reader));  /* ways to compress */
	skip(&reader, 2);
	while (!reader.short_of && reader.at < reader.length) {
		uint16_t type = read_u16(&reader), length = read_u16(&reader);

		if (type == TLS_EXTENSION_NAME && !reader.short_of) {
			read_server_name(&reader, name);
			break;
		}
		skip(&reader, length);
	}
	return true;
}

bool payload_name_looks_tor(const struct payload_name *name)
{
	size_t digits = 0, end;

	if (name->length < 4 + 4 + 4 || memcmp(name->text, "www.", 4) != 0)
		return false;
	end = name->length - 4;
	if (end - 4 > 25 || (strcmp(name->text + end, ".com") != 0 && strcmp(name->text + end, ".net") != 0))
		return false;
	for (size_t i = 4; i < end; i++) {
		char byte = name->text[i];

		if (!((byte >= 'a' && byte <= 'z') || (byte >= '2' && byte <= '7')))
			return false;
		digits += byte <= '9';
	}
	/* Words have no digits in them. */
	return digits > 0;
}
