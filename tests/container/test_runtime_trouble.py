# SPDX-License-Identifier: Apache-2.0
"""A runtime that is not there, that hangs, or that goes away: events leave all the same, and say what is not known."""
import os
import socket
import threading
import time

import pytest

from conftest import SLOW, Documents, get, named


@pytest.fixture
def hanging(tmp_path):
    """A socket that takes every connection and never says a word."""
    path = str(tmp_path / "cri.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    held = []

    def take():
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield path
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for one in held:
        one.close()


def test_runtime_that_is_not_there(start, pods, tmp_path):
    """Said once; events have the container's id and are not held back for ever."""
    running = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none.sock"))
    running.ready()
    documents = Documents(running)
    pod = pods()
    for number in range(3):
        container = pod.run(f"main-{number}", "/bin/true", str(number))
        assert container.wait() == 0
        document = documents.one(container, "exec", process__name="true", seconds=3)
        assert document["container"] == {"id": container.id}
        assert not {"kubernetes"} & document.keys() and get(document, "orchestrator.resource") is None
    assert running.end() == 0
    assert sum("none.sock" in line for line in running.log) == 1, running.log


def test_bundle_gives_names_where_the_runtime_does_not(start, lab, pods, tmp_path):
    """config.json has all names but the pod's labels; that they are missing is said."""
    running = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none.sock"), "--set", f"cri.state={lab}/state")
    running.ready()
    documents = Documents(running)
    pod = pods("known", "shop", labels={"app": "web"})
    container = pod.create("main", "/bin/true")
    container.start()
    assert container.wait() == 0
    document = documents.one(container, "exec", process__name="true", seconds=3)
    assert document["container"]["name"] == "main" and document["container"]["image"]["name"] == "example.test/taffrail/busybox"
    assert document["orchestrator"]["namespace"] == "shop" and document["orchestrator"]["resource"]["name"] == "known"
    assert document["orchestrator"]["resource"]["id"] == pod.uid
    assert "kubernetes" not in document and document["taffrail"]["pending"] is True
    assert running.end() == 0


def test_runtime_that_hangs(start, lab, pods, hanging):
    """After about a second events leave with what config.json says, marked; none is lost, none comes twice."""
    running = start("taffrail-sensor", "--stdout", "--cri", hanging, "--set", f"cri.state={lab}/state")
    running.ready()
    documents = Documents(running)
    pod = pods("slow", "shop", labels={"app": "web"})
    ran = []
    for number in range(10):
        container = pod.create(f"main-{number}", "/bin/sh", "-c", "for n in 1 2 3 4 5; do /bin/true $n; done")
        ran.append((container, time.monotonic()))
        container.start()
        assert container.wait() == 0
    container, began = ran[-1]
    running.wait_for(lambda: documents.of(container, "end", process__name="sh"), 5)
    assert 0.9 < time.monotonic() - began < 3 * SLOW
    time.sleep(0.3)
    for number, (container, _) in enumerate(ran):
        execs = documents.of(container, "exec", process__name="true")
        assert [document["process"]["args"][1] for document in execs] == ["1", "2", "3", "4", "5"]
        for document in execs:
            assert document["taffrail"]["pending"] is True and "kubernetes" not in document
            assert document["container"]["name"] == f"main-{number}"
            assert document["orchestrator"]["resource"]["name"] == "slow"
    assert running.end() == 0
    assert not any('"action":"events_lost"' in line for line in running.lines)


def test_runtime_that_comes_later(start, socket_path, pods, tmp_path):
    """The socket appears while the sensor runs: from then on there are names."""
    late = str(tmp_path / "late.sock")
    running = start("taffrail-sensor", "--stdout", "--cri", late)
    running.ready()
    documents = Documents(running)
    pod = pods("late", "shop", labels={"app": "web"})
    early = pod.run("early", "/bin/sleep", "1000000")
    assert documents.one(early, "exec", seconds=3, process__name="sleep")["container"] == {"id": early.id}
    os.link(socket_path, late)  # a second name for the runtime's own socket
    running.wait_for(lambda: any("containerd" in line and "late.sock" in line for line in running.log), 10)
    container = pod.run("main", "/bin/true")
    named(documents.one(container, "exec", process__name="true"), pod, "main")
    assert early.execute("/bin/true", "now")[0] == 0
    named(documents.one(early, "exec", process__args=["/bin/true", "now"]), pod, "early")
    assert running.end() == 0
