# SPDX-License-Identifier: Apache-2.0
"""Real clients, a real tracker, a real file: judged live by a sensor, and from a capture of the switch by taffrail p2p."""
import datetime
import json
import os
import shutil
import subprocess
import time

import pytest
from conftest import run

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
TRACKER, SEED = 1, 2
SECONDS = 15  # from its first packet to the verdict


class Swarm:
    def __init__(self, network, tracked=True):
        self.network, self.folder = network, network.folder
        self.capture = self.folder / "capture.pcap"
        (self.folder / "seed").mkdir()
        (self.folder / "seed" / "data").write_bytes(os.urandom(4 << 20))
        self.torrent = self.folder / "data.torrent"
        trackers = ["-t", "http://198.18.0.1:6969/announce", "-t", "udp://198.18.0.1:6969/announce"] if tracked else []
        subprocess.run(["transmission-create", "-o", self.torrent, *trackers, self.folder / "seed" / "data"], check=True,
                       stdout=subprocess.DEVNULL, env=dict(os.environ, HOME=str(self.folder)))
        self.events = network.sensor()
        self.tcpdump = network.start(0, "tcpdump", "-i", "switch", "-U", "-w", self.capture, "-s", "128")
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
        self.tcpdump.terminate()
        self.tcpdump.wait(10)
        result = run("taffrail", "p2p", "--pcap", self.capture, "--json", timeout=60)
        assert result.returncode == 0, result.stderr
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        self.judged = {int(document["host"]["ip"].split(".")[-1]): document for document in documents if "." in document["host"]["ip"]}
        return self

    def findings(self, number):
        """What the sensor has found of a host, in its order."""
        found = []
        for line in self.events.read_text().splitlines():
            document = json.loads(line)
            if document["event"]["kind"] == "alert" and document["container"]["id"] == self.network.container(number):
                assert document["rule"]["name"] == "Peer-to-peer traffic", document
                found.append(document)
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
        assert (datetime.datetime.fromisoformat(met[0]["@timestamp"][:26]) - first).total_seconds() <= SECONDS, number


def test_default_clients_with_a_tracker(network):
    swarm = Swarm(network)
    swarm.aria2(SEED, seed=True)
    swarm.aria2(3)
    swarm.transmission(4)
    swarm.libtorrent(5)
    expect(swarm.judge(), (2, 3, 4, 5))


@pytest.mark.skipif(not shutil.which("rtorrent"), reason="rtorrent is not installed")
def test_rtorrent(network):
    swarm = Swarm(network)
    swarm.aria2(SEED, seed=True)
    (network.folder / "rtorrent").mkdir()
    network.host(3)
    network.start(3, "rtorrent", "-n", "-o", "system.daemon.set=true", "-d", network.folder / "rtorrent", swarm.torrent)
    expect(swarm.judge(), (2, 3))


@pytest.mark.skipif(not shutil.which("syncthing"), reason="syncthing is not installed")
def test_syncthing_is_not_bittorrent(network):
    capture = network.folder / "capture.pcap"
    network.start(0, "tcpdump", "-i", "switch", "-U", "-w", capture, "-s", "128")
    for number in (2, 3):
        network.host(number)
        network.start(number, "syncthing", "serve", "--no-browser", "--no-restart", "--no-upgrade", "--home",
                      network.folder / f"syncthing-{number}")
    time.sleep(20)
    result = run("taffrail", "p2p", "--pcap", capture, "--json", timeout=60)
    documents = {document["host"]["ip"]: document for document in map(json.loads, result.stdout.splitlines())}
    for number in (2, 3):
        document = documents[f"198.18.0.{number}"]
        assert document["family"] == "syncthing" and document["verdict"] == "confirmed", document


@pytest.mark.skipif(not shutil.which("serf"), reason="serf is not installed")
@pytest.mark.skipif(not shutil.which("nmap"), reason="nmap is not installed")
def test_gossip_and_a_scanner(network):
    """A cluster of serf's agents, and who scans it over TCP and UDP with probes of its list, those of peers among them."""
    capture = network.folder / "capture.pcap"
    network.start(0, "tcpdump", "-i", "switch", "-U", "-w", capture, "-s", "128")
    agents = range(2, 14)
    for number in agents:
        network.host(number)
        network.start(number, "serf", "agent", f"-node=n{number}", f"-bind=198.18.0.{number}",
                      *([] if number == 2 else ["-retry-join=198.18.0.2", "-retry-interval=1s"]))
    network.host(20)
    network.start(20, "nmap", "-n", "-Pn", "-sS", "-sU", "-p", "T:1-200,6881-6889,7946,U:53,123,3478,6881,6969,7946,51413", "--max-retries", "1",
                  "-T4", "198.18.0.2-30")
    time.sleep(20)
    result = run("taffrail", "p2p", "--pcap", capture, "--json", timeout=60)
    documents = {document["host"]["ip"]: document for document in map(json.loads, result.stdout.splitlines())}
    for number in (*agents, 20):
        document = documents[f"198.18.0.{number}"]
        print(number, document)
        assert document["verdict"] == "none", document


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
    network.wait_for_udp(SEED, 6881)
    swarm.libtorrent(3, *quiet, "dht_node=198.18.0.2:6881")
    swarm.libtorrent(4, *quiet, "dht_node=198.18.0.2:6881")
    expect(swarm.judge(), (2, 3, 4))


def test_peers_alone(network):
    """Two that know each other, and nothing else is on: a uTP handshake in clear, then one over TCP."""
    swarm = Swarm(network, tracked=False)
    quiet = ("enable_lsd=false", "enable_dht=false", "listen_interfaces=0.0.0.0:6881")
    swarm.libtorrent(SEED, *quiet, seed=True)
    network.wait_for_udp(SEED, 6881)
    swarm.libtorrent(3, *quiet, "peer=198.18.0.2:6881")
    swarm.libtorrent(4, *quiet, "peer=198.18.0.2:6881", "enable_outgoing_utp=false", "enable_incoming_utp=false")
    expect(swarm.judge(), (3, 4))
