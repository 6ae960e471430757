/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of epochs is bounded: those that have told all are folded, too many are refused, hosts can be forgotten. */
#include <errno.h>
#include <malloc.h>

#include "test_capture.h"
#include "collector/store_inside.h"
#include "test_collector.h"

static struct store *store;
static char folder[] = "/tmp/taffrail-epochs-XXXXXX";

static const struct store_limits small = {.hosts = 10,
	.kept = 4,
	.full = 8,
	.epochs = 40,
	.all_full = 1000,
	.each_full = 1000,
	.all = 1000,
	.each = 1000};

static uint8_t *of(unsigned number)
{
	static uint8_t epochs[2][EVENT_EPOCH_SIZE];
	static unsigned turn;
	uint8_t *one = epochs[turn++ % 2];

	memset(one, 0, EVENT_EPOCH_SIZE);
	memcpy(one, &number, sizeof(number));
	one[15] = 1;
	return one;
}

/* One event, and books that say that there was one; `closed`: and that it was all. */
static struct buffer *make_life(const char *host, const uint8_t *epoch_of_it, uint64_t sequence, bool closed)
{
	const struct account_books books = {true, closed, sequence, sequence, 0, 0};
	struct buffer *up = make_batch_of(host, epoch_of_it, sequence, sequence, 10);

	put_books(up, &books);
	return up;
}

static int add(const char *host, unsigned number, uint64_t sequence, bool closed)
{
	struct buffer *up = make_life(host, of(number), sequence, closed);
	struct segment_frame frame = {.first = sequence,
		.last = sequence,
		.host = text_of(host),
		.batch = {up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER}};
	struct store_position end;
	int error;

	memcpy(frame.epoch, of(number), EVENT_EPOCH_SIZE);
	error = store_append(store, &frame, &end);
	wire_bytes_free(up);
	return error;
}

static void sync_all(void)
{
	store_sync_begin(store);
	cr_assert_eq(store_sync_end(store), 0);
}

static int add_synced(const char *host, unsigned number, uint64_t sequence, bool closed)
{
	int error = add(host, number, sequence, closed);

	sync_all();
	return error;
}

static void open_it(const struct store_limits *limits)
{
	char why[300];

	cr_assert_eq(store_open(&store, folder, 0, why, sizeof(why)), 0, "%s", why);
	if (limits)
		store_set_limits(store, limits);
}

static void open_new(const struct store_limits *limits)
{
	cr_assert_not_null(mkdtemp(folder));
	open_it(limits);
}

static void close_all(void)
{
	char command[100];

	store_close(store);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	cr_assert_eq(system(command), 0);
}

static struct store_counters counted(void)
{
	struct store_counters counters;

	store_counters(store, &counters);
	return counters;
}

static uint64_t synced(const char *host, unsigned number)
{
	return store_synced(store, text_of(host), of(number));
}

/* The sum of a host's folded epochs, all zero if there is none. */
static struct account sum_of(const char *host)
{
	struct store_source **sources;
	struct account sum = {0};
	struct store_epoch view;
	size_t count;

	cr_assert_eq(store_sources(store, &sources, &count), 0);
	for (size_t i = 0; i < count; i++) {
		store_source_view(sources[i], &view);
		if (text_equal(view.host.id, text_of(host)) && view.account->folded)
			sum = *view.account;
	}
	store_sources_free(sources, count);
	return sum;
}

/* --- folding ---------------------------------------------------------------------------------------------------------- */

static void expect_twenty(void)
{
	struct account sum = sum_of("node");

	cr_expect_eq(counted().epochs + counted().epochs_folded, 21);
	cr_expect_eq(sum.folded, counted().epochs_folded);
	cr_expect_eq(sum.books.seen, 2 * sum.folded);
	cr_expect_eq(sum.made, 2 * sum.folded);
	cr_expect_eq(account_balance(&sum).difference, 0);
	cr_expect_eq(account_balance(&sum).delivered, (int64_t)(2 * sum.folded));
	for (unsigned i = 1; i <= 20; i++) {
		const struct account *account = store_account(store, TEXT_LITERAL("node"), of(i), true);

		cr_assert_not_null(account);
		cr_expect_eq(account->made, 2, "%u", i);
		cr_expect(account->books.closed && account->books.seen == 2 && account->books.settled == 2, "%u", i);
	}
	cr_expect_eq(synced("other", 3), 0, "another host's is another");
	cr_expect_eq(synced("node", 21), 0);
}

