# SPDX-License-Identifier: Apache-2.0
"""Health and metrics: what the pages say is what is so, and whoever asks does no harm."""
import collections
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT, SLOW, once, program, run

sys.path.insert(0, os.path.join(ROOT, "tests"))
from disks import fill, small_disk  # noqa: E402
from containers import Container  # noqa: E402
from peers import Papers, Sensor  # noqa: E402
from test_record import FLOOD  # noqa: E402


class Pages:
    """A program's pages, on a unix socket or a port."""

    def __init__(self, program):
        self.program = program
        start = f"{program.name}: http "
        line = program.wait_for(lambda: next((line for line in program.log if line.startswith(start)), None))
        self.address = line[len(start):]

    def connect(self):
        if self.address.startswith("unix:"):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(10 * SLOW)
            one.connect(self.address[len("unix:"):])
            return one
        host, port = self.address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=10 * SLOW)

    def ask(self, path, method="GET", headers=None, body=None):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request(method, path, headers=headers or {}, body=body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def status(self, path):
        return self.ask(path)[0]

    def ready(self):
        """"" or why not."""
        status, _, body = self.ask("/readyz")
        assert status == (200 if body == "ok\n" else 503)
        return "" if status == 200 else body

    def raw(self, data):
        """The answer to these bytes, up to the end."""
        with self.connect() as one:
            one.sendall(data)
            answer = b""
            while chunk := one.recv(65536):
                answer += chunk
        return answer

    def metrics(self):
        """{(name, ((label, value), …)): number}."""
        status, headers, body = self.ask("/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = {}
        for line in body.splitlines():
            if line.startswith("#"):
                continue
            name, labels, number = re.fullmatch(r'([a-z_]+)(?:\{(.*)\})? (\S+)', line).groups()
            pairs = tuple(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or ""))
            assert (name, pairs) not in found, f"twice: {line}"
            found[name, pairs] = float(number)
        return found

    def metric(self, name, **labels):
        return self.metrics().get((name, tuple(labels.items())))


@pytest.fixture
def sensor(start, tmp_path):
    def starter(*arguments, http=None, ready=True):
        running = start("taffrail-sensor", "--cri", str(tmp_path / "none"), "--http", http or f"unix:{tmp_path}/sensor", *arguments)
        if ready:
            running.ready()
        return running, Pages(running)

    return starter


@pytest.fixture
def collector(start, tmp_path):
    def starter(*arguments, data=None, ready=True):
        running = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(data or tmp_path / "data"), "--http", "127.0.0.1:0", *arguments)
        return running, Pages(running), running.ready() if ready else None

    return starter


@pytest.fixture
def small(tmp_path):
    """A disk of a megabyte."""
    with small_disk(tmp_path / "small", "1m") as folder:
        yield folder


def eventually(what, seconds=20):
    deadline = time.monotonic() + seconds * SLOW
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)
    return value


# --- the sensor ----------------------------------------------------------------------------------------------------------


def test_a_sensor_is_alive_before_it_is_ready(sensor):
    running, pages = sensor("--stdout", ready=False)
    assert pages.ready() == "it starts\n", "the hooks are not attached yet"
    assert not any(line.endswith(": ready") for line in running.log)
    assert pages.status("/healthz") == 200
    running.ready()
    eventually(lambda: not pages.ready())
    assert pages.status("/healthz") == 200


def test_a_sensor_is_ready_where_what_it_sees_goes_somewhere(sensor, start, tmp_path):
    listen = f"unix:{tmp_path}/collector"
    running, pages = sensor("--collector", listen)
    eventually(lambda: "no spool" in pages.ready())
    assert pages.metric("taffrail_sensor_stream_connected") == 0
    assert eventually(lambda: pages.metric("taffrail_sensor_stream_failures_total")) > 0
    start("taffrail-collector", "--listen", listen, "--data", str(tmp_path / "data")).ready()
    eventually(lambda: not pages.ready())
    assert pages.metric("taffrail_sensor_stream_connected") == 1
    assert pages.metric("taffrail_sensor_stream_greetings_total") == 1
    assert running.end() == 0


