# SPDX-License-Identifier: Apache-2.0
"""
Real programs that look like peers in one way or another, judged live by a sensor, and from a capture of the switch by taffrail p2p:
no alert, and the verdict none. Those that are peers of another kind are called by its name.
"""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest
from conftest import needs
from services import serve_names, serve_pages, serve_zones
from watch import Watch

pytestmark = needs("tcpdump", "nsenter", "unshare", "ip")
LINGER = 5  # seconds for what is judged afterwards: a connect has failed after three, behaviour is looked at each second


def reached(watch, number, *ports, transport=None, action=None):
    """The addresses that a host has sent something to, as the sensor tells; on these ports, if there are any."""
    actions = (action,) if action else ("connection_attempted", "send", "flow")
    found = set()
    for document in watch.documents(number, *actions):
        network, destination = document.get("network", {}), document.get("destination", {})
        if network.get("direction") == "egress" and "ip" in destination and transport in (None, network["transport"]) and \
                (not ports or destination["port"] in ports):
            found.add(destination["ip"])
    return found


def show(ip, document, seen):
    print(ip, document["verdict"], document["family"], document["score"], f"{seen} ends;",
          "; ".join(f"{reason['points']}: {reason['what']}" for reason in document["reasons"]))


def expect_none(watch, numbers, besides=()):
    """No host of the network is called anything, those who only serve neither, but those of `besides`; `numbers` were seen."""
    time.sleep(LINGER)
    judged = watch.judge()
    others = tuple(f".{number}" for number in besides)
    for ip, document in judged.items():
        if "." in ip and not ip.endswith(others):
            show(ip, document, len(reached(watch, int(ip.split(".")[-1]))) if ip.count(".") == 3 else 0)
            assert document["verdict"] == "none" and document["family"] is None, document
    for number in watch.network.hosts:
        found = [] if number in besides else watch.findings(number)
        assert not found, [document["message"] for document in found]
    for number in numbers:
        assert any(ip.endswith(f".{number}") for ip in judged), f"the capture has nothing of {number}"
        assert reached(watch, number), f"the sensor has seen nothing of {number}"
    return judged


@needs("dnsmasq", "nginx", "openssl", "wget", "curl")
def test_crawlers(network):
    """300 hosts with names of their own, over HTTP and HTTPS; 30 that refuse and 20 that are gone; and 300 hosts without names."""
    watch = Watch(network)
    network.host(1)
    network.host(2, holds=["198.18.64.0/23"])
    network.host(3, holds=["198.18.66.0/26"], hides=["198.18.67.0/26"])
    names = {f"www.h{at}.test": f"198.18.{64 + at // 200}.{1 + at % 200}" for at in range(300)}
    refuse = {f"www.r{at}.test": f"198.18.66.{1 + at}" for at in range(30)}
    gone = {f"www.g{at}.test": f"198.18.67.{1 + at}" for at in range(20)}
    serve_names(network, 1, {"start.test": "198.18.0.2", **names, **refuse, **gone})
    pages = [f"http{'s' if at % 2 else ''}://{name}/" for at, name in enumerate((*names, *refuse))]
    root = network.folder / "pages"
    root.mkdir()
    (root / "index.html").write_text("<html>a page</html>")
    (root / "start.html").write_text("".join(f'<a href="{page}">announce</a>\n' for page in pages))
    (root / "robots.txt").write_text("User-agent: *\nDisallow: /none/\n")
    access = serve_pages(network, 2, root, tls=True)
    for number in (5, 6, 7):
        network.host(number, asks="198.18.0.1")
    crawled = network.folder / "crawled"
    network.finish(5, "wget", "-q", "-r", "-l", "1", "-H", "--no-check-certificate", "--tries=1", "--timeout=3", "-P", crawled,
                   "http://start.test/start.html", status=None)
    assert len([name for name in names if (crawled / name / "index.html").exists()]) == 300
    asked = network.folder / "urls"
    asked.write_text("".join(f'url = "{page}"\noutput = /dev/null\n' for page in (*pages, *(f"http://{name}/" for name in gone))))
    codes = network.finish(6, "curl", "-s", "-k", "-Z", "--parallel-immediate", "--parallel-max", "50", "--connect-timeout", "4", "-w",
                           "%{http_code}\n", "-K", asked, status=None).split()
    assert codes.count("200") == 300 and codes.count("000") == 50, codes
    asked.write_text("".join(f'url = "http://{address}/"\noutput = /dev/null\n' for address in (*names.values(), *refuse.values())))
    codes = network.finish(7, "curl", "-s", "-Z", "--parallel-max", "50", "-w", "%{http_code}\n", "-K", asked, status=None).split()
    assert codes.count("200") == 300, codes
    assert access.read_text().count(" 200 ") >= 900
    expect_none(watch, (5, 6, 7))
    for number, least in ((5, 330), (6, 350), (7, 330)):
        assert len(reached(watch, number, 80, 443, transport="tcp")) >= least, number