Test(store_epochs, those_that_have_told_all_are_folded)
{
	open_new(&small);
	cr_assert_eq(add_synced("other", 1, 1, false), 0);
	for (unsigned i = 1; i <= 20; i++) {
		cr_assert_eq(add_synced("node", i, 1, false), 0);
		cr_assert_eq(add_synced("node", i, 2, true), 0);
	}
	expect_twenty();
	cr_expect_eq(counted().epochs, 5, "four of the one, one of the other");
	cr_expect_eq(add("node", 3, 3, true), -ESTALE);
	cr_expect_eq(counted().epochs_late, 1);
	cr_expect_eq(add("node", 20, 3, true), 0, "not folded yet");
	store_close(store);

	/* By itself it has the default's limits: nothing of so few is folded, and each account is what it was. */
	open_it(NULL);
	cr_expect_eq(counted().epochs_folded, 0);
	cr_expect_eq(synced("node", 3), 2);
	store_set_limits(store, &small);
	cr_assert_eq(add_synced("node", 20, 4, true), 0);
	cr_assert_eq(add_synced("node", 30, 1, false), 0);
	cr_expect_geq(counted().epochs_folded, 16);
	cr_expect_eq(synced("node", 3), 2);
	close_all();
}

/* Each that is opened while it is on its way to the disk, or is not balanced, or is looked at. */
Test(store_epochs, what_has_not_told_all_is_not_folded)
{
	struct store_source **sources;
	struct store_epoch view;
	size_t count, folded = 0;

	open_new(&small);
	for (unsigned i = 1; i <= 4; i++)
		cr_assert_eq(add("node", i, 1, true), 0);
	cr_assert_eq(add("node", 5, 1, true), 0);
	cr_expect_eq(counted().epochs_folded, 0, "none is on the disk");
	sync_all();
	cr_assert_eq(add_synced("node", 6, 2, true), 0); /* its books count two, and 1 is missing */
	cr_expect_eq(counted().epochs_folded, 2);
	cr_assert_eq(store_sources(store, &sources, &count), 0);
	for (unsigned i = 7; i <= 9; i++)
		cr_assert_eq(add_synced("node", i, 1, true), 0);
	cr_expect_eq(counted().epochs_folded, 5);
	for (size_t i = 0; i < count; i++) {
		store_source_view(sources[i], &view);
		folded += view.account->folded;
		cr_expect(text_equal(view.host.id, TEXT_LITERAL("node")));
		cr_expect(view.account->folded || view.account->books.closed, "it is there while it is looked at");
	}
	cr_expect_eq(folded, 5, "the sum goes on");
	store_sources_free(sources, count);
	for (unsigned i = 10; i <= 15; i++)
		cr_assert_eq(add_synced("node", i, 1, true), 0);
	cr_expect_eq(store_account(store, TEXT_LITERAL("node"), of(6), true)->events, 1,
		"it does not balance, and stays whole");
	close_all();
}

static void add_shared(unsigned number)
{
	struct segment_frame frame = {.first = 1, .last = 1, .host = TEXT_LITERAL("node")};
	struct store_position end;

	memcpy(frame.epoch, of(number), EVENT_EPOCH_SIZE);
	cr_assert_eq(store_append(store, &frame, &end), 0); /* no record and no books: another collector has it */
	cr_assert_eq(add_synced("node", number, 2, true), 0);
}

static bool is_whole(unsigned number)
{
	const struct account *account = store_account(store, TEXT_LITERAL("node"), of(number), true);

	return account->elsewhere == 1 && account->events == 1 && account->books.closed;
}

/* The other one's row of them shows no end: without this one's it would be an alarm for ever. */
Test(store_epochs, what_another_collector_has_a_part_of_is_kept_as_long_as_there_is_room)
{
	struct store_limits limits = small;
	unsigned i;

	limits.full = 20;
	limits.epochs = 100;
	open_new(&limits);
	add_shared(1);
	add_shared(2);
	for (i = 3; i <= 20; i++)
		cr_assert_eq(add_synced("node", i, 1, true), 0);
	cr_expect(is_whole(1) && is_whole(2));
	cr_expect_eq(counted().epochs, 4, "two of them, and the last");
	for (; i <= 27; i++)
		add_shared(i);
	cr_expect(is_whole(1) && is_whole(2) && is_whole(27));
	cr_expect_eq(sum_of("node").elsewhere, 0);
	for (; i <= 60; i++)
		add_shared(i);
	cr_expect_eq(counted().epochs, 10, "half of those for which there is room");
	cr_expect_eq(sum_of("node").elsewhere, 32, "1 to 51, but those of 3 to 20");
	cr_expect_eq(synced("node", 1), 2);
	cr_expect(is_whole(51) && is_whole(60));
	close_all();
}

