/* SPDX-License-Identifier: Apache-2.0 */
/* Who may write which host: patterns of names, and the table that outlives the collector. */
#include <errno.h>
#include <unistd.h>

#include <sys/stat.h>

#include "test_capture.h"
#include "test_collector.h"
#include "test_tls.h"

static struct room room;
static struct papers papers;

Test(access, patterns)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} cases[] = {
		{"sensor.taffrail", "sensor.taffrail", true},
		{"sensor.taffrail", "sensor.taffrail.", false},
		{"sensor.taffrail", "sensor_taffrail", false},
		{"*", "anything/at:all", true},
		{"*", "", true},
		{"", "", true},
		{"", "x", false},
		{"spiffe://prod/*", "spiffe://prod/ns/a/sa/b", true},
		{"spiffe://prod/*", "spiffe://test/ns/a", false},
		{"*.sensors.example", "node-1.sensors.example", true},
		{"*.sensors.example", "sensors.example", false},
		{"*.sensors.example", "node.sensors.example.evil", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**c", "abc", true},
		{"*aab", "aaaaaab", true},
		{"*a*b", "ba", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(access_fits(cases[i].pattern, cases[i].name), cases[i].fits, "%s %s", cases[i].pattern,
			cases[i].name);
}

/* The work grows with the name's length times the pattern's, not with its stars. */
Test(access, patterns_of_many_stars_are_cheap)
{
	char pattern[402], name[256];

	for (int i = 0; i < 200; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	memcpy(pattern + 400, "b", 2);
	memset(name, 'a', 255);
	name[255] = '\0';
	cr_expect_not(access_fits(pattern, name));
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static struct owners *open_owners(const char *folder)
{
	struct owners *owners = NULL;
	char why[300] = "";

	cr_assert_eq(owners_open(&owners, folder, OWNERS_MAX, why, sizeof(why)), 0, "%s", why);
	return owners;
}

static char *read_owners(const char *folder, char *text, size_t size)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/owners", folder);
	file = fopen(path, "r");
	text[fread(text, 1, size - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void write_owners(const char *folder, const char *text)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/owners", folder);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void remove_owners(const char *folder)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/owners", folder);
	unlink(path);
	rmdir(folder);
}

Test(owners, outlive_the_collector)
{
	static const struct text odd = TEXT_STATIC("a b\\\n\xc3\xa9\x7f");
	char folder[] = "/tmp/taffrail-owners-XXXXXX", text[500];
	struct owners *owners;

	cr_assert_not_null(mkdtemp(folder));
	owners = open_owners(folder);
	cr_expect_null(owners_of(owners, host_id));
	cr_expect_eq(owners_claim(owners, host_id, "sensor.taffrail"), 0);
	cr_expect_eq(owners_claim(owners, odd, "spiffe://x/y"), 0);
	cr_expect_eq(owners_sync(owners), 0);
	owners_close(owners);
	cr_expect_str_eq(read_owners(folder, text, sizeof(text)),
		"sensor.taffrail node-1\nspiffe://x/y a\\x20b\\x5c\\x0a\\xc3\\xa9\\x7f\n");
	owners = open_owners(folder);
	cr_expect_str_eq(owners_of(owners, host_id), "sensor.taffrail");
	cr_expect_str_eq(owners_of(owners, odd), "spiffe://x/y");
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("third"), "z"), 0);
	owners_close(owners);
	/* Whoever takes a line out has released its host. */
	cr_expect(strstr(read_owners(folder, text, sizeof(text)), "\nz third\n"));
	write_owners(folder, strchr(text, '\n') + 1);
	owners = open_owners(folder);
	cr_expect_null(owners_of(owners, host_id));
	cr_expect_str_eq(owners_of(owners, odd), "spiffe://x/y");
	owners_close(owners);
	remove_owners(folder);
}

Test(owners, a_torn_line_is_cut_and_a_wrong_one_refused)
{
	char folder[] = "/tmp/taffrail-owners-XXXXXX", text[500], why[300];
	static const char *const wrong[] = {
		"a\n", "a \n", " b\n", "a b c\n", "\n", "a b\\x2\n", "a b\\xZZ\n", "a \\\n"};
	struct owners *owners;

	cr_assert_not_null(mkdtemp(folder));
	write_owners(folder, "a one\nb tw");
	owners = open_owners(folder);
	cr_expect_str_eq(owners_of(owners, (struct text)TEXT_STATIC("one")), "a");
	cr_expect_null(owners_of(owners, (struct text)TEXT_STATIC("tw")));
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("two"), "c"), 0);
	owners_close(owners);
	cr_expect_str_eq(read_owners(folder, text, sizeof(text)), "a one\nc two\n");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "a one\n%s", wrong[i]);
		write_owners(folder, text);
		cr_expect_eq(owners_open(&owners, folder, OWNERS_MAX, why, sizeof(why)), -EINVAL, "%s", wrong[i]);
		cr_expect(strstr(why, "/owners:2: it is no NAME and HOST"), "%s", why);
	}
	write_owners(folder, "a one\nb one\n");
	cr_expect_eq(owners_open(&owners, folder, OWNERS_MAX, why, sizeof(why)), -EINVAL);
	cr_expect(strstr(why, "owners:2: the host stands in an earlier line too"), "%s", why);
	remove_owners(folder);
}

