/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/access.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "collector/owners.h"
#include "collector/segment.h"

bool access_fits(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL; /* the last star, and what of the name stands behind its text */

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == *name) {
			pattern++;
			name++;
		} else if (star) { /* it takes one byte more; earlier stars need not be tried again */
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

static bool is_given(const struct config_list *patterns, const char *name)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (access_fits(patterns->items[i], name))
			return true;
	return false;
}

static const char *first_given(const struct config_list *patterns, const struct grpc_identity *identity)
{
	for (size_t i = 0; i < identity->count; i++)
		if (is_given(patterns, identity->names[i]))
			return identity->names[i];
	return NULL;
}

/* Has it this name, and may that name write? */
static bool is_writer(const struct access *access, const struct grpc_identity *identity, const char *name)
{
	for (size_t i = 0; i < identity->count; i++)
		if (strcmp(identity->names[i], name) == 0)
			return is_given(access->writers, name);
	return false;
}

enum grpc_status access_admit(const struct access *access, const struct grpc_stream *stream, char *why, size_t why_size)
{
	static const char writing[] = "/taffrail.v1.Collector/";
	bool writes = strncmp(grpc_stream_path(stream), writing, sizeof(writing) - 1) == 0;
	const struct grpc_identity *identity = grpc_stream_identity(stream);

	if (!identity || first_given(writes ? access->writers : access->readers, identity))
		return GRPC_OK;
	snprintf(why, why_size, "no name of this certificate may %s here (%s)", writes ? "write" : "read",
		writes ? "--allow" : "--allow-reader");
	return GRPC_PERMISSION_DENIED;
}

bool access_admit_peer(const struct access *access, const struct grpc_identity *identity)
{
	return first_given(access->writers, identity) || first_given(access->readers, identity);
}

enum grpc_status access_host(
	const struct access *access, const struct grpc_stream *stream, struct text host, bool claim, const char **why)
{
	const struct grpc_identity *identity = grpc_stream_identity(stream);
	const char *owner, *writer;
	char name[SEGMENT_HOST_MAX + 1];
	int error;

	if (!identity || !access->owners)
		return GRPC_OK;
	/* What is stored of a host counts as acknowledged once its sensor has an answer to its hello. */
	if (owners_failed(access->owners) && access_sync(access) < 0) {
		*why = "whose the hosts are cannot be noted now";
		return GRPC_UNAVAILABLE;
	}
	snprintf(name, sizeof(name), "%.*s", (int)host.length, host.data);
	utf8_defuse(name, strlen(name));
	owner = owners_of(access->owners, host);
	if (owner && !is_writer(access, identity, owner)) {
		log_limited("%s: the host %s belongs to %s, whose certificate this is not", grpc_stream_peer(stream),
			name, owner);
		*why = "this host belongs to another certificate's name";
		return GRPC_PERMISSION_DENIED;
	}
	writer = first_given(access->writers, identity);
	if (owner || !claim)
		return GRPC_OK;
	error = !writer ? -EACCES : owners_claim(access->owners, host, writer);
	if (!error)
		return GRPC_OK;
	if (error == -EUSERS)
		log_limited("%s: the host %s is refused: %s has as many hosts as one name may (hosts.max_per_name)",
			grpc_stream_peer(stream), name, writer);
	else
		log_limited("%s: the host %s cannot be noted as its own: %s", grpc_stream_peer(stream), name,
			error == -ENOSPC ? "there is no room for more" : strerror(-error));
	*why = error == -EUSERS ? "this certificate's name has as many hosts as one may (hosts.max_per_name)"
				: "the host cannot be noted as its own";
	return GRPC_RESOURCE_EXHAUSTED;
}

int access_sync(const struct access *access)
{
	int error = access->owners ? owners_sync(access->owners) : 0;

	if (error)
		log_limited("the data directory: owners: %s", strerror(-error));
	return error;
}
