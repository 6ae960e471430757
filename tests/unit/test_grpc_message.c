/* SPDX-License-Identifier: Apache-2.0 */
/* Headers' contents and message framing, without a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <event2/buffer.h>

#include "grpc/header.h"
#include "grpc/message.h"

static uint64_t timeout_of(const char *text, bool *valid)
{
	return grpc_timeout_parse((const uint8_t *)text, strlen(text), valid);
}

Test(grpc_header, timeouts)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {{"1H", 3600000}, {"2M", 120000}, {"3S", 3000}, {"4m", 4}, {"5u", 1}, {"1001u", 2}, {"6n", 1},
		{"0n", 0}, {"99999999H", 99999999ULL * 3600000}};
	static const char *const bad[] = {"", "1", "m", "1x", "-1m", "1 m", "123456789m", "1mm"};
	char text[16];
	bool valid;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_eq(timeout_of(good[i].text, &valid), good[i].ms, "%s", good[i].text);
		cr_expect(valid);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		timeout_of(bad[i], &valid);
		cr_expect_not(valid, "%s", bad[i]);
	}
	grpc_timeout_format(1500, text);
	cr_expect_str_eq(text, "1500m");
	grpc_timeout_format(UINT32_MAX, text);
	cr_expect_str_eq(text, "4294967S");
}

Test(grpc_header, messages_survive_percent_encoding)
{
	const char *said = "100% \xc3\xa9\n\ttab";
	char text[3 * GRPC_MESSAGE_TEXT_BYTES + 1], back[GRPC_MESSAGE_TEXT_BYTES + 1];
	char *large = malloc(5000);

	grpc_message_encode(said, text);
	cr_expect_str_eq(text, "100%25 %C3%A9%0A%09tab");
	/* What would break a log line does not come back. */
	grpc_message_decode((uint8_t *)text, strlen(text), back, sizeof(back));
	cr_expect_str_eq(back, "100% \xc3\xa9??tab");
	grpc_message_decode((const uint8_t *)"%", 1, back, sizeof(back));
	cr_expect_str_eq(back, "%");
	grpc_message_decode((const uint8_t *)"%4%4g%00", 8, back, sizeof(back));
	cr_expect_str_eq(back, "%4%4g?");
	grpc_message_decode((const uint8_t *)"abcdef", 6, back, 4);
	cr_expect_str_eq(back, "abc");
	memset(large, 0x01, 4999);
	large[4999] = 0;
	grpc_message_encode(large, text);
	cr_expect_eq(strlen(text), 3 * GRPC_MESSAGE_TEXT_BYTES);
	free(large);
}

