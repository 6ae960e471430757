/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are in the programs of peers, for their first step into the network. */
#include "detect/p2p_inside.h"

static const struct {
	const char *name; /* this one, and those below it */
	enum p2p_reason reason;
} names[] = {
	{"router.bittorrent.com", P2P_BITTORRENT_NAMES},
	{"router.utorrent.com", P2P_BITTORRENT_NAMES},
	{"router.bitcomet.com", P2P_BITTORRENT_NAMES},
	{"router.silotis.us", P2P_BITTORRENT_NAMES},
	{"dht.transmissionbt.com", P2P_BITTORRENT_NAMES},
	{"dht.libtorrent.org", P2P_BITTORRENT_NAMES},
	{"dht.aelitis.com", P2P_BITTORRENT_NAMES},
	{"dht.anacrolix.link", P2P_BITTORRENT_NAMES},
	{"tracker.opentrackr.org", P2P_BITTORRENT_NAMES},
	{"tracker.openbittorrent.com", P2P_BITTORRENT_NAMES},
	{"tracker.torrent.eu.org", P2P_BITTORRENT_NAMES},
	{"open.demonii.com", P2P_BITTORRENT_NAMES},
	{"open.stealth.si", P2P_BITTORRENT_NAMES},
	{"exodus.desync.com", P2P_BITTORRENT_NAMES},
	{"explodie.org", P2P_BITTORRENT_NAMES},
	{"torrent.ubuntu.com", P2P_BITTORRENT_NAMES},
	{"bootstrap.libp2p.io", P2P_IPFS_NAMES},
	{"_p2p._udp.local", P2P_IPFS_NAMES},
	{"_ipfs-discovery._udp.local", P2P_IPFS_NAMES},
	{"discovery.syncthing.net", P2P_SYNCTHING_NAMES},
	{"discovery-v4.syncthing.net", P2P_SYNCTHING_NAMES},
	{"discovery-v6.syncthing.net", P2P_SYNCTHING_NAMES},
	{"discovery-lookup.syncthing.net", P2P_SYNCTHING_NAMES},
	{"discovery-announce-v4.syncthing.net", P2P_SYNCTHING_NAMES},
	{"discovery-announce-v6.syncthing.net", P2P_SYNCTHING_NAMES},
	{"relays.syncthing.net", P2P_SYNCTHING_NAMES},
	{"seed.bitcoin.sipa.be", P2P_CHAIN_NAMES},
	{"dnsseed.bluematt.me", P2P_CHAIN_NAMES},
	{"dnsseed.bitcoin.dashjr-list-of-p2p-nodes.us", P2P_CHAIN_NAMES},
	{"dnsseed.bitcoin.dashjr.org", P2P_CHAIN_NAMES},
	{"seed.bitcoinstats.com", P2P_CHAIN_NAMES},
	{"seed.bitcoin.jonasschnelli.ch", P2P_CHAIN_NAMES},
	{"seed.bitcoin.sprovoost.nl", P2P_CHAIN_NAMES},
	{"seed.bitcoin.wiz.biz", P2P_CHAIN_NAMES},
	{"seed.btc.petertodd.net", P2P_CHAIN_NAMES},
	{"seed.btc.petertodd.org", P2P_CHAIN_NAMES},
	{"dnsseed.emzy.de", P2P_CHAIN_NAMES},
	{"seeds.moneroseeds.se", P2P_CHAIN_NAMES},
	{"seeds.moneroseeds.ae.org", P2P_CHAIN_NAMES},
	{"seeds.moneroseeds.ch", P2P_CHAIN_NAMES},
	{"seeds.moneroseeds.li", P2P_CHAIN_NAMES},
	{"ethdisco.net", P2P_CHAIN_NAMES},
};

bool p2p_name_reason(const struct payload_name *name, enum p2p_reason *reason)
{
	struct text text = {name->text, name->length}, before;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_ends_with(text, text_of(names[i].name))) {
			before = text_head(text, text.length - strlen(names[i].name));
			*reason = names[i].reason;
			if (before.length == 0 || before.data[before.length - 1] == '.')
				return true;
		}
	if (text_starts_with(text, TEXT_LITERAL("_dnsaddr.bootstrap."))) {
		*reason = P2P_IPFS_NAMES;
		return true;
	}
	/* A tracker that says what it tracks; those of parcels and clicks do not. */
	*reason = P2P_BITTORRENT_NAMES;
	return text.length && memmem(text.data, text.length, "tracker", 7) &&
	       memmem(text.data, text.length, "torrent", 7);
}
