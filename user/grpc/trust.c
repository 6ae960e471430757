/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/trust.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/options.h"
#include "grpc/address.h"
#include "grpc/tls.h"

enum {
	DAY_SECONDS = 24 * 60 * 60,
	DAYS_TO_WARN = 14,
};

int grpc_trust_read(struct grpc_trust *trust, const struct program_spec *program)
{
	const char *missing = !trust->ca            ? "--tls-ca"
			      : !trust->certificate ? "--tls-cert"
			      : !trust->key         ? "--tls-key"
						    : NULL;
	const char *said = trust->ca ? "tls.ca" : trust->certificate ? "tls.cert" : "tls.key";
	char why[1024];

	if (!trust->ca && !trust->certificate && !trust->key)
		return trust->name ? options_wrong_key(program, "tls.name",
					     "tls.name is for TLS, and --tls-ca, --tls-cert and --tls-key are missing")
				   : -1;
	if (missing)
		return options_wrong_key(
			program, said, "--tls-ca, --tls-cert and --tls-key go together, and %s is missing", missing);
	if (trust->insecure)
		return options_wrong_key(
			program, "insecure", "--insecure and --tls-… exclude each other: it is plain text or TLS");
	if (grpc_tls_open(&trust->tls, trust->ca, trust->certificate, trust->key, why, sizeof(why)) < 0)
		return options_wrong("%s", why);
	return -1;
}

int grpc_trust_allows(const struct grpc_trust *trust, const struct program_spec *program, const char *key,
	const char *word, const struct grpc_address *address)
{
	if (trust->tls || trust->insecure || grpc_address_is_loopback(address))
		return -1;
	return options_wrong_key(program, key,
		"--%s \"%s\": plain text is for loopback addresses and unix sockets; other machines want --tls-ca, "
		"--tls-cert and --tls-key, or --insecure",
		key, word);
}

/* --- while it runs -------------------------------------------------------------------------------------------------- */

/* Of an end (tls.h): whole days from now on, negative when it is past. */
static long days_until(long long end)
{
	long long seconds = end - (long long)time(NULL);

	return (long)(seconds / DAY_SECONDS) - (seconds % DAY_SECONDS < 0);
}

static void say_end(const char *path, const char *what, long long end)
{
	long days = days_until(end);

	if (days < 0)
		log_warning("%s: %s has expired: no connection comes about any more", path, what);
	else if (days < DAYS_TO_WARN)
		log_warning("%s: %s expires in %ld day%s", path, what, days, days == 1 ? "" : "s");
}

static void say_ends(const struct grpc_trust *trust)
{
	say_end(trust->certificate, "the certificate", grpc_tls_certificate_end(trust->tls));
	say_end(trust->ca, "a certificate in it", grpc_tls_ca_end(trust->tls));
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
	struct grpc_trust *trust = context;
	char why[1024];
	int result = grpc_tls_refresh(trust->tls, why, sizeof(why));

	(void)fd;
	(void)what;
	if (result > 0) {
		log_info("new certificates: connections from now on use %s", trust->certificate);
		say_ends(trust);
	} else if (result < 0) {
		log_error("%s: the certificates of before stay", why);
	}
	if (++trust->looks % DAY_SECONDS == 0)
		say_ends(trust);
}

int grpc_trust_watch(struct grpc_trust *trust, struct event_base *base)
{
	const struct timeval second = {1, 0};

	if (trust->insecure)
		log_warning("insecure: plain text is allowed to and from other machines, who can read and forge it");
	if (!trust->tls)
		return 0;
	say_ends(trust);
	trust->look = event_new(base, -1, EV_PERSIST, on_look, trust);
	return trust->look && event_add(trust->look, &second) == 0 ? 0 : -ENOMEM;
}

void grpc_trust_unwatch(struct grpc_trust *trust)
{
	if (trust->look)
		event_free(trust->look);
	trust->look = NULL;
}

void grpc_trust_close(struct grpc_trust *trust)
{
	grpc_trust_unwatch(trust);
	grpc_tls_close(trust->tls);
	trust->tls = NULL;
}