Test(grpc_header, statuses)
{
	cr_expect_eq(grpc_status_parse((const uint8_t *)"0", 1), GRPC_OK);
	cr_expect_eq(grpc_status_parse((const uint8_t *)"16", 2), GRPC_UNAUTHENTICATED);
	cr_expect_eq(grpc_status_parse((const uint8_t *)"17", 2), GRPC_UNKNOWN);
	cr_expect_eq(grpc_status_parse((const uint8_t *)"-1", 2), GRPC_UNKNOWN);
	cr_expect_eq(grpc_status_parse((const uint8_t *)"", 0), GRPC_UNKNOWN);
	cr_expect_eq(grpc_status_parse((const uint8_t *)"000", 3), GRPC_UNKNOWN);
	cr_expect_eq(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
	cr_expect_eq(grpc_status_of_http(503), GRPC_UNAVAILABLE);
	cr_expect_eq(grpc_status_of_http(302), GRPC_UNKNOWN);
	cr_expect_eq(grpc_status_of_reset(NGHTTP2_CANCEL), GRPC_CANCELLED);
	cr_expect_eq(grpc_status_of_reset(NGHTTP2_REFUSED_STREAM), GRPC_UNAVAILABLE);
	cr_expect_str_eq(grpc_status_name(GRPC_RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED");
	cr_expect_str_eq(grpc_status_name((enum grpc_status)99), "UNKNOWN");
}

Test(grpc_header, content_types_and_metadata)
{
	static const char *const good[] = {"application/grpc", "application/grpc+proto", "application/grpc;a=b"};
	static const char *const bad[] = {"application/grpc-web", "application/json", "", "application/grp"};

	for (size_t i = 0; i < 3; i++)
		cr_expect(grpc_content_type_fits((const uint8_t *)good[i], strlen(good[i])), "%s", good[i]);
	for (size_t i = 0; i < 4; i++)
		cr_expect_not(grpc_content_type_fits((const uint8_t *)bad[i], strlen(bad[i])), "%s", bad[i]);
	cr_expect(grpc_metadata_is_allowed("x-taffrail.token_1", "a b~"));
	cr_expect_not(grpc_metadata_is_allowed("X-Upper", "a"));
	cr_expect_not(grpc_metadata_is_allowed(":path", "a"));
	cr_expect_not(grpc_metadata_is_allowed("grpc-status", "0"));
	cr_expect_not(grpc_metadata_is_allowed("te", "a"));
	cr_expect_not(grpc_metadata_is_allowed("", "a"));
	cr_expect_not(grpc_metadata_is_allowed("x", "a\r\nb"));
}

/* Three messages in one stream of bytes, cut in pieces of every size. */
Test(grpc_message, inbox_finds_messages_however_they_are_cut)
{
	uint8_t stream[5 + 300 + 5 + 0 + 5 + 7];
	const size_t lengths[] = {300, 0, 7};

	for (size_t i = 0, at = 0; i < 3; i++) {
		const uint8_t prefix[5] = {0, 0, 0, (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i]};

		memcpy(stream + at, prefix, 5);
		memset(stream + at + 5, (int)('a' + i), lengths[i]);
		at += 5 + lengths[i];
	}
	for (size_t piece = 1; piece <= sizeof(stream); piece++) {
		struct grpc_inbox inbox = {0};
		size_t found = 0;

		for (size_t at = 0; at < sizeof(stream); at += piece) {
			size_t left = sizeof(stream) - at < piece ? sizeof(stream) - at : piece;
			const uint8_t *bytes = stream + at, *message;
			enum grpc_inbox_result result;

			do {
				size_t taken;

				result = grpc_inbox_feed(&inbox, bytes, left, &taken, &message);
				bytes += taken;
				left -= taken;
				if (result != GRPC_INBOX_MESSAGE)
					continue;
				cr_assert_lt(found, 3);
				cr_assert_eq(inbox.length, lengths[found]);
				for (size_t k = 0; k < inbox.length; k++)
					cr_assert_eq(message[k], 'a' + found);
				found++;
				grpc_inbox_clear(&inbox);
			} while (left || (result == GRPC_INBOX_PREFIX && inbox.length == 0));
		}
		cr_assert_eq(found, 3, "in pieces of %zu", piece);
		cr_assert(grpc_inbox_is_empty(&inbox));
		grpc_inbox_clear(&inbox);
	}
}

/* A peer that announces four gigabytes and sends ten bytes costs what it sent. */
Test(grpc_message, inbox_grows_with_what_came)
{
	const uint8_t head[5] = {0, 0xff, 0xff, 0xff, 0xff};
	uint8_t *bytes = calloc(1, 100000);
	struct grpc_inbox inbox = {0};
	const uint8_t *message;
	size_t taken;

	cr_assert_eq(grpc_inbox_feed(&inbox, head, 5, &taken, &message), GRPC_INBOX_PREFIX);
	cr_assert_eq(inbox.length, UINT32_MAX);
	cr_assert_eq(grpc_inbox_feed(&inbox, bytes, 10, &taken, &message), GRPC_INBOX_MORE);
	cr_expect_leq(inbox.capacity, 64 * 1024);
	cr_assert_eq(grpc_inbox_feed(&inbox, bytes, 100000, &taken, &message), GRPC_INBOX_MORE);
	cr_expect_leq(inbox.capacity, 2 * 100010);
	grpc_inbox_clear(&inbox);
	free(bytes);
}

static int released;

static void note_release(void *bytes, void *context)
{
	released++;
	cr_expect_eq(context, &released);
	free(bytes);
}

Test(grpc_message, outbox_frames_and_releases_once)
{
	struct evbuffer *output = evbuffer_new();
	struct grpc_outbox outbox;
	uint8_t *owned = malloc(20000), *all;
	size_t total;

	memset(owned, 'o', 20000);
	grpc_outbox_init(&outbox);
	cr_assert_eq(grpc_outbox_add(&outbox, "abc", 3), 0);
	cr_assert_eq(grpc_outbox_add_owned(&outbox, owned, 20000, note_release, &released), 0);
	cr_assert_eq(grpc_outbox_add(&outbox, NULL, 0), 0);
	cr_assert_eq(outbox.queued, 3 + 20000 + 3 * 5);
	total = outbox.queued;
	while (outbox.queued)
		cr_assert_eq(grpc_outbox_drain(&outbox, outbox.queued < 7001 ? outbox.queued : 7001, output), 0);
	cr_expect_eq(released, 0, "the socket's buffer still points to it");
	cr_assert_eq(evbuffer_get_length(output), total);
	all = evbuffer_pullup(output, -1);
	cr_expect_eq(memcmp(all, "\0\0\0\0\3abc\0\0\0\x4e\x20oooo", 17), 0);
	cr_expect_eq(memcmp(all + total - 6, "o\0\0\0\0\0", 6), 0);
	evbuffer_free(output);
	cr_expect_eq(released, 1);
	cr_expect_eq(grpc_outbox_add(&outbox, "", (size_t)UINT32_MAX + 1), -EMSGSIZE);

	/* What never left is released too. */
	cr_assert_eq(grpc_outbox_add_owned(&outbox, malloc(1), 1, note_release, &released), 0);
	grpc_outbox_clear(&outbox);
	cr_expect_eq(released, 2);
	cr_expect_eq(outbox.queued, 0);
}
