/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/payload.h"

static const struct {
	const char *name;
	enum payload_family family;
} kinds[PAYLOAD_KINDS_END] = {[PAYLOAD_UNKNOWN] = {"unknown", FAMILY_NONE},
#define KIND(name, family, text) [PAYLOAD_##name] = {text, FAMILY_##family},
	PAYLOAD_KINDS(KIND)
#undef KIND
};

const char *payload_family_name(enum payload_family family)
{
	static const char *const names[FAMILIES] = {
		[FAMILY_BITTORRENT] = "bittorrent",
		[FAMILY_IPFS] = "ipfs",
		[FAMILY_SYNCTHING] = "syncthing",
		[FAMILY_BLOCKCHAIN] = "blockchain",
		[FAMILY_EDONKEY] = "edonkey",
		[FAMILY_GNUTELLA] = "gnutella",
		[FAMILY_OTHER] = "other",
	};

	return family < FAMILIES ? names[family] : NULL;
}

const char *payload_kind_name(enum payload_kind kind)
{
	return kinds[kind < PAYLOAD_KINDS_END ? kind : PAYLOAD_UNKNOWN].name;
}

enum payload_family payload_kind_family(enum payload_kind kind)
{
	return kinds[kind < PAYLOAD_KINDS_END ? kind : PAYLOAD_UNKNOWN].family;
}

/*
 * What is certain by its text comes first. uTP, whose header has little that is fixed, is in payload_look_bittorrent and
 * is asked after what has a magic number, since a STUN or DNS message must not be taken for it.
 */
enum payload_kind payload_look(const struct payload *payload)
{
	enum payload_kind service = payload_look_service(payload), kind;

	if (payload->length == 0 || !payload->bytes)
		return PAYLOAD_UNKNOWN;
	kind = payload_look_bittorrent(payload);
	if (kind == PAYLOAD_UNKNOWN || ((kind == PAYLOAD_BT_UTP_SYN || kind == PAYLOAD_BT_UTP_STATE) && service))
		kind = payload_look_peers(payload);
	return kind == PAYLOAD_UNKNOWN ? service : kind;
}
