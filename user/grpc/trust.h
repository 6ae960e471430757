/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program is told of TLS: the keys and options that all programs share, and the log's words about them while it
 * runs. Without TLS plain text goes no further than this machine, unless `insecure` says otherwise.
 */
#ifndef TAFFRAIL_GRPC_TRUST_H
#define TAFFRAIL_GRPC_TRUST_H

#include <stdbool.h>

struct event;
struct event_base;
struct grpc_address;
struct grpc_tls;
struct program_spec;

/* All zero at first. */
struct grpc_trust {
	char *ca, *certificate, *key; /* tls.ca, tls.cert, tls.key */
	char *name;                   /* tls.name: what a client wants the server's certificate to be for */
	bool insecure;                /* insecure: plain text to and from any address */
	struct grpc_tls *tls;         /* made of the files by grpc_trust_read; NULL: plain text */

	struct event *look; /* at the files, while they are watched */
	unsigned looks;
};

/* Rows for a program's tables of keys and options (base/options.h). */
#define GRPC_TRUST_KEYS(trust)                                                                                         \
	{"tls.ca", CONFIG_TEXT, &(trust)->ca, 0, 0, "PEM file: the CAs that peers' certificates are from"},            \
		{"tls.cert", CONFIG_TEXT, &(trust)->certificate, 0, 0,                                                 \
			"PEM file: its own certificate, and its chain"},                                               \
		{"tls.key", CONFIG_TEXT, &(trust)->key, 0, 0, "PEM file: the certificate's key"},                      \
	{                                                                                                              \
		"insecure", CONFIG_BOOL, &(trust)->insecure, 0, 0, "plain text also to and from other machines"        \
	}
#define GRPC_TRUST_NAME_KEY(trust)                                                                                     \
	{                                                                                                              \
		"tls.name", CONFIG_TEXT, &(trust)->name, 0, 0,                                                         \
			"what the server's certificate is for, where it is not the address's host"                     \
	}
#define GRPC_TRUST_OPTIONS                                                                                             \
	{"tls-ca", "FILE", "tls.ca", NULL}, {"tls-cert", "FILE", "tls.cert", NULL},                                    \
		{"tls-key", "FILE", "tls.key", "mutual TLS 1.3: PEM files"},                                           \
	{                                                                                                              \
		"insecure", NULL, "insecure", "plain text also to and from other machines"                             \
	}

/*
 * Reads the files, if any are named. Returns -1 to go on, or 2 after it has said what is wrong. `program`: knows where the
 * keys were said (options_wrong_key).
 */
int grpc_trust_read(struct grpc_trust *trust, const struct program_spec *program);

/* May this address be used with what was said? -1, or 2 after one line; `key` and `word`: as it was said. */
int grpc_trust_allows(const struct grpc_trust *trust, const struct program_spec *program, const char *key,
	const char *word, const struct grpc_address *address);

/*
 * Looks at the files each second in this loop: a changed set is used from then on, one that is wrong is an error in the
 * log. Says at once, and each day, what ends in less than 14 days; and that plain text is allowed. 0 or -ENOMEM.
 */
int grpc_trust_watch(struct grpc_trust *trust, struct event_base *base);

/* Before the loop that it is watched in is freed. May run twice. */
void grpc_trust_unwatch(struct grpc_trust *trust);

/* The texts are the configuration's and stay. */
void grpc_trust_close(struct grpc_trust *trust);

#endif
