/* SPDX-License-Identifier: Apache-2.0 */
/* Mutual TLS between our own two sides: who is let in, who is told what, and new certificates while streams run. */
#include "test_grpc.h"
#include "test_tls.h"

#include "grpc/tls_inside.h"

static struct world world;
static struct papers papers;
static struct grpc_tls *server_tls, *client_tls;

/* A server with server.pem; it knows the CA of `ca`. */
static void serve(const char *where, const char *ca)
{
	struct grpc_server_options options = world_server_options(&world);

	server_tls = papers_load(&papers, ca, "server");
	options.tls = server_tls;
	options.handshake_timeout_ms = 400;
	options.message_timeout_ms = 300;
	world_serve(&world, where, &options);
}

/* A client with NAME.pem; `host`: the name that it wants the server to have, or NULL. */
static void join(const char *ca, const char *name, const char *host)
{
	struct grpc_client_options options = world_client_options(&world);

	client_tls = papers_load(&papers, ca, name);
	options.tls = client_tls;
	options.tls_name = host;
	world_connect(&world, &options);
}

static void leave(void)
{
	grpc_client_close(world.client);
	world.client = NULL;
	grpc_tls_close(client_tls);
	client_tls = NULL;
}

static void close_all(void)
{
	leave();
	world_close(&world);
	grpc_tls_close(server_tls);
	papers_close(&papers);
}

static void assert_refused(int error, const char *theirs, const char *ours)
{
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, error, "%d %s", world.down_error, world.down_reason);
	cr_expect(strstr(world.down_reason, theirs), "%s", world.down_reason);
	if (ours)
		world_until(&world, world.troubles == 1);
	cr_expect(!ours || strstr(world.trouble, ours), "%s", world.trouble);
	cr_expect_eq(world.served.opened, 0);
}

/* --- who is let in -------------------------------------------------------------------------------------------------- */

static const struct grpc_identity *seen;
static struct grpc_identity seen_room;

static enum grpc_status admit(void *context, const struct grpc_stream *stream, char *why, size_t why_size)
{
	(void)context;
	seen = grpc_stream_identity(stream);
	if (seen)
		seen_room = *seen;
	if (strcmp(grpc_stream_path(stream), "/t.T/Sink") != 0)
		return GRPC_OK;
	snprintf(why, why_size, "not you");
	return GRPC_PERMISSION_DENIED;
}

static void echo_over(const char *where)
{
	uint8_t *large = malloc(3 << 20);

	papers_open(&papers);
	serve(where, "ca.pem");
	join("ca.pem", "sensor", NULL);
	world_unary(&world, "/t.T/Echo", "hello", 5);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	cr_expect_eq(world.called.bytes, 5);
	cr_expect(strstr(world.served.peer, " (sensor.taffrail)"), "%s", world.served.peer);
	for (size_t i = 0; i < 3 << 20; i++)
		large[i] = (uint8_t)(i * 7 + i / 4099);
	world_unary(&world, "/t.T/Echo", large, 3 << 20);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.last_length, 3 << 20);
	cr_expect_eq(memcmp(world.called.last, large, 3 << 20), 0);
	free(large);
	grpc_client_drain(world.client);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, 0, "%s", world.down_reason);
	cr_expect_eq(world.troubles, 0, "%s", world.trouble);
	close_all();
}

Test(grpc_tls, calls_over_tcp)
{
	echo_over("tcp");
}

Test(grpc_tls, calls_over_unix)
{
	echo_over("unix");
}

Test(grpc_tls, the_peers_names_are_known_and_decide)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_server_counters counters;

	papers_open(&papers);
	server_tls = papers_load(&papers, "ca.pem", "server");
	options.tls = server_tls;
	options.admit = admit;
	world_serve(&world, "tcp", &options);
	join("ca.pem", "sensor", NULL);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_assert_not_null(seen);
	cr_assert_eq(seen_room.count, 3);
	cr_expect_str_eq(seen_room.names[0], "sensor.taffrail");
	cr_expect_str_eq(seen_room.names[1], "spiffe://example/ns/taffrail");
	cr_expect_str_eq(seen_room.names[2], "192.0.2.7");
	world_unary(&world, "/t.T/Sink", "x", 1);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.status, GRPC_PERMISSION_DENIED);
	cr_expect_str_eq(world.called.message, "not you");
	cr_expect_eq(world.served.opened, 1, "no handler hears of it");
	cr_expect(strstr(world.trouble, "(sensor.taffrail): not you"), "%s", world.trouble);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.streams_denied, 1);
	close_all();
}