def test_a_spool_is_somewhere(sensor, container, start, tmp_path):
    listen = f"unix:{tmp_path}/collector"
    running, pages = sensor("--collector", listen, "--spool", str(tmp_path / "spool"))
    eventually(lambda: not pages.ready())
    container.run("/bin/true")
    lag = eventually(lambda: pages.metric("taffrail_sensor_stream_ack_lag_seconds"))
    time.sleep(2.5)
    found = pages.metrics()
    assert found["taffrail_sensor_stream_ack_lag_seconds", ()] >= lag + 1
    assert 0 < found["taffrail_sensor_spool_bytes", ()] <= sum(4096 * -(-file.stat().st_size // 4096) for file in (tmp_path / "spool").glob("*.spool"))
    assert 1 <= found["taffrail_sensor_spool_age_seconds", ()] < 60 * SLOW
    assert found["taffrail_sensor_spool_failing", ()] == 0
    start("taffrail-collector", "--listen", listen, "--data", str(tmp_path / "data")).ready()
    eventually(lambda: pages.metric("taffrail_sensor_stream_ack_lag_seconds") < 1)
    found = pages.metrics()
    assert found["taffrail_sensor_stream_sequence", ()] >= found["taffrail_sensor_stream_acknowledged_sequence", ()] > 0
    assert running.end() == 0


@pytest.mark.alone  # others' containers wait, too
def test_what_waits_for_names_is_counted(start, tmp_path):
    """Of a runtime that takes connections and says nothing."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "cri.sock"))
    server.listen(64)
    running = start("taffrail-sensor", "--cri", str(tmp_path / "cri.sock"), "--http", f"unix:{tmp_path}/http", "--stdout")
    running.ready()
    pages, waited, made = Pages(running), 0, []
    try:
        while not waited and len(made) < 20:  # each waits for about a second, and a page is as old at most
            made.append(Container("contract"))
            made[-1].run("/bin/true")
            time.sleep(0.3)
            waited = pages.metric("taffrail_sensor_container_queue_events")
        assert waited >= 1
        eventually(lambda: pages.metric("taffrail_sensor_events_pending_total", reason="late"))
        before = pages.metric("taffrail_sensor_events_pending_total", reason="at_once")
        made[0].run("/bin/true")
        eventually(lambda: pages.metric("taffrail_sensor_events_pending_total", reason="at_once") > before)
        assert pages.metric("taffrail_sensor_containers_completed_late_total") == 0
        assert running.end() == 0
    finally:
        server.close()
        for one in made:
            one.remove()


DEEDS = "import ctypes; call = ctypes.CDLL(None).syscall; [call(323, 0) for _ in range(25)]"  # userfaultfd, which hardly anybody calls


def test_events_are_counted_as_they_are_told(sensor, container, tmp_path):
    """By kind, as many as there are documents: another suite's containers may do something all the while."""
    config = tmp_path / "config.yaml"
    config.write_text("record:\n  also: [userfaultfd]\n")
    running, pages = sensor("--stdout", "--config", str(config))
    eventually(lambda: pages.metric("taffrail_sensor_coverage_promises", state="seen"))
    for _ in range(5):
        container.run("/bin/true")
    container.run("/usr/bin/python3", "-c", DEEDS)
    mine = "taffrail_sensor_events_total", (("kind", "userfaultfd"),)
    eventually(lambda: pages.metrics()[mine])
    time.sleep(1.2)

    def told():
        return collections.Counter(document["event"]["action"] for document in running.documents())

    least = told()
    time.sleep(1.2)  # a page is a second old at most
    found = {labels[0][1]: int(number) for (name, labels), number in pages.metrics().items() if name == "taffrail_sensor_events_total"}
    time.sleep(1.2)
    most = told()
    assert set(most) <= set(found)
    for kind, number in found.items():
        assert least[kind] <= number <= most[kind], kind
    assert found["exec"] >= 6 and found["userfaultfd"] == most["userfaultfd"] == 25
    assert pages.metric("taffrail_sensor_records_total", kind="userfaultfd") >= 25, "and the canary's"


def test_losses_are_counted_by_their_stage(sensor, container):
    running, pages = sensor("--stdout", "--set", "rings.bulk=1M", "--set", "opens.window=0")
    os.kill(running.process.pid, 19)  # SIGSTOP: so that the ring overflows, whatever the machine
    container.run("/usr/bin/python3", "-c", FLOOD, "20000")
    os.kill(running.process.pid, 18)

    def declared():
        lost = collections.Counter()
        for document in running.documents():
            if document["event"]["action"] == "events_lost":
                lost[document["taffrail"]["lost"]["stage"]] += document["taffrail"]["lost"]["count"]
        return lost

    eventually(lambda: declared()["ring-bulk"] > 0)
    eventually(lambda: pages.metric("taffrail_sensor_events_lost_total", stage="ring-bulk") == declared()["ring-bulk"])
    assert pages.metric("taffrail_sensor_events_lost_total", stage="ring-critical") == declared()["ring-critical"] == 0


def test_what_finds_no_room_is_counted_as_the_spools(sensor, container, start, tmp_path):
    """Without a spool, too: bulk is taken out of memory, and the collector is told how much."""
    listen, out = f"unix:{tmp_path}/collector", tmp_path / "out"
    running, pages = sensor("--collector", listen, "--set", "stream.memory=1M", "--set", "opens.window=0")
    container.run("/usr/bin/python3", "-c", FLOOD, "8000")
    eventually(lambda: pages.metric("taffrail_sensor_events_lost_total", stage="spool"))
    start("taffrail-collector", "--listen", listen, "--data", str(tmp_path / "data"), "--output", f"ecs-json:{out}").ready()
    eventually(lambda: pages.metric("taffrail_sensor_stream_connected"))
    time.sleep(2)

    def told():
        lost = 0
        for line in out.read_text().splitlines():
            document = json.loads(line)
            if document["event"]["action"] == "events_lost" and document["taffrail"]["lost"]["stage"] == "spool":
                lost += document["taffrail"]["lost"]["count"]
        return lost

    eventually(lambda: pages.metric("taffrail_sensor_events_lost_total", stage="spool") == told() > 0)


def test_what_the_configuration_leaves_out_is_counted(sensor, container, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("record:\n  leave_out:\n    - kinds: [exec]\n")
    running, pages = sensor("--stdout", "--config", str(config))
    for _ in range(7):
        container.run("/bin/true")
    assert running.process.poll() is None
    config.write_text("record:\n  leave_out:\n    - kinds: [exec]\n    - kinds: [listen]\n")  # what was left out until now is told, not a minute later
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: (pages.metric("taffrail_sensor_events_filtered_total", kind="exec") or 0) >= 7)
    assert pages.metric("taffrail_sensor_events_total", kind="exec") == 0


def test_rules_and_hooks_are_there(sensor):
    _, pages = sensor("--stdout", "--set", "no_rules=false")
    found = eventually(lambda: (now := pages.metrics()).get(("taffrail_sensor_rules", ())) and now)
    own = json.loads(run("taffrail", "rules", "check", "--json", os.path.join(ROOT, "deploy", "rules")).stdout)
    assert found["taffrail_sensor_rules", ()] == own["rules"] > 0
    hooks = {labels[0][1]: number for (name, labels), number in found.items() if name == "taffrail_sensor_hook_attached"}
    assert hooks["exec"] == hooks["open"] == hooks["connect"] == 1


def test_programs_and_rings(sensor, container):
    """Run times only where they are asked for."""
    _, pages = sensor("--stdout", "--set", "rings.bulk=1M")
    found = eventually(lambda: (now := pages.metrics()).get(("taffrail_sensor_bpf_program_loaded", (("program", "process_exec"),))) and now)
    assert not [name for name, _ in found if name.startswith("taffrail_sensor_bpf_program_run")]
    assert found["taffrail_sensor_ring_size_bytes", (("ring", "bulk"),)] == 1 << 20
    assert 0 <= found["taffrail_sensor_ring_bytes", (("ring", "bulk"),)] <= 1 << 20
    assert found["process_resident_memory_bytes", ()] > 1 << 20 and found["process_open_fds", ()] > 10
    assert found["taffrail_sensor_loader_resident_memory_bytes", ()] > 1 << 20 and found["taffrail_sensor_loader_cpu_seconds_total", ()] > 0


def test_run_times_of_programs(sensor, container):
    _, pages = sensor("--stdout", "--bpf-stats")
    for _ in range(20):
        container.run("/bin/true")
    labels = (("program", "process_exec"),)
    found = eventually(lambda: (now := pages.metrics()).get(("taffrail_sensor_bpf_program_runs_total", labels), 0) >= 20 and now)
    assert 0 < found["taffrail_sensor_bpf_program_run_seconds_total", labels] < 60


def test_run_times_take_a_right(start, tmp_path):
    """Without it the sensor works as well, and says so."""
    without = start("taffrail-sensor", "--stdout", "--bpf-stats", "--http", f"unix:{tmp_path}/sensor", "--cri", str(tmp_path / "none"),
                    prefix=("setpriv", "--bounding-set=-sys_admin"))
    without.ready()
    assert any("--bpf-stats" in line and "CAP_SYS_ADMIN" in line for line in without.log), without.log
    pages = Pages(without)
    found = eventually(lambda: (now := pages.metrics()).get(("taffrail_sensor_bpf_program_loaded", (("program", "process_exec"),))) and now)
    assert sum(number for (name, _), number in found.items() if name == "taffrail_sensor_bpf_program_runs_total") == 0


# --- the collector ------------------------------------------------------------------------------------------------------


def test_a_collector_counts_what_it_stores(collector):
    running, pages, address = collector()
    assert pages.ready() == ""
    peer = Sensor(address)
    peer.hello()
    for first in range(1, 100, 10):
        peer.send(peer.batch(first, first + 9))
    peer.wait(lambda: peer.acked == 100)
    peer.send(peer.batch(91, 100))  # again
    eventually(lambda: pages.metric("taffrail_collector_batches_duplicate_total") == 1)
    found = pages.metrics()
    assert found["taffrail_collector_events_stored_total", ()] == 100
    assert found["taffrail_collector_batches_stored_total", ()] == 10
    assert found["taffrail_collector_sensors_connected", ()] == 1
    assert found["taffrail_collector_epochs", ()] == 1
    assert 1 <= found["taffrail_collector_syncs_total", ()] <= 10 and found["taffrail_collector_sync_seconds_total", ()] > 0
    peer.send(peer.batch(111, 120))  # a gap of ten
    eventually(lambda: pages.metric("taffrail_collector_gaps_total") == 1)
    peer.send(b"\xff\xff")
    eventually(lambda: pages.metric("taffrail_collector_refused_total", reason="messages") == 1)
    eventually(lambda: pages.metric("taffrail_collector_sensors_connected") == 0)
    assert running.end() == 0


def test_a_collector_whose_disk_is_full_is_not_ready(collector, small):
    running, pages, address = collector(data=small / "data")
    assert pages.ready() == ""
    fill(small / "filling")
    peer = Sensor(address)
    peer.hello()
    peer.send(peer.batch(1, 10, size=8192))
    peer.ended()
    assert "No space left" in eventually(pages.ready)
    assert pages.status("/healthz") == 200
    assert pages.metric("taffrail_collector_store_failures_total") + pages.metric("taffrail_collector_syncs_failed_total") >= 1
    assert pages.metric("taffrail_collector_data_free_bytes") < 8192
    os.unlink(small / "filling")
    peer = Sensor(address)
    peer.hello()
    peer.send(peer.batch(1, 10, size=8192))
    peer.wait(lambda: peer.acked == 10)
    eventually(lambda: not pages.ready())


def test_a_collector_that_nobody_tries_again_is_ready_after_a_while(collector, small):
    """Else no sensor would be let in that could prove it."""
    running, pages, address = collector(data=small / "data")
    fill(small / "filling")
    peer = Sensor(address)
    peer.hello()
    peer.send(peer.batch(1, 10, size=8192))
    peer.ended()
    eventually(pages.ready)
    eventually(lambda: not pages.ready(), 25)


def test_a_collector_whose_output_cannot_write_is_not_ready(collector, small):
    fill(small / "filling")
    running, pages, address = collector("--output", f"ecs-json:{small}/out")
    peer = Sensor(address)
    peer.hello()
    peer.send(peer.batch(1, 100))
    peer.wait(lambda: peer.acked == 100)
    spec = f"ecs-json:{small}/out"
    assert f"output {spec}" in eventually(pages.ready)
    assert pages.metric("taffrail_collector_output_failing", output=spec) == 1
    assert pages.metric("taffrail_collector_output_behind_bytes", output=spec) > 0
    os.unlink(small / "filling")
    eventually(lambda: not pages.ready())
    found = pages.metrics()
    output = (("output", spec),)
    assert [found[f"taffrail_collector_output_{name}", output] for name in ("failing", "behind_bytes", "events_total")] == [0, 0, 100]


def test_certificates_tell_when_they_end(collector, sensor, tmp_path):
    papers = Papers(tmp_path / "ca", "--days", "5")

    def end_of(file):
        said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", file], check=True, capture_output=True, text=True).stdout
        return time.mktime(time.strptime(said.strip(), "notAfter=%b %d %H:%M:%S %Y GMT")) - time.timezone

    _, pages, address = collector(*papers.options("collector"), "--allow", "*")
    _, other = sensor("--collector", f"localhost:{address.rsplit(':', 1)[1]}", *papers.options("sensor"))
    for page, program, name in ((pages, "collector", "collector"), (other, "sensor", "sensor")):
        metric = f"taffrail_{program}_tls_certificate_expiry_timestamp_seconds"
        eventually(lambda: page.metric(metric, file=papers.file(f"{name}.pem")))
        ends = page.metric(metric, file=papers.file(f"{name}.pem"))
        assert ends == end_of(papers.file(f"{name}.pem")) and 4 * 86400 < ends - time.time() < 6 * 86400
        assert page.metric(metric, file=papers.file("ca.pem")) == end_of(papers.file("ca.pem"))


def test_one_file_of_certificates_is_one_series(collector, sensor, tmp_path):
    papers = Papers(tmp_path / "ca")

    def in_one(name):
        one = tmp_path / f"{name}.pem"
        one.write_text("".join(open(papers.file(part)).read() for part in (f"{name}.pem", "ca.pem")))
        return "--tls-ca", str(one), "--tls-cert", str(one), "--tls-key", papers.file(f"{name}.key")

    _, pages, address = collector(*in_one("collector"), "--allow", "*")
    _, other = sensor("--collector", f"localhost:{address.rsplit(':', 1)[1]}", *in_one("sensor"))
    for page, program in ((pages, "collector"), (other, "sensor")):
        # Pages.metrics refuses a series that is there twice.
        eventually(lambda: page.metric(f"taffrail_{program}_tls_certificate_expiry_timestamp_seconds", file=str(tmp_path / f"{program}.pem")))


# --- the pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool (Debian's prometheus)")
def test_promtool_has_nothing_to_say(collector, sensor):
    _, pages, address = collector("--output", "ecs-json:/dev/null")
    _, other = sensor("--collector", address)
    for page in (pages, other):
        eventually(lambda: not page.ready())
        text = page.ask("/metrics")[2]
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_three_pages_to_get_and_head(collector):
    _, pages, _ = collector()
    for path in ("/healthz", "/readyz", "/metrics", "/healthz?verbose"):
        status, headers, body = pages.ask(path)
        assert status == 200 and int(headers["Content-Length"]) == len(body) > 0
        status, headers, body = pages.ask(path, "HEAD")
        assert status == 200 and body == "" and int(headers["Content-Length"]) > 0
    for path in ("/", "/metrics/", "/healthz/../metrics", "/x" * 1000):
        assert pages.status(path) == 404
    status, headers, _ = pages.ask("/metrics", "DELETE")
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert pages.ask("/metrics", "POST", body="x" * 100)[0] == 405
    assert pages.ask("/metrics", "GET", body="x" * 100)[0] == 413
    assert pages.metric("taffrail_http_requests_total", page="/metrics", status="413") is None
    assert pages.metric("taffrail_http_requests_total", page="other", status="413") == 1


def test_what_is_no_request_is_refused(collector):
    _, pages, _ = collector()
    assert pages.raw(b"\x16\x03\x01\0\xa5\x01\0\0\xa1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert pages.raw(b"GET / HTTP/1.1\r\nx: " + b"y" * 9000).startswith(b"HTTP/1.1 431 ")
    assert pages.raw(b"GET /readyz HTTP/3\r\n\r\n").startswith(b"HTTP/1.1 505 ")
    answer = pages.raw(b"GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.endswith(b"\r\n\r\nok\n"), "one request a connection"


def test_who_holds_connections_open_keeps_no_probe_out(collector):
    """More slow ones than there are places, before and while it is asked; in the end all are gone."""
    running, pages, _ = collector()
    slow = [pages.connect() for _ in range(100)]
    for number, one in enumerate(slow):
        try:
            one.sendall(b"GET /metrics HTTP/1.1\r\nx: " + b"y" * (number % 3000))
        except OSError:
            pass  # pushed out already
    for _ in range(20):
        began = time.monotonic()
        assert pages.status("/healthz") == 200
        assert time.monotonic() - began < 1 * SLOW
        try:
            slow[-1].sendall(b"z")
        except OSError:
            pass
    assert len(os.listdir(f"/proc/{running.process.pid}/fd")) < 80
    eventually(lambda: pages.metric("taffrail_http_connections_dropped_total") == 100, 10)
    for one in slow:
        one.close()


def test_a_probe_that_has_asked_is_answered_whoever_comes_then(collector):
    """All of them came while the program had no turn: the probe is the oldest, and has not been read yet."""
    running, pages, _ = collector()
    for count in (31, 32, 40, 100):
        running.process.send_signal(signal.SIGSTOP)
        held = []
        try:
            probe = pages.connect()
            held.append(probe)
            probe.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            held += [pages.connect() for _ in range(count)]
        finally:
            running.process.send_signal(signal.SIGCONT)
        answer = b""
        while chunk := probe.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nok\n"), (count, answer)
        for one in held:
            one.close()


def test_who_reads_nothing_is_closed(collector):
    running, pages, _ = collector()
    one = pages.connect()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    one.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    eventually(lambda: pages.metric("taffrail_http_requests_total", page="/metrics", status="200"))
    before = len(os.listdir(f"/proc/{running.process.pid}/fd"))
    eventually(lambda: len(os.listdir(f"/proc/{running.process.pid}/fd")) < before, 15)
    one.close()


def test_the_socket_goes_with_the_program(sensor, tmp_path):
    running, pages = sensor("--stdout")
    assert pages.status("/healthz") == 200
    assert running.end() == 0
    assert not os.path.exists(tmp_path / "sensor")


@once
def test_a_loop_that_stands_still_is_not_alive(container, tmp_path):
    """Its reader holds it: stdout is a pipe that nobody empties."""
    class Held:
        name, log = "taffrail-sensor", [f"taffrail-sensor: http unix:{tmp_path}/sensor"]
        wait_for = staticmethod(lambda what: what())

    with open(tmp_path / "log", "wb") as log:
        held = subprocess.Popen([program("taffrail-sensor"), "--stdout", "--no-rules", "--set", "host.bpffs=none", "--http", f"unix:{tmp_path}/sensor"],
                                stdout=subprocess.PIPE, stderr=log)
    try:
        pages = Pages(Held)
        eventually(lambda: os.path.exists(tmp_path / "sensor"))
        eventually(lambda: not pages.ready())
        container.run("/usr/bin/python3", "-c", FLOOD, "5000")
        eventually(lambda: pages.status("/healthz") == 503, 60)
        assert re.fullmatch(r"its loop has not turned for 3\d s\n", pages.ask("/healthz")[2])
        assert pages.ready() == pages.ask("/healthz")[2]
        assert len(held.stdout.read1(65536)) > 4096
        while pages.status("/healthz") == 503:
            held.stdout.read1(65536)
    finally:
        held.kill()
        held.wait()
        held.stdout.close()


@pytest.mark.parametrize("arguments, words", [
    (("--http", "nonsense", "--stdout"), "--http \"nonsense\""),
    (("--http", "127.0.0.1:0", "--stdout", "--replay", "/dev/null"), "--replay"),
    (("--http", "127.0.0.1:0", "--check"), "--check"),
])
def test_wrong_usage(arguments, words):
    done = run("taffrail-sensor", *arguments)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_address_that_is_taken(collector, tmp_path):
    _, pages, _ = collector()
    done = run("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "other"), "--http", pages.address)
    assert done.returncode == 1 and "--http: cannot listen on" in done.stderr
