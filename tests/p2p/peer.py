#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""peer.py TORRENT FOLDER [KEY=VALUE]...    a libtorrent client; KEY is one of its settings, or dht_node=HOST:PORT, peer=HOST:PORT"""
import sys
import time

import libtorrent

torrent, folder, *settings = sys.argv[1:]
values, nodes, peers = {}, [], []
for setting in settings:
    key, _, value = setting.partition("=")
    if key in ("dht_node", "peer"):
        host, _, port = value.rpartition(":")
        (nodes if key == "dht_node" else peers).append((host, int(port)))
    else:
        values[key] = {"true": True, "false": False}.get(value, int(value) if value.isdigit() else value)
session = libtorrent.session(values)
for node in nodes:
    session.add_dht_node(node)
handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder})
for peer in peers:
    handle.connect_peer(peer)
while True:
    time.sleep(1)
    status = handle.status()
    print(f"{status.progress:.3f} {status.num_peers} peers", flush=True)