/* --- limits ----------------------------------------------------------------------------------------------------------- */

Test(store_epochs, too_many_of_a_host_are_refused)
{
	struct capture capture;
	char log[1000];

	open_new(&small);
	capture = capture_begin(STDERR_FILENO);
	for (unsigned i = 1; i <= 8; i++)
		cr_assert_eq(add_synced("node", i, 1, false), 0);
	capture_end(&capture, log, sizeof(log));
	cr_expect(strstr(log, "the host node has 7 epochs, of which 7 have not told all; at 40, or 8 of those, new "
			      "ones are refused"),
		"%s", log);
	cr_expect_eq(add("node", 9, 1, false), -EUSERS);
	cr_expect_eq(counted().epochs_refused, 1);
	cr_expect_eq(add_synced("node", 8, 2, false), 0, "those that are there go on");
	cr_expect_eq(add_synced("other", 9, 1, false), 0);
	/* One tells all: there is room for another. */
	cr_assert_eq(add_synced("node", 1, 2, true), 0);
	cr_expect_eq(add_synced("node", 9, 1, false), 0);
	cr_expect_eq(synced("node", 1), 2);
	cr_expect_eq(counted().epochs_folded, 1);
	for (unsigned i = 0; i < 50; i++)
		cr_assert_eq(add_synced("third", i, 1, true), i < 40 ? 0 : -EUSERS, "%u", i);
	store_close(store);
	open_it(&small);
	cr_expect_eq(synced("third", 39), 1, "what is stored is read, whatever the limits");
	close_all();
}

/* Whatever others do, a host has room for some. */
Test(store_epochs, of_all_hosts_are_bounded)
{
	const struct store_limits limits = {.hosts = 4,
		.kept = 10,
		.full = 100,
		.epochs = 100,
		.all_full = 30,
		.each_full = 5,
		.all = 40,
		.each = 8};
	unsigned full = 0, folded = 0;

	open_new(&limits);
	while (full < 200 && add_synced("greedy", full, 1, false) == 0)
		full++;
	cr_expect_eq(full, 30);
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(add_synced("modest", i, 1, false), i < 5 ? 0 : -EUSERS, "%u", i);
	while (folded < 200 && add_synced("folder", folded, 1, true) == 0)
		folded++;
	cr_expect_leq(folded, 42);
	cr_expect_geq(folded, 40);
	for (unsigned i = 0; i < 12; i++)
		cr_expect_eq(add_synced("last", i, 1, true), i < 10 ? 0 : -EUSERS, "%u: a fourth of all", i);
	cr_expect_eq(add_synced("more", 1, 1, true), -EUSERS, "four hosts");
	close_all();
}

/* Who has most has had all there is: that is no reason to refuse those who have little, and those that come take turns. */
Test(store_epochs, who_has_most_gets_no_more)
{
	const struct store_limits limits = {.hosts = 1000,
		.kept = 2,
		.full = 100,
		.epochs = 100,
		.all_full = 10000,
		.each_full = 100,
		.all = 200,
		.each = 8};
	char name[20];
	unsigned i;

	open_new(&limits);
	for (i = 0; i < 30; i++)
		cr_assert_eq(add_synced("honest", i, 1, true), 0);
	for (i = 0, name[0] = '\0'; name[0] == '\0' || add_synced(name, i, 1, true) == 0; i++)
		snprintf(name, sizeof(name), "greedy %u", i / 90);
	cr_expect_eq(counted().epochs_folded, limits.all);
	for (i = 30; i < 70; i++)
		cr_expect_eq(add_synced("honest", i, 1, true), i < 200 / 3 ? 0 : -EUSERS, "%u: a third of all", i);
	cr_expect_eq(add_synced("greedy 0", 1000, 1, true), -EUSERS);
	/* Each host that comes has a share: there is an end of it. */
	for (unsigned host_number = 0; host_number < 40; host_number++)
		for (i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "new %u", host_number);
			if (add_synced(name, i, 1, true) < 0)
				break;
			cr_expect(i < 8 || counted().epochs_folded <= 2 * limits.all, "%u of %s", i, name);
		}
	cr_expect_eq(i, 8, "in the end as many as anybody has");
	close_all();
}

