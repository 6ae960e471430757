# SPDX-License-Identifier: Apache-2.0
"""Real clients, a real tracker, a real file: judged live by a sensor, and from a capture of the switch by taffrail p2p."""
import datetime
import os
import shutil
import subprocess
import time

import pytest
from conftest import needs
from watch import Watch

pytestmark = needs("tcpdump", "aria2c", "transmission-cli", "transmission-create", "nsenter", "ip")
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
TRACKER, SEED = 1, 2
SECONDS = 15  # from its first packet to the verdict


class Swarm:
    def __init__(self, network, tracked=True):
        self.network, self.folder = network, network.folder
        (self.folder / "seed").mkdir()
        (self.folder / "seed" / "data").write_bytes(os.urandom(4 << 20))
        self.torrent = self.folder / "data.torrent"
        trackers = ["-t", "http://198.18.0.1:6969/announce", "-t", "udp://198.18.0.1:6969/announce"] if tracked else []
        subprocess.run(["transmission-create", "-o", self.torrent, *trackers, self.folder / "seed" / "data"], check=True,
                       stdout=subprocess.DEVNULL, env=dict(os.environ, HOME=str(self.folder)))
        self.watch = Watch(network)
        if tracked:
            self.track()

    def track(self):
        tracker = shutil.which("opentracker") or os.environ.get("TAFFRAIL_OPENTRACKER")
        if not tracker:
            pytest.skip("opentracker is not installed")
        import libtorrent
        (self.folder / "tracker").mkdir()
        os.chmod(self.folder, 0o755)
        os.chmod(self.folder / "tracker", 0o777)
        known = self.folder / "tracker" / "known"
        known.write_text(f"{libtorrent.torrent_info(str(self.torrent)).info_hash()}\n")
        self.network.host(TRACKER)
        self.network.start(TRACKER, tracker, "-i", "198.18.0.1", "-p", "6969", "-P", "6969", "-d", self.folder / "tracker", "-w", "known",
                           cwd=self.folder / "tracker")

    def aria2(self, number, *options, seed=False):
        self.network.host(number)
        folder = self.folder / ("seed" if seed else f"aria2-{number}")
        self.network.start(number, "aria2c", "--seed-time=10", "--check-integrity=true", f"--dir={folder}", *options, self.torrent)

    def transmission(self, number, *options):
        self.network.host(number)
        self.network.start(number, "transmission-cli", "-w", self.folder / f"transmission-{number}", *options, self.torrent)

    def libtorrent(self, number, *settings, seed=False):
        self.network.host(number)
        folder = self.folder / ("seed" if seed else f"libtorrent-{number}")
        self.network.start(number, "/usr/bin/python3", PEER, self.torrent, folder, *settings)

    def judge(self, wait=20):
        time.sleep(wait)
        self.judged = {int(ip.split(".")[-1]): document for ip, document in self.watch.judge().items() if "." in ip}
        return self

    def findings(self, number):
        """What the sensor has found of a host, in its order."""
        found = self.watch.findings(number)
        for document in found:
            assert document["rule"]["name"] == "Peer-to-peer traffic", document
        return found


def seconds(document):
    first, decided = (datetime.datetime.fromisoformat(document[key][:26]) for key in ("first_packet", "decided"))
    return (decided - first).total_seconds()


def show(documents):
    for number, document in documents.items():
        print(number, document["verdict"], document["family"], document["score"], document["decided"] and seconds(document))
        for reason in document["reasons"]:
            print("   ", reason)


def expect(swarm, numbers, verdicts=("confirmed",)):
    show(swarm.judged)
    for number in numbers:
        document = swarm.judged[number]
        assert document["verdict"] in verdicts and document["family"] == "bittorrent", number
        assert seconds(document) <= SECONDS, number
    for number in numbers:
        found = swarm.findings(number)
        first = datetime.datetime.fromisoformat(swarm.judged[number]["first_packet"][:26])
        print(number, [(one["@timestamp"], one["taffrail"]["p2p"]["verdict"], one["message"]) for one in found])
        met = [one for one in found if one["taffrail"]["p2p"]["verdict"] in verdicts]
        assert met and met[0]["taffrail"]["p2p"]["family"] == "bittorrent", number
        took = (datetime.datetime.fromisoformat(met[0]["@timestamp"][:26]) - first).total_seconds()
        print(number, "live", met[0]["taffrail"]["p2p"]["verdict"], took)
        assert took <= SECONDS, number


def test_default_clients_with_a_tracker(network):
    swarm = Swarm(network)
    swarm.aria2(SEED, seed=True)
    swarm.aria2(3)
    swarm.transmission(4)
    swarm.libtorrent(5)
    expect(swarm.judge(), (2, 3, 4, 5))


@needs("rtorrent")
def test_rtorrent(network):
    swarm = Swarm(network)
    swarm.aria2(SEED, seed=True)
    (network.folder / "rtorrent").mkdir()
    network.host(3)
    network.start(3, "rtorrent", "-n", "-o", "system.daemon.set=true", "-d", network.folder / "rtorrent", swarm.torrent)
    expect(swarm.judge(), (2, 3))


def test_encryption_forced(network):
    swarm = Swarm(network)
    forced = ("--bt-force-encryption=true",)
    swarm.aria2(SEED, *forced, seed=True)
    swarm.aria2(3, *forced)
    swarm.transmission(4, "--encryption-required")
    swarm.libtorrent(5, "out_enc_policy=0", "in_enc_policy=0", "allowed_enc_level=2")
    expect(swarm.judge(), (2, 3, 4, 5))


def test_without_utp(network):
    swarm = Swarm(network)
    swarm.aria2(SEED, seed=True)
    swarm.libtorrent(5, "enable_outgoing_utp=false", "enable_incoming_utp=false", "enable_dht=false", "enable_lsd=false")
    expect(swarm.judge(), (2, 5))


def test_only_the_dht(network):
    """No tracker, no local discovery: the one way to find another is a node that both know."""
    swarm = Swarm(network, tracked=False)
    quiet = ("enable_lsd=false", "listen_interfaces=0.0.0.0:6881", "dht_bootstrap_nodes=", "dht_restrict_routing_ips=false")
    swarm.libtorrent(SEED, *quiet, seed=True)
    network.wait_for_port(SEED, 6881, "udp")
    swarm.libtorrent(3, *quiet, "dht_node=198.18.0.2:6881")
    swarm.libtorrent(4, *quiet, "dht_node=198.18.0.2:6881")
    expect(swarm.judge(), (2, 3, 4))


def test_peers_alone(network):
    """Two that know each other, and nothing else is on: a uTP handshake in clear, then one over TCP."""
    swarm = Swarm(network, tracked=False)
    quiet = ("enable_lsd=false", "enable_dht=false", "listen_interfaces=0.0.0.0:6881")
    swarm.libtorrent(SEED, *quiet, seed=True)
    network.wait_for_port(SEED, 6881, "udp")
    swarm.libtorrent(3, *quiet, "peer=198.18.0.2:6881")
    swarm.libtorrent(4, *quiet, "peer=198.18.0.2:6881", "enable_outgoing_utp=false", "enable_incoming_utp=false")
    expect(swarm.judge(), (3, 4))