Test(grpc_tls, a_name_that_is_none_is_left_out)
{
	static const char odd[] =
		"DNS:ok.example,DNS:a b,URI:spiffe://x\1y,URI:no-scheme,email:a@example,DNS:x,URI:a:b";
	struct grpc_identity identity;
	X509 *certificate;
	EVP_PKEY *key;

	papers_open(&papers);
	key = papers_key();
	certificate = papers_make(&papers.ca, key, odd, -60, 60);
	grpc_identity_read(&identity, certificate);
	cr_assert_eq(identity.count, 3);
	cr_expect_str_eq(identity.names[0], "ok.example");
	cr_expect_str_eq(identity.names[1], "x");
	cr_expect_str_eq(identity.names[2], "a:b");
	X509_free(certificate);
	certificate = papers_make(&papers.ca, key, "", -60, 60);
	grpc_identity_read(&identity, certificate);
	cr_expect_eq(identity.count, 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
	papers_close(&papers);
}

Test(grpc_tls, more_names_than_are_looked_at)
{
	char names[20 * 20] = "";
	struct grpc_identity identity;
	X509 *certificate;
	EVP_PKEY *key;

	papers_open(&papers);
	key = papers_key();
	for (int i = 0; i < 20; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%sDNS:n%d", i ? "," : "", i);
	certificate = papers_make(&papers.ca, key, names, -60, 60);
	grpc_identity_read(&identity, certificate);
	cr_expect_eq(identity.count, GRPC_IDENTITY_NAMES);
	X509_free(certificate);
	EVP_PKEY_free(key);
	papers_close(&papers);
}

/* --- who is not ----------------------------------------------------------------------------------------------------- */

static struct issuer other_ca(void)
{
	struct issuer other = papers_ca();

	papers_write(&papers, "other-ca.pem", other.certificate, NULL);
	papers_issue_by(&papers, &other, "other", "DNS:sensor.taffrail", -60, 86400);
	return other;
}

static void forget_ca(struct issuer ca)
{
	X509_free(ca.certificate);
	EVP_PKEY_free(ca.key);
}

Test(grpc_tls, a_client_of_another_ca)
{
	struct grpc_server_counters counters;

	papers_open(&papers);
	forget_ca(other_ca());
	serve("tcp", "ca.pem");
	join("ca.pem", "other", NULL);
	assert_refused(-EKEYREJECTED, "certificate", "its certificate is refused: ");
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.certificates_refused, 1);
	close_all();
}

Test(grpc_tls, a_server_of_another_ca)
{
	papers_open(&papers);
	forget_ca(other_ca());
	serve("tcp", "ca.pem");
	join("other-ca.pem", "sensor", NULL);
	assert_refused(-EKEYREJECTED, "its certificate is refused: ", "it does not know the CA of our certificate");
	close_all();
}

Test(grpc_tls, a_server_of_another_name)
{
	papers_open(&papers);
	serve("tcp", "ca.pem");
	join("ca.pem", "sensor", "elsewhere.example");
	assert_refused(-EKEYREJECTED, "hostname mismatch", NULL);
	world.down = 0;
	leave();
	join("ca.pem", "sensor", "192.0.2.1");
	world_until(&world, world.down == 1);
	cr_expect(strstr(world.down_reason, "IP address mismatch"), "%s", world.down_reason);
	leave();
	join("ca.pem", "sensor", "collector.example");
	world_until(&world, world.up == 1);
	close_all();
}

/* It was good when its owner loaded it. */
Test(grpc_tls, a_client_whose_certificate_has_ended_since)
{
	papers_open(&papers);
	papers_issue_by(&papers, &papers.ca, "short", "DNS:sensor.taffrail", -60, 1);
	serve("tcp", "ca.pem");
	client_tls = papers_load(&papers, "ca.pem", "short");
	world_for(&world, 2100);
	struct grpc_client_options options = world_client_options(&world);
	options.tls = client_tls;
	world_connect(&world, &options);
	assert_refused(-EKEYREJECTED, "our certificate has ended", "certificate has expired");
	close_all();
}

static void put_on_list(const char *name)
{
	char path[160], file[80];
	X509_CRL *list = X509_CRL_new();
	X509_REVOKED *one = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -10), *later = X509_gmtime_adj(NULL, 3600);
	X509 *certificate;
	FILE *pem;

	snprintf(file, sizeof(file), "%s.pem", name);
	pem = fopen(papers_path(&papers, file, path), "r");
	certificate = PEM_read_X509(pem, NULL, NULL, NULL);
	fclose(pem);
	X509_REVOKED_set_serialNumber(one, X509_get_serialNumber(certificate));
	X509_REVOKED_set_revocationDate(one, now);
	X509_CRL_set_version(list, 1);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(papers.ca.certificate));
	X509_CRL_set1_lastUpdate(list, now);
	X509_CRL_set1_nextUpdate(list, later);
	X509_CRL_add0_revoked(list, one);
	cr_assert(X509_CRL_sign(list, papers.ca.key, EVP_sha256()) > 0);
	pem = fopen(papers_path(&papers, "ca.pem", path), "a");
	cr_assert(PEM_write_X509_CRL(pem, list));
	fclose(pem);
	X509_CRL_free(list);
	X509_free(certificate);
	ASN1_TIME_free(now);
	ASN1_TIME_free(later);
}