ASK = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(name):
    try:
        return bool(socket.getaddrinfo(name, 80, socket.AF_INET))
    except OSError:
        return False
with ThreadPoolExecutor(8) as workers:
    print(sum(workers.map(ask, sys.stdin.read().split() if len(sys.argv) < 2 else open(sys.argv[1]).read().split())))
"""
ROOTS, TOPS, LEAVES = 13, ("com", "net", "org", "info"), 100


@needs("unbound", "nsd")
def test_resolver(network):
    """Root, top-level domains and 100 zones of two servers each, of which one in ten is gone; and, for another, names of peers."""
    watch = Watch(network)
    network.host(5, holds=["198.18.80.0/24"])
    network.host(6, holds=["198.18.81.0/24"])
    network.host(7, holds=["198.18.82.0/24"], hides=["198.18.83.0/24"])
    roots = [f"198.18.80.{1 + at}" for at in range(ROOTS)]
    hints = [line for at, ip in enumerate(roots) for line in (f". NS r{at}.root-servers.net.", f"r{at}.root-servers.net. A {ip}")]
    tops = {top: [f"198.18.81.{1 + at * 4 + each}" for each in range(4)] for at, top in enumerate(TOPS)}
    leaves = {f"d{at}.{TOPS[at % 4]}": [f"198.18.82.{1 + 2 * at}", f"198.18.8{3 if at % 5 == 0 else 2}.{2 + 2 * at}"]
              for at in range(LEAVES)}
    leaves["bittorrent.com"] = leaves["opentrackr.org"] = ["198.18.82.240", "198.18.82.241"]

    def delegate(zones, suffix):
        return [line for zone, servers in zones.items() if zone.endswith(suffix) for at, ip in enumerate(servers)
                for line in (f"{zone}. NS ns{at}.{zone}.", f"ns{at}.{zone}. A {ip}")]

    many = [f"big A 203.0.113.{at}" for at in range(1, 201)]
    serve_zones(network, 5, roots, {".": [*hints, *delegate(tops, "")]})
    serve_zones(network, 6, sum(tops.values(), []),
                {f"{top}.": [*(f"@ NS ns{at}\nns{at} A {ip}" for at, ip in enumerate(servers)), *delegate(leaves, f".{top}")]
                 for top, servers in tops.items()})
    serve_zones(network, 7, sorted({ip for servers in leaves.values() for ip in servers if not ip.startswith("198.18.83.")}),
                {f"{zone}.": ["@ NS ns0", "@ NS ns1", f"ns0 A {servers[0]}", f"ns1 A {servers[1]}",
                              *(f"{name} A 203.0.113.1" for name in ("www", "mail", "api", "router", "tracker")), *many]
                 for zone, servers in leaves.items()})
    network.host(2)
    (network.folder / "hints").write_text("\n".join(hints) + "\n")
    (network.folder / "unbound.conf").write_text(f"""server:
  directory: "{network.folder}"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  interface: 198.18.0.2
  access-control: 198.18.0.0/16 allow
  do-ip6: no
  module-config: "iterator"
  root-hints: "hints"
remote-control:
  control-enable: no