Test(owners, are_bounded)
{
	char folder[] = "/tmp/taffrail-owners-XXXXXX", host[20];
	struct owners *owners;

	cr_assert_not_null(mkdtemp(folder));
	owners = open_owners(folder);
	for (int i = 0; i < OWNERS_MAX; i++) {
		snprintf(host, sizeof(host), "host-%d", i);
		cr_assert_eq(owners_claim(owners, text_of(host), "x"), 0);
	}
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("more"), "x"), -ENOSPC);
	owners_close(owners);
	owners = open_owners(folder);
	cr_expect_str_eq(owners_of(owners, (struct text)TEXT_STATIC("host-65535")), "x");
	owners_close(owners);
	remove_owners(folder);
}

/* A name that took its share leaves the rest to others; what was there before a limit was set stays. */
Test(owners, of_a_name_are_limited)
{
	char folder[] = "/tmp/taffrail-owners-XXXXXX", text[500], host[20], why[300];
	struct owners_counters counters;
	struct capture capture;
	struct owners *owners;

	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(owners_open(&owners, folder, 5, why, sizeof(why)), 0, "%s", why);
	capture = capture_begin(STDERR_FILENO);
	for (int i = 0; i < 5; i++) {
		snprintf(host, sizeof(host), "host-%d", i);
		cr_expect_eq(owners_claim(owners, text_of(host), "greedy"), 0);
	}
	capture_end(&capture, text, sizeof(text));
	cr_expect(strstr(text, "owners: 4 hosts belong to greedy; at 5 it gets no more (hosts.max_per_name)"), "%s",
		text);
	cr_expect_null(strstr(text, "owners: 5 hosts"), "said once: %s", text);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("more"), "greedy"), -EUSERS);
	cr_expect_null(owners_of(owners, (struct text)TEXT_STATIC("more")));
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("more"), "modest"), 0);
	owners_counters(owners, &counters);
	cr_expect_eq(counters.hosts, 6);
	cr_expect_eq(counters.names, 2);
	cr_expect_eq(counters.most_of_name, 5);
	cr_expect_eq(counters.over_share, 3);
	owners_close(owners);
	cr_assert_eq(owners_open(&owners, folder, 2, why, sizeof(why)), 0, "%s", why);
	cr_expect_str_eq(owners_of(owners, (struct text)TEXT_STATIC("host-4")), "greedy");
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("again"), "greedy"), -EUSERS);
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("again"), "modest"), 0);
	owners_close(owners);
	remove_owners(folder);
}

/* A file of which fsync says no: /dev/null takes what is written, and can sync nothing. */
static void break_owners(const char *folder, char path[100])
{
	snprintf(path, 100, "%s/owners", folder);
	cr_assert_eq(symlink("/dev/null", path), 0);
	snprintf(path, 100, "%s/owners.new", folder);
}

/* After an fsync that failed a second one says nothing: the file is written anew. */
Test(owners, what_the_disk_did_not_take_is_written_anew)
{
	char folder[] = "/tmp/taffrail-owners-XXXXXX", text[500], path[100];
	struct owners *owners;

	cr_assert_not_null(mkdtemp(folder));
	break_owners(folder, path);
	cr_assert_eq(mkdir(path, 0700), 0);
	owners = open_owners(folder);
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("one"), "a"), 0);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(owners_sync(owners), -EISDIR, "and it stays so");
		cr_expect(owners_failed(owners));
	}
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("two\n"), "b"), 0);
	cr_assert_eq(rmdir(path), 0);
	cr_expect_eq(owners_sync(owners), 0);
	cr_expect_not(owners_failed(owners));
	cr_expect_neq(access(path, F_OK), 0);
	cr_expect_eq(owners_claim(owners, (struct text)TEXT_STATIC("three"), "a"), 0);
	cr_expect_eq(owners_sync(owners), 0);
	owners_close(owners);
	read_owners(folder, text, sizeof(text));
	cr_expect(
		strcmp(text, "a one\nb two\\x0a\na three\n") == 0 || strcmp(text, "b two\\x0a\na one\na three\n") == 0,
		"%s", text);
	owners = open_owners(folder);
	cr_expect_str_eq(owners_of(owners, (struct text)TEXT_STATIC("three")), "a");
	owners_close(owners);
	remove_owners(folder);
}