/* Also one that was here before: there is no session to come back to. */
Test(grpc_tls, a_revoked_client_does_not_come_back)
{
	char why[300];

	papers_open(&papers);
	papers_issue(&papers, "good", "DNS:good.example");
	serve("tcp", "ca.pem");
	join("ca.pem", "sensor", NULL);
	world_until(&world, world.up == 1);
	put_on_list("sensor");
	cr_assert_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0, "first it settles");
	cr_assert_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 1, "%s", why);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "what runs goes on");
	grpc_client_drain(world.client);
	world_until(&world, world.down == 1);
	cr_assert_eq(grpc_client_reconnect(world.client, 0), 0);
	world_until(&world, world.down == 2);
	cr_expect_eq(world.down_error, -EKEYREJECTED);
	cr_expect(strstr(world.down_reason, "revoked"), "%s", world.down_reason);
	cr_expect(strstr(world.trouble, "certificate revoked"), "%s", world.trouble);
	leave();
	join("ca.pem", "good", NULL);
	world_until(&world, world.up >= 2);
	close_all();
}

/* --- plain text and half-truths ------------------------------------------------------------------------------------- */

Test(grpc_tls, plain_text_meets_tls)
{
	struct grpc_client_options options = world_client_options(&world);

	papers_open(&papers);
	serve("tcp", "ca.pem");
	world_connect(&world, &options);
	world_until(&world, world.down == 1);
	world_until(&world, world.troubles == 1);
	cr_expect(strstr(world.trouble, "it does not speak TLS"), "%s", world.trouble);
	cr_expect_eq(world.up, 0);
	close_all();
}

Test(grpc_tls, tls_meets_plain_text)
{
	papers_open(&papers);
	world_serve(&world, "tcp", NULL);
	join("ca.pem", "sensor", NULL);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, -EPROTO, "%d %s", world.down_error, world.down_reason);
	cr_expect(strstr(world.down_reason, "it does not speak TLS"), "%s", world.down_reason);
	close_all();
}

/* Nothing, a piece of a record, bytes that trickle: each is given up in time, and a stream beside them goes on. */
Test(grpc_tls, handshakes_have_a_limit)
{
	static const uint8_t hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	struct grpc_server_counters counters;
	int silent, half, trickle;
	struct grpc_call *call;

	papers_open(&papers);
	serve("tcp", "ca.pem");
	join("ca.pem", "sensor", NULL);
	call = world_call(&world, "/t.T/Echo");
	world_until(&world, world.up == 1);
	silent = raw_connect(&world);
	half = raw_connect(&world);
	raw_send(half, hello, 5);
	trickle = raw_connect(&world);
	for (size_t i = 0; i < 90; i++) {
		(void)!send(trickle, i < sizeof(hello) ? (const void *)&hello[i] : "a", 1, MSG_NOSIGNAL);
		cr_assert_eq(grpc_call_send(call, &(uint32_t){(uint32_t)i}, 4), 0);
		world_for(&world, 10);
	}
	world_until(&world, raw_is_closed(silent) && raw_is_closed(half) && raw_is_closed(trickle));
	world_until(&world, world.called.messages == 90);
	cr_expect_not(world.called.out_of_order);
	cr_expect_eq(world.called.done, 0);
	cr_expect_eq(world.troubles, 3);
	cr_expect(strstr(world.trouble, "the TLS handshake was not"), "%s", world.trouble);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.connections_timed_out, 3);
	cr_expect_eq(counters.connections_waiting, 0);
	cr_expect_eq(counters.connections_open, 1);
	close(silent);
	close(half);
	close(trickle);
	close_all();
}