/* A sensor that starts again and again for years. */
Test(store_epochs, many_take_little_memory)
{
	enum { EPOCHS = 60000 };
	size_t before, after;

	open_new(NULL);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(add("node", i, 1, true), 0);
	sync_all();
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (unsigned i = 1000; i < EPOCHS; i++) {
		cr_assert_eq(add("node", i, 1, true), 0);
		if (i % 100 == 0)
			sync_all();
	}
	sync_all();
	cr_assert_eq(add_synced("node", EPOCHS, 1, true), 0);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	printf("%d epochs: %zu KiB more, %zu bytes each\n", EPOCHS, (after - before) >> 10,
		(after - before) / (EPOCHS - 1000));
	cr_expect_leq((after - before) / (EPOCHS - 1000), 130);
	cr_expect_leq(counted().epochs, 64);
	store_close(store);
	open_it(NULL);
	cr_expect_leq(counted().epochs, 64);
	for (unsigned i = 0; i < EPOCHS; i++)
		cr_assert_eq(synced("node", i), 1, "%u", i);
	cr_expect_eq(sum_of("node").folded + counted().epochs, EPOCHS + 1);
	close_all();
}

/* --- over the wire ------------------------------------------------------------------------------------------------------ */

static void tell(struct room *room, struct peer *peer, unsigned number, uint64_t sequence, bool closed)
{
	struct buffer *bytes = make_life(host_id.data, of(number), sequence, closed);

	if (!peer->client) {
		connect_sensor(room, peer);
		say_hello(peer, host_id.data, of(number), EVENT_EPOCH_SIZE);
		until(room, peer->hellos == 1);
	}
	cr_assert_eq(grpc_call_send(peer->call, bytes->data, bytes->length), 0);
	wire_bytes_free(bytes);
	until(room, peer->acked == sequence || peer->done);
}

static void leave(struct peer *peer)
{
	grpc_client_close(peer->client);
	*peer = (struct peer){0};
}

Test(store_epochs, a_sensor_is_told_what_is_the_matter)
{
	struct receiver_counters counters;
	struct peer peer = {0};
	struct room room;

	open_room(&room);
	store_set_limits(room.store, &small);
	for (unsigned i = 1; i <= 7; i++) {
		tell(&room, &peer, i, 1, i < 7);
		cr_assert_eq(peer.acked, 1, "%s", peer.message);
		leave(&peer);
	}
	/* A replay of what is folded is what it always was. */
	tell(&room, &peer, 1, 1, true);
	cr_expect_eq(peer.stored, 1);
	cr_expect(peer.books.closed && peer.books.seen == 1);
	cr_expect_eq(peer.acked, 1);
	tell(&room, &peer, 1, 2, true);
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_INVALID_ARGUMENT);
	cr_expect(strstr(peer.message, "its epoch has told all and is closed"), "%s", peer.message);
	leave(&peer);
	for (unsigned i = 8; i <= 16; i++) {
		tell(&room, &peer, i, 1, false);
		if (peer.done)
			break;
		leave(&peer);
	}
	cr_expect_eq(peer.status, GRPC_RESOURCE_EXHAUSTED);
	cr_expect(strstr(peer.message, "no room for a new epoch of this host"), "%s", peer.message);
	leave(&peer);
	receiver_counters(room.receiver, &counters);
	cr_expect_eq(counters.epochs_refused, 2);
	cr_expect_eq(room.count, 14, "7 and 7 more, each once");
	close_room(&room);
}

/* --- forgetting --------------------------------------------------------------------------------------------------------- */

static void write_forgotten(const char *mode, const char *text)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/forgotten", folder);
	file = fopen(path, mode);
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