""")
    network.start(2, "unbound", "-d", "-c", network.folder / "unbound.conf")
    network.wait_for_port(2, 53, "udp")
    network.host(3, asks="198.18.0.2")
    asked = network.folder / "asked"
    own = [zone for zone in leaves if zone.startswith("d")]
    names = [f"{name}.{zone}" for name in ("www", "mail", "api") for zone in own] + [f"big.{zone}" for zone in own[:20]]
    names += ["router.bittorrent.com", "tracker.opentrackr.org"]
    asked.write_text("\n".join(names))
    answered = int(network.finish(3, "/usr/bin/python3", "-c", ASK, asked, seconds=50))
    assert answered >= 310, answered
    expect_none(watch, (2, 3))
    asked_by_it = reached(watch, 2, 53, transport="udp")
    assert len(asked_by_it & set(roots)) >= 2 and len(asked_by_it & set(sum(tops.values(), []))) >= 8, asked_by_it
    assert len([ip for ip in asked_by_it if ip.startswith("198.18.82.")]) >= 90, asked_by_it
    assert any(ip.startswith("198.18.83.") for ip in asked_by_it), "it never asked one that is gone"
    assert len(reached(watch, 2, 53, transport="tcp")) >= 10, "long answers come over TCP"


@needs("turnserver")
def test_webrtc(network):
    """One that speaks to six over data channels: each learns its address by STUN, and tries the candidates of the other."""
    if subprocess.run(["/usr/bin/python3", "-c", "import aiortc"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("not installed: python3-aiortc")
    watch = Watch(network)
    network.host(1)
    network.start(1, "turnserver", "-n", "--listening-ip=198.18.0.1", "--stun-only", "--no-cli", "--no-tls", "--no-dtls",
                  "--log-file=stdout", f"--pidfile={network.folder}/turn.pid", f"--userdb={network.folder}/turn.db")
    network.wait_for_port(1, 3478, "udp")
    peers = range(3, 9)
    meeting = network.folder / "meeting"
    meeting.mkdir()
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "webrtc.py")
    for number in (2, *peers):
        network.host(number)
        network.start(number, "/usr/bin/python3", program, "stun:198.18.0.1:3478", meeting, *(peers if number == 2 else ["offer", number]))
    network.wait_for(2, lambda: len(list(meeting.glob("*.done"))) == 2 * len(peers), 40, "twelve ends of six channels")
    for number in peers:
        assert (meeting / f"{number}.done").read_text() == "64 messages of 1000 bytes", number
    expect_none(watch, (2, *peers))
    for number in (2, *peers):
        assert "198.18.0.1" in reached(watch, number, 3478), number
    assert reached(watch, 2) >= {f"198.18.0.{number}" for number in peers}


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
myhostname = mail.sender.test
mydestination =
mynetworks = 198.18.0.0/16
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
alias_maps =
local_recipient_maps =
inet_interfaces = 198.18.0.2, 127.0.0.1
inet_protocols = ipv4
smtp_connect_timeout = 4s
smtp_tls_security_level = none
"""
MASTER_CF = """
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
SUBMIT = r"""
import smtplib, sys
with smtplib.SMTP("198.18.0.2", timeout=20) as server:
    for domain in sys.argv[1:]:
        server.sendmail("list@sender.test", ["user@" + domain], "Subject: news\r\n\r\nannounce\r\n")
