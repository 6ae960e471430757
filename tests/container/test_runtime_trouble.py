# SPDX-License-Identifier: Apache-2.0
"""A runtime that is not there, that hangs, or that goes away: events leave all the same, and say what is not known."""
import calendar
import json
import os
import socket
import threading
import time

import pytest

from conftest import SLOW, Documents, get, laboratory, named
from cri_client import Runtime


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


# --- the runtime dies, the sensor starts late --------------------------------------------------------------------------


@pytest.fixture
def lab_of_its_own():
    """A laboratory whose runtime may die, and its socket."""
    with laboratory("mortal") as running:
        yield running


def delay(running, number):
    """How long after its deed a line came, in seconds."""
    text = json.loads(running.lines[number])["@timestamp"]
    whole, fraction = text.rstrip("Z").split(".")
    then = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)
    return running.times[number] - then


LOOP = "n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); /bin/true {nonce} $n; /bin/usleep 10000; done; exec /bin/true {nonce} last"


def test_runtime_killed_and_replaced_by_one_that_never_answers(start, lab_of_its_own, hanging, tmp_path):
    """Containers that are known go on as if nothing were; others are told with what their bundles say; nobody waits."""
    lab, path = lab_of_its_own
    link = str(tmp_path / "runtime.sock")
    os.symlink(path, link)
    running = start("taffrail-sensor", "--stdout", "--cri", link)
    running.ready()
    documents, runtime = Documents(running), Runtime(path)
    pods = [runtime.pod(f"loop-{number}", "shop", labels={"number": str(number)}) for number in range(3)]
    known = [(pod.run("main", "/bin/sh", "-c", LOOP.format(nonce=f"nonce-{number}")), pod, f"nonce-{number}")
             for number, pod in enumerate(pods)]
    for container, pod, _ in known:
        running.wait_for(lambda: documents.of(container, "exec", process__name="true"))
    runtime.close()
    lab.do("kill")
    time.sleep(1)
    os.unlink(link)
    os.symlink(hanging, link)  # somebody listens, and never says a word
    lab.do("start")
    runtime = Runtime(path)
    pod = runtime.pod("new", "shop", labels={"number": "new"})
    new = pod.run("main", "/bin/true", "nonce-new")
    silent = len(running.lines)
    time.sleep(3)  # without a look at the lines, which would take this interpreter's time
    silent = range(silent, len(running.lines))
    document = documents.one(new, "exec", process__name="true")
    assert get(document, "orchestrator.resource.name") == "new" and get(document, "taffrail.pending") is True, document
    os.unlink(link)
    os.symlink(path, link)  # it is back
    running.wait_for(lambda: documents.of(new, "container_named"), 15)
    named(documents.one(new, "container_named"), pod, "main", image_id=runtime.image_id())
    for container, pod, nonce in known:
        pod.runtime = runtime
        assert runtime.call("ExecSync", container_id=container.id, cmd=["/bin/touch", "/tmp/end"], timeout=10).exit_code == 0
    image_id = runtime.image_id()
    for container, pod, nonce in known:
        running.wait_for(lambda: documents.of(container, "container_stopped"))
        execs = [one["process"]["args"] for one in documents.of(container, "exec", process__name="true")]
        count = len(execs) - 1
        assert count > 20 and execs == [["/bin/true", nonce, str(n)] for n in range(1, count + 1)] + [["/bin/true", nonce, "last"]]
        for document in documents.of(container):
            named(document, pod, "main", image_id=image_id)
    ids = [container.id for container, _, _ in known]
    delays = sorted(delay(running, number) for number in silent
                    if '"action":"exec"' in running.lines[number] and any(one in running.lines[number] for one in ids))
    p99 = delays[int(len(delays) * 0.99)]
    print(f"{len(delays)} execs of known containers while the runtime was silent: p99 {p99 * 1000:.1f} ms")
    assert p99 < 0.05 * SLOW, delays[-20:]
    assert running.end() == 0
    assert not any('"action":"events_lost"' in line for line in running.lines)
    degraded = [json.loads(line) for line in running.lines if '"action":"attribution_degraded"' in line]
    assert sum(one["taffrail"]["attribution"]["completed_late"] for one in degraded) >= 1
    assert sum(one["taffrail"]["attribution"]["pending"] for one in degraded) >= 1
    runtime.close()


def test_sensor_restarted_among_50_containers(start, socket_path, runtime):
    """Names and lineage of what is older than the sensor; no container starts twice."""
    pods = [runtime.pod(f"older-{number}", "shop", labels={"number": str(number)}) for number in range(10)]
    try:
        script = "(while [ ! -e /tmp/go ]; do /bin/usleep 50000; done; /bin/true {nonce}; exec /bin/sleep 1000000) & wait"
        older = [(pods[number % 10].run(f"main-{number}", "/bin/sh", "-c", script.format(nonce=f"older-{number}")),
                  pods[number % 10], f"older-{number}") for number in range(50 if SLOW == 1 else 10)]
        for life in range(2):
            running = start("taffrail-sensor", "--stdout", "--cri", socket_path)
            running.ready()
            documents = Documents(running)
            if life == 0:
                running.kill()
        for container, _, _ in older:
            assert container.execute("/bin/touch", "/tmp/go")[0] == 0
        image_id = runtime.image_id()
        for container, pod, nonce in older:
            document = documents.one(container, "exec", process__args=["/bin/true", nonce])
            named(document, pod, container.name, image_id=image_id)
            leader, parent = document["process"]["entry_leader"], document["process"]["parent"]
            assert leader["entry_meta"]["type"] == "container" and leader["name"] == "sh"
            assert parent["name"] == "sh" and nonce in parent["command_line"]
            touch = documents.one(container, "exec", process__args=["/bin/touch", "/tmp/go"])
            assert touch["process"]["entry_leader"]["entry_meta"]["type"] == "runtime-exec"
            assert documents.of(container, "container_started") == []
        assert running.end() == 0
    finally:
        for pod in pods:
            pod.remove()
