# SPDX-License-Identifier: Apache-2.0
"""The programs' lives: ready, at work, asked to end."""
import json
import os
import re
import signal
import stat
import subprocess
import time

import pytest
from conftest import SLOW, program, terminal_output


def of(documents, container, action=None):
    return [document for document in documents if document.get("container", {}).get("id") == container.id
            and (action is None or document["event"]["action"] == action)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sensor_drains_and_exits_0(start, container, number):
    """What happened before the signal is written before the end, though nobody waited for it."""
    sensor = start("taffrail-sensor", "--stdout")
    assert sensor.ready() == ""
    for _ in range(50):
        container.run("/bin/true")
    assert sensor.end(number) == 0
    assert len(of(sensor.documents(), container, "exec")) == 50
    assert len(of(sensor.documents(), container, "end")) == 50


def test_stdout_is_documents_and_the_log_is_stderr(start, container):
    sensor = start("taffrail-sensor", "--stdout")
    sensor.ready()
    container.run("/bin/true")
    assert sensor.end() == 0
    assert sensor.lines and all(isinstance(document, dict) for document in sensor.documents())
    assert all(line.startswith("taffrail-sensor: ") for line in sensor.log), sensor.log


def test_document_stands_there_within_a_second(start, container):
    """Written when it happened, not when a buffer is full. Without a runtime the wait for names is part of it."""
    sensor = start("taffrail-sensor", "--stdout")
    sensor.ready()
    container.run("/bin/true")
    sensor.wait_for(lambda: of(sensor.documents(), container, "exec"), seconds=2)


def test_missing_runtime_is_said_once(start, container, tmp_path):
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none.sock"))
    sensor.ready()
    container.run("/bin/true")
    time.sleep(3)
    container.run("/bin/true")
    assert sensor.end() == 0
    assert sum("none.sock" in line for line in sensor.log) == 1, sensor.log
    execs = of(sensor.documents(), container, "exec")
    assert len(execs) == 2
    assert all("orchestrator" not in document or "resource" not in document["orchestrator"] for document in execs)


def test_sensor_whose_reader_went_away(container):
    """`taffrail-sensor --stdout | head -1` ends by itself."""
    process = subprocess.Popen([program("taffrail-sensor"), "--stdout"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        while not process.stderr.readline().startswith("taffrail-sensor: ready"):
            assert process.poll() is None
        process.stdout.close()
        deadline = time.monotonic() + 10 * SLOW
        while process.poll() is None and time.monotonic() < deadline:
            container.run("/bin/true")
            time.sleep(0.1)
        assert process.poll() == 1
    finally:
        process.kill()
        process.wait()


def test_outside_containers_only_with_host(start, container):
    marks = ["mark-" + os.urandom(8).hex(), "mark-" + os.urandom(8).hex()]

    def marked(sensor, mark):
        return [document for document in sensor.documents() if mark in document.get("process", {}).get("args", [])
                and document["event"]["action"] == "exec"]

    sensor = start("taffrail-sensor", "--stdout")
    sensor.ready()
    subprocess.run(["/bin/true", marks[0]], check=True)
    container.run("/bin/true", marks[1])
    assert sensor.end() == 0
    assert marked(sensor, marks[0]) == [] and len(marked(sensor, marks[1])) == 1
    sensor = start("taffrail-sensor", "--stdout", "--host")
    sensor.ready()
    subprocess.run(["/bin/true", marks[0]], check=True)
    assert sensor.end() == 0
    found = marked(sensor, marks[0])
    assert len(found) == 1
    assert not {"container", "orchestrator", "kubernetes"} & found[0].keys()


def test_process_that_was_there_before(start, container):
    """Its exec was never seen; its name, file, arguments and parent are known all the same."""
    before = container.start("/bin/sh", "-c", "while [ ! -e \"$0\" ]; do sleep 0.1; done; exec /bin/true after", "/tmp/" + container.id[:16])
    try:
        time.sleep(0.3)
        sensor = start("taffrail-sensor", "--stdout")
        sensor.ready()
        with open("/tmp/" + container.id[:16], "w", encoding="ascii"):
            pass
        assert before.wait(10) == 0
    finally:
        before.kill()
        if os.path.exists("/tmp/" + container.id[:16]):
            os.unlink("/tmp/" + container.id[:16])
    assert sensor.end() == 0
    forks = of(sensor.documents(), container, "fork")
    execs = [document for document in of(sensor.documents(), container, "exec") if "after" in document["process"]["args"]]
    assert len(execs) == 1 and execs[0]["process"]["pid"] == before.pid
    assert all(fork["process"]["parent"]["pid"] == before.pid for fork in forks)
    children = [document for document in of(sensor.documents(), container, "exec") if document["process"]["parent"]["pid"] == before.pid]
    for child in children:
        assert child["process"]["parent"]["command_line"].startswith("/bin/sh -c ")
        assert child["process"]["parent"]["entity_id"] == execs[0]["process"]["entity_id"]


def test_connection_that_was_there_before(start, container, tmp_path):
    """Its begin was never seen; its end is told all the same, of the process that holds it."""
    go = tmp_path / "go"
    before = container.start("/usr/bin/python3", "-I", "-S", "-c", """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 20000 + os.getpid() % 10000)); client = socket.create_connection(server.getsockname())
accepted = server.accept()[0]
print("open", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.05)
client.send(b"12345"); accepted.recv(5); client.close(); accepted.recv(1); accepted.close()
""", str(go), stdout=subprocess.PIPE)
    try:
        assert before.stdout.readline() == b"open\n"
        sensor = start("taffrail-sensor", "--stdout")
        sensor.ready()
        go.touch()
        assert before.wait(10) == 0
        ends = sensor.wait_for(lambda: len(of(sensor.documents(), container, "disconnect_received")) == 2 and
                               of(sensor.documents(), container, "disconnect_received"), 5)
    finally:
        before.kill()
        before.stdout.close()
    assert {end["network"]["direction"] for end in ends} == {"egress", "ingress"}
    for end in ends:
        assert end["process"]["pid"] == before.pid and end["source"]["bytes"] == 5 and end["destination"]["bytes"] == 0
        assert "duration" not in end["event"]
    assert sensor.end() == 0


def test_collector_says_its_real_port(start, tmp_path):
    collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    match = re.fullmatch(r"127\.0\.0\.1:(\d+)", collector.ready())
    assert match and int(match.group(1)) > 0
    assert collector.end() == 0


def test_collector_needs_no_root_and_leaves_no_socket(public):
    os.mkdir(os.path.join(public, "own"))
    os.chown(os.path.join(public, "own"), 65534, 65534)
    path = os.path.join(public, "own", "s")
    process = subprocess.Popen([os.path.join(public, "taffrail-collector"), "--listen", f"unix:{path}", "--data", os.path.join(public, "own", "data")],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, user=65534, group=65534, extra_groups=[])
    try:
        line = process.stderr.readline()
        assert line == f"taffrail-collector: ready unix:{path}\n"
        assert stat.S_ISSOCK(os.stat(path).st_mode) and os.stat(path).st_mode & 0o007 == 0
    finally:
        process.terminate()
        assert process.wait(20 * SLOW) == 0
    assert not os.path.exists(path)


@pytest.fixture
def chain(start, tmp_path):
    """A collector that files documents, and a sensor that streams to it."""
    address = f"unix:{tmp_path}/s"
    collector = start("taffrail-collector", "--listen", address, "--data", str(tmp_path / "data"), "--output", f"ecs-json:{tmp_path}/out")
    assert collector.ready() == address
    sensor = start("taffrail-sensor", "--collector", address)
    sensor.ready()
    return address, collector, sensor, tmp_path / "out"


def test_document_reaches_the_file_within_a_second(chain, container):
    _, collector, _, out = chain
    container.run("/bin/true", "there")

    def filed():
        return [document for document in map(json.loads, out.read_text().splitlines())
                if document["event"]["action"] == "exec" and "there" in document["process"].get("args", [])] \
            if out.exists() and out.read_text().endswith("\n") else []

    assert len(collector.wait_for(filed, seconds=2.5)) == 1


def test_everything_is_filed_once_after_sigterm(chain, container):
    _, collector, sensor, out = chain
    for _ in range(100):
        container.run("/bin/true")
    assert sensor.end() == 0
    assert collector.end() == 0
    documents = [json.loads(line) for line in out.read_text().splitlines()]
    mine = of(documents, container)
    assert len([document for document in mine if document["event"]["action"] == "exec"]) == 100
    ids = [document["event"]["id"] for document in documents]
    assert len(ids) == len(set(ids))
    sequences = [document["event"]["sequence"] for document in documents]
    assert sequences == list(range(1, len(sequences) + 1))


def test_output_on_stdout(start, container, tmp_path):
    address = f"unix:{tmp_path}/s"
    collector = start("taffrail-collector", "--listen", address, "--data", str(tmp_path / "data"), "--output", "ecs-json:-")
    collector.ready()
    sensor = start("taffrail-sensor", "--collector", address)
    sensor.ready()
    container.run("/bin/true")
    assert sensor.end() == 0
    assert collector.end() == 0
    assert len(of(collector.documents(), container, "exec")) == 1


def test_watch_is_one_plain_line_an_event_when_piped(start, chain, container):
    watch = start("taffrail", "watch", "--collector", chain[0], "--kind", "exec")
    time.sleep(1)
    container.run("/bin/true", "first argument", "\x1b[31m")
    line = watch.wait_for(lambda: next((line for line in watch.lines if "first argument" in line), None), seconds=5)
    assert "/bin/true 'first argument'" in line and "exec" in line
    assert "\x1b" not in "".join(watch.lines), "a container's argument drives the terminal"
    assert watch.end(signal.SIGINT) == 0


def test_watch_is_coloured_on_a_terminal_and_not_with_no_color(chain, container):
    def shown(environment):
        import threading
        timer = threading.Timer(1.5, lambda: container.run("/bin/true", "seen"))
        timer.start()
        output, status = terminal_output([program("taffrail"), "watch", "--collector", chain[0]], 4, environment)
        timer.join()
        assert status == 0
        assert "seen" in output
        return "\x1b[" in output

    plain = dict(os.environ, TERM="xterm-256color")
    plain.pop("NO_COLOR", None)
    assert shown(plain)
    assert not shown(dict(plain, NO_COLOR="1"))


def test_watch_filters_by_kind(start, chain, container):
    watch = start("taffrail", "watch", "--collector", chain[0], "--kind", "end", "--json")
    time.sleep(1)
    container.run("/bin/true")
    watch.wait_for(lambda: of(watch.documents(), container), seconds=5)
    assert {document["event"]["action"] for document in watch.documents()} == {"end"}


def test_watch_filters_by_pod_and_namespace(start, chain, container):
    """What is in no pod is in none that anybody asked for."""
    everything = start("taffrail", "watch", "--collector", chain[0], "--json")
    by_pod = start("taffrail", "watch", "--collector", chain[0], "--json", "--pod", "web")
    by_namespace = start("taffrail", "watch", "--collector", chain[0], "--json", "--namespace", "shop")
    time.sleep(1)
    container.run("/bin/true")
    everything.wait_for(lambda: of(everything.documents(), container, "end"), seconds=5)
    assert by_pod.end(signal.SIGINT) == 0 and by_namespace.end(signal.SIGINT) == 0
    assert by_pod.lines == [] and by_namespace.lines == []


def test_watch_whose_reader_went_away(chain, container):
    process = subprocess.Popen([program("taffrail"), "watch", "--collector", chain[0]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        process.stdout.close()
        deadline = time.monotonic() + 10 * SLOW
        while process.poll() is None and time.monotonic() < deadline:
            container.run("/bin/true")
            time.sleep(0.1)
        assert process.poll() is not None, "it writes for nobody"
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