/* Of those that have not said who they are the oldest goes, so that silence does not keep others out. */
Test(grpc_tls, silent_peers_do_not_keep_others_out)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_server_counters counters;
	int silent[20];

	papers_open(&papers);
	server_tls = papers_load(&papers, "ca.pem", "server");
	options.tls = server_tls;
	options.max_connections = 8;
	world_serve(&world, "tcp", &options);
	for (int i = 0; i < 20; i++)
		silent[i] = raw_connect(&world);
	world_for(&world, 50);
	join("ca.pem", "sensor", NULL);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.connections_refused, 13);
	cr_expect_eq(counters.connections_waiting, 7);
	cr_expect(strstr(world.trouble, "too many connections"), "%s", world.trouble);
	cr_expect(raw_is_closed(silent[0]));
	cr_expect_not(raw_is_closed(silent[19]));
	for (int i = 0; i < 20; i++)
		close(silent[i]);
	close_all();
}

/* --- new certificates ----------------------------------------------------------------------------------------------- */

Test(grpc_tls, new_certificates_are_met_by_new_connections_alone)
{
	struct issuer other;
	struct grpc_call *call;
	char why[300] = "";

	papers_open(&papers);
	serve("tcp", "ca.pem");
	join("ca.pem", "sensor", NULL);
	call = world_call(&world, "/t.T/Echo");
	cr_assert_eq(grpc_call_send(call, &(uint32_t){0}, 4), 0);
	world_until(&world, world.called.messages == 1);
	other = other_ca();
	papers_write(&papers, "ca.pem", other.certificate, NULL);
	papers_issue_by(&papers, &other, "server", "DNS:localhost,IP:127.0.0.1", -60, 20L * 86400);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0, "first it settles");
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 1, "%s", why);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0);
	cr_expect_lt(llabs(grpc_tls_certificate_end(server_tls) - time(NULL) - 20L * 86400), 5);
	cr_assert_eq(grpc_call_send(call, &(uint32_t){1}, 4), 0);
	world_until(&world, world.called.messages == 2);
	cr_expect_eq(world.down, 0, "the stream of before goes on");
	leave();
	join("other-ca.pem", "other", NULL);
	world_until(&world, world.up == 2);
	leave();
	world.down = 0;
	papers_write(&papers, "old-ca.pem", papers.ca.certificate, NULL);
	join("old-ca.pem", "sensor", NULL);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, -EKEYREJECTED);
	forget_ca(other);
	close_all();
}

Test(grpc_tls, a_broken_set_keeps_the_old_one_and_is_said_once)
{
	char why[300] = "", path[160];

	papers_open(&papers);
	serve("tcp", "ca.pem");
	papers_text(&papers, "server.key", "nonsense");
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), -EINVAL);
	cr_expect(strstr(why, "server.key: there is no private key in PEM in it"), "%s", why);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0);
	join("ca.pem", "sensor", NULL);
	world_until(&world, world.up == 1);
	unlink(papers_path(&papers, "server.pem", path));
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), -EINVAL);
	cr_expect(strstr(why, "server.pem: No such file"), "%s", why);
	papers_issue(&papers, "server", "DNS:localhost,IP:127.0.0.1");
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 0);
	cr_expect_eq(grpc_tls_refresh(server_tls, why, sizeof(why)), 1, "%s", why);
	close_all();
}

/* As Kubernetes does it: the files are links into a folder that is a link, which is swapped. */
Test(grpc_tls, a_swapped_link_is_a_change)
{
	struct grpc_tls *tls = NULL;
	char command[600], why[300];

	papers_open(&papers);
	snprintf(command, sizeof(command),
		"cd %s && mkdir a b && cp ca.pem server.pem server.key a && cp a/* b && ln -s a ..data && mkdir m && "
		"for f in ca.pem server.pem server.key; do ln -s ../..data/$f m/$f; done",
		papers.folder);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(papers_try(&papers, "m/ca.pem", "m/server", &tls, why, sizeof(why)), 0, "%s", why);
	cr_expect_eq(grpc_tls_refresh(tls, why, sizeof(why)), 0);
	snprintf(command, sizeof(command), "cd %s && ln -s b ..new && mv -T ..new ..data", papers.folder);
	cr_assert_eq(system(command), 0);
	cr_expect_eq(grpc_tls_refresh(tls, why, sizeof(why)), 0);
	cr_expect_eq(grpc_tls_refresh(tls, why, sizeof(why)), 1, "%s", why);
	grpc_tls_close(tls);
	papers_close(&papers);
}
