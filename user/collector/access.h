/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what, by the names of certificates (grpc/tls.h): sensors write (Collector), readers read (Query, and whatever
 * else there will be). In plain text there are no names: whoever reaches the address may do both, as ever.
 *
 * Over TLS a right that no pattern gives nobody has. A CA says who somebody is; that it also decides what he may do holds
 * for a CA of Taffrail's own alone, and then the pattern `*` says so.
 */
#ifndef TAFFRAIL_COLLECTOR_ACCESS_H
#define TAFFRAIL_COLLECTOR_ACCESS_H

#include "base/config.h"
#include "base/text.h"
#include "grpc/server.h"

struct owners;

struct access {
	const struct config_list *writers, *readers; /* patterns */
	struct owners *owners;                       /* which hosts are whose; NULL: plain text */
};

/* For grpc_server_options.admit, with a struct access as its context. */
enum grpc_status access_admit(
	const struct access *access, const struct grpc_stream *stream, char *why, size_t why_size);

/* May somebody of these names do anything at all? */
bool access_admit_peer(const struct access *access, const struct grpc_identity *identity);

/*
 * May this peer write what is this host's? One that is nobody's yet becomes its own where `claim` says so, under the first
 * of its names that may write. GRPC_OK; PERMISSION_DENIED: it is another name's; RESOURCE_EXHAUSTED: it cannot be noted;
 * UNAVAILABLE: what was noted is not on the disk, for now. All have been logged, and `why` is for the peer.
 */
enum grpc_status access_host(
	const struct access *access, const struct grpc_stream *stream, struct text host, bool claim, const char **why);

/* What was claimed is on the disk; or -errno, which is logged. Before what was stored of it is acknowledged. */
int access_sync(const struct access *access);

/* Does the pattern fit all of the name? A `*` in it stands for any text, an empty one and dots and slashes too. */
bool access_fits(const char *pattern, const char *name);

#endif