"""


@needs("postfix", "smtp-sink", "dnsmasq")
def test_mail_server(network):
    """A list's mail to 60 domains, each with a server of its own; ten of them refuse, and ten are gone."""
    watch = Watch(network)
    network.host(1)
    network.host(3, holds=["198.18.70.0/26"])
    network.host(4, holds=["198.18.71.0/26"], hides=["198.18.72.0/26"])
    domains = [f"d{at}.test" for at in range(60)]
    servers = {f"mx.{domain}": f"198.18.{70 if at < 40 else 71 if at < 50 else 72}.{1 + at}" for at, domain in enumerate(domains)}
    serve_names(network, 1, servers, zip(domains, servers))
    network.host(2, asks="198.18.0.1")
    network.host(5)
    # Its programs shed root's rights, and must find the way to their queue.
    folder = tempfile.mkdtemp(prefix="taffrail-mail-", dir="/var/tmp")
    try:
        os.chmod(folder, 0o755)
        for name, owner in (("etc", "root"), ("queue", "root"), ("data", "postfix"), ("taken", "postfix")):
            os.mkdir(os.path.join(folder, name), 0o755)
            shutil.chown(os.path.join(folder, name), owner)
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(folder, "etc", name), "w", encoding="ascii") as file:
                file.write(text.format(folder=folder))
        network.start(3, "smtp-sink", "-u", "postfix", "-d", os.path.join(folder, "taken", "%M."), "inet::25", "100")
        network.wait_for_port(3, 25)
        network.start(2, "postfix", "-c", os.path.join(folder, "etc"), "start-fg")
        network.wait_for_port(2, 25)
        network.finish(5, "/usr/bin/python3", "-c", SUBMIT, *domains)
        network.wait_for(2, lambda: len(os.listdir(os.path.join(folder, "taken"))) >= 40, 30, "40 mails taken")
        with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
            words = log.read()
        assert words.count("status=sent") >= 40 and words.count("Connection refused") >= 10, words[-2000:]
        expect_none(watch, (2, 5))
        assert reached(watch, 2, 25, transport="tcp") >= set(servers.values())
    finally:
        network.stop()
        shutil.rmtree(folder)


@needs("prometheus", "prometheus-node-exporter", "curl")
def test_prometheus(network):
    """200 targets each, and 20 that are gone: one in private space, one outside."""
    watch = Watch(network)
    places = {2: ("10.1.0", 5, "10.1.64"), 3: ("198.18.0", 6, "198.18.64")}
    for number, (subnet, exporter, targets) in places.items():
        network.host(exporter, subnet, holds=[f"{targets}.0/24"], hides=[f"{targets[:-1]}5.0/24"])
        network.start(exporter, "prometheus-node-exporter", "--web.listen-address=:9100", "--collector.disable-defaults",
                      "--collector.loadavg")
        network.wait_for_port(exporter, 9100)
    for number, (subnet, exporter, targets) in places.items():
        network.host(number, subnet)
        ends = [f"{targets}.{at}:9100" for at in range(1, 201)] + [f"{targets[:-1]}5.{at}:9100" for at in range(1, 21)]
        configuration = network.folder / f"prometheus-{number}.yml"
        configuration.write_text(json.dumps({"global": {"scrape_interval": "5s", "scrape_timeout": "4s"}, "scrape_configs": [
            {"job_name": "nodes", "static_configs": [{"targets": ends}]}]}))
        network.start(number, "prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={network.folder}/prometheus-{number}",
                      "--web.listen-address=127.0.0.1:9090")
    for number in places:
        network.wait_for_port(number, 9090)

        def up(number=number):
            answer = network.finish(number, "curl", "-s", "http://127.0.0.1:9090/api/v1/query?query=sum(up)")
            result = json.loads(answer)["data"]["result"] if answer.startswith("{") else []
            return bool(result) and int(result[0]["value"][1]) == 200

        network.wait_for(number, up, 30, "200 targets are up")
    time.sleep(5)
    expect_none(watch, places)
    for number in places:
        assert len(reached(watch, number, 9100, transport="tcp")) == 220, number