Test(store_epochs, a_host_is_forgotten_up_to_where_it_was)
{
	struct store *look;
	char why[300];

	open_new(NULL);
	cr_assert_eq(add_synced("gone away", 1, 1, false), 0);
	cr_assert_eq(add_synced("stays", 1, 1, false), 0);
	store_close(store);
	write_forgotten("w", "gone\\x20away");
	cr_assert_eq(store_look(&look, folder, why, sizeof(why)), 0, "%s", why);
	cr_expect_eq(store_synced(look, TEXT_LITERAL("gone away"), of(1)), 0);
	store_close(look);
	for (int i = 0; i < 2; i++) {
		open_it(NULL);
		cr_expect_eq(synced("gone away", 1), 0);
		cr_expect_eq(synced("stays", 1), 1);
		cr_expect_eq(counted().hosts_forgotten, 1);
		store_close(store);
	}
	/* It is there again: that counts, and what it had before does not. */
	open_it(NULL);
	cr_assert_eq(add_synced("gone away", 1, 1, false), 0);
	cr_assert_eq(add_synced("gone away", 2, 1, false), 0);
	store_close(store);
	open_it(NULL);
	cr_expect_eq(synced("gone away", 1), 1);
	cr_expect_eq(synced("gone away", 2), 1);
	store_close(store);
	write_forgotten("a", "gone\\x20away\n");
	open_it(NULL);
	cr_expect_eq(synced("gone away", 1), 0);
	cr_expect_eq(synced("gone away", 2), 0);
	cr_expect_eq(counted().hosts, 1);
	close_all();
}

static uint64_t newest_segment(void)
{
	struct store_position end = store_end(store);

	return end.segment;
}

/* Its files are gone, and what they were numbered is not given again. */
Test(store_epochs, what_comes_behind_a_forgotten_place_counts)
{
	char command[100];

	open_new(NULL);
	cr_assert_eq(add_synced("comes again", 1, 1, false), 0);
	store_close(store);
	write_forgotten("w", "comes\\x20again 57 1000\ntoofar 9999999999999999999 1\n");
	snprintf(command, sizeof(command), "rm '%s'/segments/*", folder);
	cr_assert_eq(system(command), 0);
	open_it(NULL);
	cr_assert_eq(add_synced("comes again", 2, 1, false), 0);
	cr_expect_eq(newest_segment(), 58);
	store_close(store);
	open_it(NULL);
	cr_expect_eq(synced("comes again", 2), 1);
	cr_assert_eq(add_synced("comes again", 2, 2, false), 0);
	cr_expect_eq(newest_segment(), 58, "it stands behind the place already");
	close_all();
}

Test(store_epochs, a_list_of_the_forgotten_that_cannot_be_read_is_no_start)
{
	static const char *const wrong[] = {"a b", "a 1", "a 1 x", "a 1 2 3", " a", "\\x2", "a 1 99999999999999999999"};
	char why[300], text[100];

	open_new(NULL);
	store_close(store);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "fine 1 2\n%s\n", wrong[i]);
		write_forgotten("w", text);
		cr_expect_eq(store_open(&store, folder, 0, why, sizeof(why)), -EINVAL, "%s", wrong[i]);
		cr_expect(strstr(why, "/forgotten:2: it is no HOST"), "%s: %s", wrong[i], why);
	}
	write_forgotten("w", "fine 1 2\n\n");
	open_it(NULL);
	close_all();
}

/* --- one epoch of many hosts -------------------------------------------------------------------------------------------- */

static size_t longest_chain(const struct table *table)
{
	size_t longest = 0;

	for (size_t i = 0; i < table->chain_count; i++) {
		size_t length = 0;

		for (const struct table_node *node = table->chains[i]; node; node = node->next)
			length++;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* The longest row of taken slots: so many are looked at, at most. */
static size_t longest_row(const struct store_folded_set *set)
{
	size_t longest = 0, length = 0;

	for (size_t i = 0; i < set->room; i++) {
		length = set->slots[i].host ? length + 1 : 0;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* An epoch is what its sender says: hosts that all say the same are not looked through one by one. */
Test(store_epochs, hosts_that_say_one_epoch_are_spread)
{
	enum { HOSTS = 3000 };
	struct store_limits limits = store_limits_default;
	char name[20];

	limits.kept = 1;
	open_new(&limits);
	for (unsigned number = 1; number <= 2; number++) {
		for (int i = 0; i < HOSTS; i++) {
			snprintf(name, sizeof(name), "node-%d", i);
			cr_assert_eq(add(name, number, 1, true), 0);
		}
		sync_all();
	}
	cr_assert_eq(counted().epochs, HOSTS);
	cr_assert_eq(counted().epochs_folded, HOSTS);
	cr_expect_leq(longest_chain(&store->sources), 20);
	cr_expect_leq(longest_row(&store->folded), HOSTS / 4);
	for (int i = 0; i < HOSTS; i++) {
		snprintf(name, sizeof(name), "node-%d", i);
		cr_assert_eq(synced(name, 1), 1);
		cr_assert_eq(synced(name, 2), 1);
	}
	close_all();
}