/* --- sensors over TLS ----------------------------------------------------------------------------------------------- */

static char *patterns[] = {"sensor.*", "spiffe://nodes/*"};
static const struct config_list writers = {patterns, 2};

static enum grpc_status admit(void *context, const struct grpc_stream *stream, char *why, size_t why_size)
{
	return access_admit(context, stream, why, why_size);
}

static void serve_tls(void)
{
	static const struct config_list readers;
	char data[100], why[300];

	snprintf(data, sizeof(data), "%s/data", room.folder);
	room.access = (struct access){&writers, &readers, NULL};
	cr_assert_eq(owners_open(&room.access.owners, data, 3, why, sizeof(why)), 0, "%s", why);
	room.tls = papers_load(&papers, "ca.pem", "server");
	room.admit = admit;
	serve(&room);
}

static void open_tls_room(void)
{
	papers_open(&papers);
	room = (struct room){.folder = "/tmp/taffrail-access-XXXXXX"};
	cr_assert_not_null(mkdtemp(room.folder));
	room.base = event_base_new();
	open_store(&room);
	serve_tls();
}

static void close_tls_room(void)
{
	close_room(&room);
	owners_close(room.access.owners);
	grpc_tls_close(room.tls);
	papers_close(&papers);
}

static struct grpc_tls *join(struct peer *peer, const char *name)
{
	struct grpc_tls *tls = papers_load(&papers, "ca.pem", name);

	room.client_tls = tls;
	connect_sensor(&room, peer);
	return tls;
}

static void leave(struct peer *peer, struct grpc_tls *tls)
{
	grpc_client_close(peer->client);
	grpc_tls_close(tls);
}

Test(access, a_host_is_written_under_one_name)
{
	struct receiver_counters counters;
	struct peer first, second, node;
	struct grpc_tls *tls, *other;

	open_tls_room();
	papers_issue(&papers, "second", "DNS:sensor.elsewhere");
	papers_issue(&papers, "node", "DNS:unknown.example,URI:spiffe://nodes/1,DNS:sensor.taffrail");
	tls = join(&first, "sensor");
	say_hello(&first, host_id.data, epoch, sizeof(epoch));
	until(&room, first.hellos == 1);
	send_batch(&first, 1, 3);
	until(&room, first.acked == 3);
	cr_expect_str_eq(owners_of(room.access.owners, host_id), "sensor.taffrail");

	other = join(&second, "second");
	say_hello(&second, host_id.data, epoch, sizeof(epoch));
	until(&room, second.done);
	cr_expect_eq(second.status, GRPC_PERMISSION_DENIED, "%s", second.message);
	cr_expect_eq(second.hellos, 0);
	leave(&second, other);
	send_batch(&first, 4, 4);
	until(&room, first.acked == 4);
	cr_expect_eq(first.done, 0, "the other was not disturbed");
	receiver_counters(room.receiver, &counters);
	cr_expect_eq(counters.hosts_refused, 1);
	leave(&first, tls);

	/* A certificate that has that name among others may. */
	tls = join(&node, "node");
	say_hello(&node, host_id.data, epoch, sizeof(epoch));
	until(&room, node.hellos == 1);
	cr_expect_eq(node.stored, 4);
	send_batch(&node, 5, 5);
	until(&room, node.acked == 5);
	leave(&node, tls);
	close_tls_room();
}

/* Three hosts, as serve_tls says: a fourth of the same name is refused in words, and another name's is taken. */
Test(access, a_name_that_has_its_share_of_hosts)
{
	struct receiver_counters counters;
	struct grpc_tls *tls, *other;
	struct peer peers[5];
	char name[20];

	open_tls_room();
	papers_issue(&papers, "second", "DNS:sensor.elsewhere");
	for (int i = 0; i < 5; i++) {
		const uint8_t own[EVENT_EPOCH_SIZE] = {(uint8_t)(i + 1)};
		struct buffer *bytes;

		snprintf(name, sizeof(name), "host-%d", i);
		tls = join(&peers[i], i < 4 ? "sensor" : "second");
		say_hello(&peers[i], name, own, sizeof(own));
		until(&room, peers[i].hellos == 1);
		bytes = make_batch_of(name, own, 1, 1, 10);
		cr_assert_eq(grpc_call_send(peers[i].call, bytes->data, bytes->length), 0);
		wire_bytes_free(bytes);
		other = tls;
		until(&room, peers[i].acked == 1 || peers[i].done);
		leave(&peers[i], other);
		cr_expect_eq(peers[i].acked, i != 3, "%d: %s", i, peers[i].message);
	}
	cr_expect_eq(peers[3].status, GRPC_RESOURCE_EXHAUSTED);
	cr_expect(strstr(peers[3].message, "hosts.max_per_name"), "%s", peers[3].message);
	receiver_counters(room.receiver, &counters);
	cr_expect_eq(counters.hosts_refused, 1);
	close_tls_room();
}

