/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>

#include "collector/words.h"
#include "test_collector.h"

static void watcher_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__WatchResponse *response = taffrail__v1__watch_response__unpack(NULL, length, bytes);
	struct peer *peer = context;

	(void)call;
	cr_assert_not_null(response);
	for (size_t i = 0; response->batch && i < response->batch->n_record; i++)
		peer->events += response->batch->record[i]->record_case == TAFFRAIL__V1__RECORD__RECORD_EVENT;
	peer->passed_over = response->passed_over;
	taffrail__v1__watch_response__free_unpacked(response, NULL);
}

/* One word of the filter, or NULL. */
static void open_watcher(
	struct room *room, struct peer *peer, const char *pod, const char *namespace, const char *action, bool manual)
{
	Taffrail__V1__WatchRequest request = TAFFRAIL__V1__WATCH_REQUEST__INIT;
	char *words[] = {(char *)(uintptr_t)pod, (char *)(uintptr_t) namespace, (char *)(uintptr_t)action};
	uint8_t bytes[200];

	connect_peer(room, peer, "/taffrail.v1.Query/Watch",
		(struct grpc_call_options){.on_message = watcher_message, .manual_consume = manual});
	request.pod = &words[0];
	request.n_pod = pod ? 1 : 0;
	request.namespace_ = &words[1];
	request.n_namespace_ = namespace ? 1 : 0;
	request.action = &words[2];
	request.n_action = action ? 1 : 0;
	cr_assert_eq(grpc_call_send(peer->call, bytes, taffrail__v1__watch_request__pack(&request, bytes)), 0);
	grpc_call_half_close(peer->call);
}

Test(query, watchers_see_what_matches)
{
	struct room room;
	struct peer all, opens, pod, elsewhere, wrong, sensor;

	open_room(&room);
	open_watcher(&room, &all, NULL, NULL, NULL, false);
	open_watcher(&room, &opens, "web-1", "shop", "open", false);
	open_watcher(&room, &pod, "web-2", NULL, NULL, false);
	open_watcher(&room, &elsewhere, NULL, "other", NULL, false);
	open_watcher(&room, &wrong, NULL, NULL, "nonsense", false);
	assert_refused(&room, &wrong, GRPC_INVALID_ARGUMENT, "nonsense");
	open_sensor(&room, &sensor);
	send_batch(&sensor, 1, 9);
	send_batch(&sensor, 5, 10);
	until(&room, all.events == 10 && opens.events == 5);
	turn_for(&room, 3);
	cr_assert_eq(all.events, 10);
	cr_assert_eq(all.passed_over, 0);
	cr_assert_eq(pod.events + elsewhere.events, 0);
	struct peer *peers[] = {&all, &opens, &pod, &elsewhere, &sensor};
	for (int i = 0; i < 5; i++)
		grpc_client_close(peers[i]->client);
	close_room(&room);
}

Test(query, slow_watcher_is_passed_over_and_told)
{
	enum { BATCHES = 400, SIZE = 20000, AT_ONCE = 40 };
	struct room room;
	struct peer slow, quick, sensor;

	open_room(&room);
	open_watcher(&room, &slow, NULL, NULL, NULL, true);
	open_watcher(&room, &quick, NULL, NULL, NULL, false);
	open_sensor(&room, &sensor);
	for (uint64_t i = 1; i <= BATCHES; i++) {
		struct buffer *bytes = make_batch(epoch, i, i, SIZE);

		cr_assert_eq(grpc_call_send(sensor.call, bytes->data, bytes->length), 0);
		wire_bytes_free(bytes);
		if (i % AT_ONCE == 0)
			until(&room, quick.events == i);
	}
	until(&room, sensor.acked == BATCHES); /* a slow watcher holds nobody up */
	cr_assert_lt(slow.events, 10);
	until(&room, (grpc_call_consume(slow.call, 1 << 30), slow.events + slow.passed_over == BATCHES));
	cr_assert_gt(slow.passed_over, 0);
	cr_assert_gt(slow.events, 150, "4 MiB of them waited");
	cr_assert_eq(quick.passed_over, 0);
	grpc_client_close(slow.client);
	grpc_client_close(quick.client);
	grpc_client_close(sensor.client);
	close_room(&room);
}

/* Of what it says no more is kept than the filter's words, and a large request is not taken at all. */
Test(query, a_request_is_small_and_what_is_no_filter_is_not_kept)
{
	static uint8_t bytes[WORDS_REQUEST_MAX + 2];
	struct mallinfo2 before;
	struct peer peers[20], sensor;
	struct room room;
	uint64_t seen = 0;

	open_room(&room);
	for (size_t i = 0; i < sizeof(bytes); i += 2) { /* field 15, a number: unknown */
		bytes[i] = 15 << 3;
		bytes[i + 1] = 1;
	}
	for (int i = 0; i < 2; i++) {
		const char *path = i ? "/taffrail.v1.Query/Status" : "/taffrail.v1.Query/Watch";

		connect_peer(&room, &peers[0], path, (struct grpc_call_options){0});
		cr_assert_eq(grpc_call_send(peers[0].call, bytes, sizeof(bytes)), 0);
		assert_refused(&room, &peers[0], GRPC_RESOURCE_EXHAUSTED, "larger");
	}
	before = mallinfo2();
	for (int i = 0; i < 20; i++) {
		connect_peer(&room, &peers[i], "/taffrail.v1.Query/Watch",
			(struct grpc_call_options){.on_message = watcher_message});
		cr_assert_eq(grpc_call_send(peers[i].call, bytes, WORDS_REQUEST_MAX), 0);
		turn_for(&room, 3);
	}
	open_sensor(&room, &sensor);
	for (uint64_t next = 1; seen < 20; next++) { /* until each of them has said what it wants */
		send_batch(&sensor, next, next);
		until(&room, sensor.acked == next);
		turn_for(&room, 3);
		seen = 0;
		for (int i = 0; i < 20; i++)
			seen += peers[i].events > 0;
		cr_assert_lt(next, 1000);
	}
	struct mallinfo2 after = mallinfo2();
	size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 20;

	/* Each would be some three megabytes of unknown fields; a connection at both of its ends is here. */
	cr_assert_lt(each, 300 << 10, "%zu bytes each", each);
	for (int i = 0; i < 20; i++) {
		cr_assert_not(peers[i].done);
		grpc_client_close(peers[i].client);
	}
	grpc_client_close(sensor.client);
	close_room(&room);
}

Test(query, watchers_are_limited)
{
	struct peer peers[QUERY_WATCHERS_MAX + 1];
	struct room room;

	open_room(&room);
	for (int i = 0; i < QUERY_WATCHERS_MAX; i++)
		open_watcher(&room, &peers[i], NULL, NULL, NULL, false);
	turn_for(&room, 20);
	open_watcher(&room, &peers[QUERY_WATCHERS_MAX], NULL, NULL, NULL, false);
	assert_refused(&room, &peers[QUERY_WATCHERS_MAX], GRPC_RESOURCE_EXHAUSTED, "many");
	for (int i = 0; i < QUERY_WATCHERS_MAX; i++) {
		cr_assert_not(peers[i].done);
		grpc_client_close(peers[i].client);
	}
	close_room(&room);
}