@needs("redis-server", "redis-cli")
def test_ring_in_private_space(network):
    """A Redis cluster of nine: each node with each other on a port of its own beside that of clients; then two are gone."""
    watch = Watch(network)
    nodes = range(2, 11)
    for number in nodes:
        network.host(number, "10.2.0")
        folder = network.folder / f"redis-{number}"
        folder.mkdir()
        network.start(number, "redis-server", "--bind", f"10.2.0.{number}", "--port", "6379", "--cluster-enabled", "yes",
                      "--cluster-node-timeout", "3000", "--dir", folder, "--save", "", "--protected-mode", "no")
    for number in nodes:
        network.wait_for_port(number, 6379)
    made = network.finish(2, "redis-cli", "--cluster", "create", *(f"10.2.0.{number}:6379" for number in nodes), "--cluster-replicas", "2",
                          "--cluster-yes")
    assert "All 16384 slots covered" in made, made

    def known():
        return "cluster_known_nodes:9" in network.finish(2, "redis-cli", "-h", "10.2.0.2", "cluster", "info")

    network.wait_for(2, known, 20, "nine nodes")
    for number in range(30):
        assert "OK" in network.finish(3, "redis-cli", "-c", "-h", "10.2.0.3", "set", f"key{number}", "announce")
    for number in (9, 10):
        network.finish(number, "redis-cli", "-h", f"10.2.0.{number}", "shutdown", "nosave", status=None)
    time.sleep(6)
    expect_none(watch, nodes)
    for number in range(2, 9):
        assert len(reached(watch, number, 16379, transport="tcp")) >= 6, number


@needs("serf", "nmap")
def test_gossip_and_scanners(network):
    """A cluster of serf's agents; who scans it over TCP and UDP with probes of its list, those of peers among them, by raw packets; and who
    does it by connects."""
    watch = Watch(network)
    agents = range(2, 14)
    for number in agents:
        network.host(number)
        network.start(number, "serf", "agent", f"-node=n{number}", f"-bind=198.18.0.{number}",
                      *([] if number == 2 else ["-retry-join=198.18.0.2", "-retry-interval=1s"]))
    network.wait_for(2, lambda: network.finish(2, "serf", "members", status=None).count("alive") == len(agents), 20, "twelve members")
    for number in (20, 21):
        network.host(number)
    network.start(20, "nmap", "-n", "-Pn", "-sS", "-sU", "-p", "T:1-200,6881-6889,7946,U:53,123,3478,6881,6969,7946,51413",
                  "--max-retries", "1", "-T4", "198.18.0.2-30")
    said = network.finish(21, "nmap", "-n", "-Pn", "-sT", "-p", "1-200,6881-6889,7946", "--max-retries", "0", "-T4", "198.18.0.2-13")
    assert said.count("7946/tcp open") == len(agents), said
    network.wait_for(20, lambda: b"Nmap done: 29" in network.log(20).read_bytes(), 40, "the end of the scan")
    judged = expect_none(watch, agents, besides=(20, 21))
    for number in (20, 21):
        document = judged[f"198.18.0.{number}"]
        show(document["host"]["ip"], document, len(reached(watch, number)))
        assert document["verdict"] == "none" and document["family"] is None, document
        print([found["message"] for found in watch.findings(number)])
        assert {found["rule"]["name"] for found in watch.findings(number)} == {"Port scan"}, watch.findings(number)


@needs("traceroute", "tracepath", "mtr", "busybox")
def test_traced_routes(network):
    """To an end that nobody answers for: another port for each probe, up to thirty hops."""
    watch = Watch(network)
    network.host(1, hides=["198.18.99.0/24"])
    tracers = {2: ("traceroute", "-n", "-w", "1"), 3: ("busybox", "traceroute", "-n", "-w", "1", "-q", "2", "-m", "12"),
               4: ("tracepath", "-n", "-m", "8"), 5: ("mtr", "-n", "-r", "-c", "4", "-u")}
    for number, command in tracers.items():
        network.host(number)
        network.start(number, *command, "198.18.99.1")
    network.wait_for(2, lambda: b"\n30 " in network.log(2).read_bytes(), 40, "thirty hops")
    time.sleep(15)
    expect_none(watch, tracers)
    for number, least in ((2, 90), (3, 20), (4, 15), (5, 20)):
        ports = {document["destination"]["port"] for document in watch.documents(number, "connection_attempted", "send")
                 if document.get("network", {}).get("transport") == "udp"}
        assert len(ports) >= least, (number, ports)