/* A hello alone takes nothing; and what was taken is still so after a restart. */
Test(access, what_is_stored_takes_the_host_and_a_restart_gives_nothing_away)
{
	struct peer first, second;
	struct grpc_tls *tls, *other;

	open_tls_room();
	papers_issue(&papers, "second", "DNS:sensor.elsewhere");
	tls = join(&first, "sensor");
	say_hello(&first, host_id.data, epoch, sizeof(epoch));
	until(&room, first.hellos == 1);
	cr_expect_null(owners_of(room.access.owners, host_id));
	other = join(&second, "second");
	say_hello(&second, host_id.data, (uint8_t[EVENT_EPOCH_SIZE]){9}, EVENT_EPOCH_SIZE);
	until(&room, second.hellos == 1);
	send_batch(&first, 1, 1);
	until(&room, first.acked == 1);
	struct buffer *bytes = make_batch((uint8_t[EVENT_EPOCH_SIZE]){9}, 1, 1, 10);
	cr_assert_eq(grpc_call_send(second.call, bytes->data, bytes->length), 0);
	wire_bytes_free(bytes);
	until(&room, second.done);
	cr_expect_eq(second.status, GRPC_PERMISSION_DENIED, "%s", second.message);
	leave(&first, tls);
	leave(&second, other);

	close_rooms(&room);
	owners_close(room.access.owners);
	grpc_tls_close(room.tls);
	open_store(&room);
	serve_tls();
	other = join(&second, "second");
	say_hello(&second, host_id.data, epoch, sizeof(epoch));
	until(&room, second.done);
	cr_expect_eq(second.status, GRPC_PERMISSION_DENIED);
	leave(&second, other);
	close_tls_room();
}

Test(access, a_name_that_no_pattern_fits_neither_writes_nor_reads)
{
	struct grpc_tls *tls;
	struct peer peer;

	open_tls_room();
	papers_issue(&papers, "stranger", "DNS:stranger.example");
	papers_issue(&papers, "nameless", "");
	tls = join(&peer, "stranger");
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_PERMISSION_DENIED);
	cr_expect(strstr(peer.message, "may write here (--allow)"), "%s", peer.message);
	leave(&peer, tls);
	tls = join(&peer, "nameless");
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_PERMISSION_DENIED);
	leave(&peer, tls);
	tls = papers_load(&papers, "ca.pem", "sensor");
	room.client_tls = tls;
	connect_peer(&room, &peer, "/taffrail.v1.Query/Watch", (struct grpc_call_options){0});
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_PERMISSION_DENIED);
	cr_expect(strstr(peer.message, "may read here (--allow-reader)"), "%s", peer.message);
	leave(&peer, tls);
	close_tls_room();
}

/* Nothing is acknowledged of a host that a power cut would give away, neither in an ack nor in the hello's answer. */
Test(access, what_is_not_noted_as_its_own_is_not_acknowledged)
{
	struct grpc_tls *tls;
	struct peer peer;
	char path[200];

	open_tls_room();
	owners_close(room.access.owners);
	snprintf(path, sizeof(path), "%s/data/owners", room.folder);
	cr_assert_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/data", room.folder);
	break_owners(path, path + 100);
	room.access.owners = open_owners(path);
	cr_assert_eq(mkdir(path + 100, 0700), 0);
	tls = join(&peer, "sensor");
	say_hello(&peer, host_id.data, epoch, sizeof(epoch));
	until(&room, peer.hellos == 1);
	send_batch(&peer, 1, 3);
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_UNAVAILABLE, "%s", peer.message);
	cr_expect_eq(peer.acked, 0);
	leave(&peer, tls);
	tls = join(&peer, "sensor");
	say_hello(&peer, host_id.data, epoch, sizeof(epoch));
	until(&room, peer.done);
	cr_expect_eq(peer.status, GRPC_UNAVAILABLE, "%s", peer.message);
	cr_expect_eq(peer.hellos, 0);
	leave(&peer, tls);

	until(&room, store_synced(room.store, host_id, epoch) == 3);
	cr_assert_eq(rmdir(path + 100), 0);
	tls = join(&peer, "sensor");
	say_hello(&peer, host_id.data, epoch, sizeof(epoch));
	until(&room, peer.hellos == 1);
	cr_expect_eq(peer.stored, 3, "it was stored the first time");
	send_batch(&peer, 4, 4);
	until(&room, peer.acked == 4);
	leave(&peer, tls);
	close_tls_room();
}
