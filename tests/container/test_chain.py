# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: a container does something, and a second later its event stands in the collector's output."""
import json
import signal
import time

import pytest

from conftest import SLOW, get, named


@pytest.fixture
def chain(start, socket_path, tmp_path):
    address = f"unix:{tmp_path}/s"
    collector = start("taffrail-collector", "--listen", address, "--data", str(tmp_path / "data"), "--output", f"ecs-json:{tmp_path}/out")
    assert collector.ready() == address
    sensor = start("taffrail-sensor", "--collector", address, "--cri", socket_path)
    sensor.ready()
    return address, collector, sensor, tmp_path / "out"


def filed(out):
    """The lines that are whole."""
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    return text[:text.rfind("\n") + 1].splitlines()


def test_named_event_is_filed_within_two_seconds(chain, pods):
    """One second for the names at most, one for the way."""
    _, collector, _, out = chain
    pod = pods("web", "shop", labels={"app": "web"})
    container = pod.create("main", "/bin/true", "there")
    began = time.monotonic()
    container.start()
    collector.wait_for(lambda: any(container.id in line and '"there"' in line for line in filed(out)), 5)
    assert time.monotonic() - began < 2 * SLOW
    document = next(json.loads(line) for line in filed(out) if container.id in line and '"action":"exec"' in line)
    named(document, pod, "main")
    container.wait()


def test_everything_is_filed_once(chain, pods):
    _, collector, sensor, out = chain
    pod = pods("web", "shop", labels={"app": "web"})
    container = pod.run("main", "/bin/sh", "-c", "for n in $(seq 200); do /bin/true $n; done")
    assert container.wait() == 0
    assert sensor.end() == 0 and collector.end() == 0
    documents = [json.loads(line) for line in filed(out)]
    mine = [document for document in documents if get(document, "container.id") == container.id]
    execs = [document for document in mine if document["event"]["action"] == "exec" and document["process"]["name"] == "true"]
    assert [document["process"]["args"][1] for document in execs] == [str(number) for number in range(1, 201)]
    for document in mine:
        named(document, pod, "main")
    assert len({document["event"]["id"] for document in documents}) == len(documents)
    assert [document["event"]["sequence"] for document in documents] == list(range(1, len(documents) + 1))


def test_watch_shows_one_pod(start, chain, pods):
    address, collector, _, _ = chain
    watched, other = pods("watched", "shop"), pods("other", "shop")
    elsewhere = pods("watched", "elsewhere")
    time.sleep(1)  # the execs of the pods' own pause containers have passed
    watch = start("taffrail", "watch", "--collector", address, "--pod", "watched", "--namespace", "shop", "--kind", "exec", "--json")
    lines = start("taffrail", "watch", "--collector", address, "--pod", "watched", "--kind", "exec")
    time.sleep(1)
    for pod in (other, elsewhere, watched):
        assert pod.run("main", "/bin/true", pod.name, pod.namespace).wait() == 0
    watch.wait_for(lambda: watch.lines, 5)
    lines.wait_for(lambda: len(lines.lines) >= 2, 5)
    time.sleep(0.5)
    documents = [json.loads(line) for line in watch.lines]
    assert [(document["event"]["action"], document["process"]["args"]) for document in documents] == [("exec", ["/bin/true", "watched", "shop"])]
    named(documents[0], watched, "main")
    assert len(lines.lines) == 2
    for line, namespace in zip(lines.lines, ("elsewhere", "shop")):
        assert "/bin/true watched" in line and "watched" in line and namespace in line and "\x1b" not in line
    assert watch.end(signal.SIGINT) == 0 and lines.end(signal.SIGINT) == 0