def expect_peers(watch, numbers, family):
    """Peers of another kind: called by its name, by the sensor as well."""
    time.sleep(LINGER)
    judged = watch.judge()
    for number in numbers:
        document = judged[f"198.18.0.{number}"]
        show(document["host"]["ip"], document, len(reached(watch, number)))
        assert document["family"] == family and document["verdict"] == "confirmed", document
        found = watch.findings(number)
        assert found and {one["rule"]["name"] for one in found} == {"Peer-to-peer traffic"}, [one["message"] for one in found]
        assert {one["taffrail"]["p2p"]["family"] for one in found} == {family}, [one["message"] for one in found]
        assert found[-1]["taffrail"]["p2p"]["verdict"] == "confirmed", found[-1]


@needs("syncthing")
def test_syncthing_is_not_bittorrent(network):
    watch = Watch(network)
    for number in (2, 3):
        network.host(number)
        network.start(number, "syncthing", "serve", "--no-browser", "--no-restart", "--no-upgrade", "--home",
                      network.folder / f"syncthing-{number}")
    network.wait_for(2, lambda: watch.findings(2) and watch.findings(3), 30, "findings of both")
    expect_peers(watch, (2, 3), "syncthing")


@needs("monerod", "curl", "dnsmasq")
def test_monero_is_not_bittorrent(network):
    watch = Watch(network)
    nodes = range(2, 6)
    network.host(1)
    serve_names(network, 1, {})
    for number in nodes:
        network.host(number, asks="198.18.0.1")
        network.start(number, "monerod", "--non-interactive", "--data-dir", network.folder / f"monero-{number}", "--no-igd", "--no-zmq",
                      "--rpc-ssl", "disabled", "--check-updates", "disabled", "--disable-dns-checkpoints", "--p2p-bind-ip", f"198.18.0.{number}",
                      *(f"--add-exclusive-node=198.18.0.{other}:18080" for other in nodes if other != number))

    def meet():
        answer = network.finish(3, "curl", "-s", "http://127.0.0.1:18081/get_info", status=None)
        counts = json.loads(answer) if answer.startswith("{") else {}
        return counts.get("outgoing_connections_count", 0) + counts.get("incoming_connections_count", 0) >= len(nodes) - 1

    network.wait_for(3, meet, 40, "connections with the others")
    expect_peers(watch, nodes, "blockchain")


@needs("litecoind", "litecoin-cli")
def test_litecoin_is_not_bittorrent(network):
    watch = Watch(network)
    nodes = range(2, 6)
    for number in nodes:
        network.host(number)
        folder = network.folder / f"litecoin-{number}"
        folder.mkdir()
        network.start(number, "litecoind", f"-datadir={folder}", "-dnsseed=0", "-disablewallet", "-upnp=0", "-rpcuser=a", "-rpcpassword=b",
                      *(f"-addnode=198.18.0.{other}" for other in nodes if other != number))

    def meet():
        answer = network.finish(3, "litecoin-cli", f"-datadir={network.folder}/litecoin-3", "-rpcuser=a", "-rpcpassword=b",
                                "getconnectioncount", status=None)
        return answer.strip().isdigit() and int(answer) >= len(nodes) - 1

    network.wait_for(3, meet, 40, "connections with the others")
    expect_peers(watch, nodes, "blockchain")


APT = """
Dir "{folder}"; Dir::State::status "{folder}/status"; Dir::Etc::sourcelist "{folder}/sources.list"; Dir::Etc::sourceparts "-";
Dir::Etc::trusted "-"; Dir::Etc::trustedparts "-"; Dir::Bin::methods "/usr/lib/apt/methods"; Dir::Log "{folder}";
APT::Sandbox::User "root"; Acquire::Languages "none";
"""


def make_packages(root, count):
    """A flat repository of `count` packages that dpkg-deb has built."""
    index = []
    for at in range(count):
        control = root / f"p{at}" / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(f"Package: p{at}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@test>\nDescription: torrent\n")
        (root / f"p{at}" / "data").write_bytes(os.urandom(20000))
        package = root / f"p{at}.deb"
        subprocess.run(["dpkg-deb", "-Znone", "--build", root / f"p{at}", package], check=True, stdout=subprocess.DEVNULL)
        content = package.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        index.append(control.read_text() + f"Filename: ./p{at}.deb\nSize: {len(content)}\nSHA256: {digest}\n\n")
    (root / "Packages").write_text("".join(index))


@needs("apt-get", "dpkg-deb", "nginx", "wget", "aria2c", "dnsmasq")
def test_downloads(network):
    """60 packages by apt from three mirrors; by wget 200 files from 40 hosts, one of which only describes a torrent; and by a
    client of BitTorrent the same files, over HTTP."""
    watch = Watch(network)
    network.host(1)
    network.host(2, holds=["198.18.64.0/26"])
    names = {f"mirror{at}.test": f"198.18.64.{1 + at}" for at in range(40)}
    serve_names(network, 1, names)
    root = network.folder / "repository"
    make_packages(root, 60)
    for at in range(200):
        (root / f"file{at}.tar").write_bytes(os.urandom(1000))
    (root / "image.iso.torrent").write_bytes(b"d8:announce31:http://tracker.test:6969/announce4:infod6:lengthi1e4:name1:aee")
    serve_pages(network, 2, root)
    for number in (3, 4, 5):
        network.host(number, asks="198.18.0.1")
    folder = network.folder / "apt"
    for each in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (folder / each).mkdir(parents=True)
    (folder / "status").write_text("")
    (folder / "sources.list").write_text("".join(f"deb [trusted=yes] http://mirror{at}.test/ ./\n" for at in range(3)))
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    apt = ("env", f"APT_CONFIG={folder}/apt.conf", "apt-get", "-q", "-y")
    network.finish(3, *apt, "update")
    network.finish(3, *apt, "install", "--download-only", *(f"p{at}" for at in range(60)))
    assert len(list((folder / "var/cache/apt/archives").glob("p*.deb"))) == 60
    files = [f"http://mirror{at % 40}.test/file{at}.tar" for at in range(200)]
    (network.folder / "files").write_text("\n".join(files))
    (network.folder / "all").write_text("\n".join((*files, "http://mirror7.test/image.iso.torrent")))
    taken = {number: network.folder / f"taken-{number}" for number in (4, 5)}
    network.finish(4, "wget", "-q", "-P", taken[4], "-i", network.folder / "all")
    network.finish(5, "aria2c", "-q", "-j", "16", "-d", taken[5], "-i", network.folder / "files")
    assert len(list(taken[4].iterdir())) == 201 and len(list(taken[5].iterdir())) == 200
    expect_none(watch, (3, 4, 5))
    assert [len(reached(watch, number, 80, transport="tcp")) for number in (3, 4, 5)] == [3, 40, 40]


@needs("git", "nginx", "dnsmasq")
def test_git(network):
    """Clones over git's own protocol and over HTTP, of a repository whose name and content speak of peers."""
    watch = Watch(network)
    network.host(1)
    network.host(2, holds=["198.18.64.0/26"])
    names = {f"git{at}.test": f"198.18.64.{1 + at}" for at in range(10)}
    serve_names(network, 1, names)
    repository = network.folder / "served" / "bittorrent.git"
    work = network.folder / "work"
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@test", "-C", work)
    subprocess.run(["git", "init", "-q", work], check=True)
    for at in range(20):
        (work / "announce").write_text("BitTorrent protocol\n" * (at + 1))
        subprocess.run([*git, "add", "announce"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"announce {at}"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, repository], check=True)
    subprocess.run(["git", "-C", repository, "update-server-info"], check=True)
    network.start(2, "git", "daemon", "--export-all", "--reuseaddr", f"--base-path={repository.parent}")
    network.wait_for_port(2, 9418)
    serve_pages(network, 2, repository.parent)
    network.host(3, asks="198.18.0.1")
    for at in range(10):
        for way in ("git", "http"):
            copy = network.folder / f"{way}-{at}"
            network.finish(3, "git", "clone", "-q", f"{way}://git{at}.test/bittorrent.git", copy)
            assert (copy / "announce").read_text().count("\n") == 20
    expect_none(watch, (3,))
    assert len(reached(watch, 3, 9418)) == 10 and len(reached(watch, 3, 80)) == 10
