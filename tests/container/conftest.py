# SPDX-License-Identifier: Apache-2.0
"""Real containers over the real CRI: a private containerd (scripts/lab.sh), pods as kubelet would make them.

One sensor watches all tests; each test looks at the documents of its own containers. TAFFRAIL_RUNTIME=1.7: on the
containerd of that version (scripts/runtimes.sh) instead of this machine's.
"""
import contextlib
import json
import os
import secrets
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts")]
from cri_client import IMAGE, Runtime  # noqa: E402
from documents import Documents, get  # noqa: E402
from programs import ROOT, SLOW, Running, once  # noqa: E402

BUILD = os.environ.get("TAFFRAIL_BUILD", os.path.join(ROOT, "build"))
WANTED = os.environ.get("TAFFRAIL_RUNTIME")
PAUSE = "example.test/taffrail/pause:1"


def named(document, pod, name, image=IMAGE, image_id=None):
    """Every name that the runtime has for a container, and that nothing is left open."""
    repository, tag = image.rsplit(":", 1)
    assert document["container"]["name"] == name
    assert document["container"]["image"]["name"] == repository
    assert document["container"]["image"]["tag"] == [tag]
    assert document["container"]["image"]["hash"] == {"all": [image_id or pod.runtime.image_id(image)]}
    assert document["orchestrator"]["type"] == "kubernetes"
    assert document["orchestrator"]["namespace"] == pod.namespace
    assert document["orchestrator"]["resource"]["type"] == "pod"
    assert document["orchestrator"]["resource"]["name"] == pod.name
    assert document["orchestrator"]["resource"]["id"] == pod.uid
    assert document["kubernetes"]["labels"] == pod.labels
    assert get(document, "taffrail.pending") is None


def told_of_both(documents, pod, older):
    """Of a container that begins now, and of one that was there before the sensor and waits for /tmp/go to run `true of-the-older`: the
    new one, and the document of the older one's exec."""
    new = pod.run("new", "/bin/true", "of-the-new")
    assert older.execute("/bin/touch", "/tmp/go")[0] == 0
    named(documents.one(new, "exec", process__args=["/bin/true", "of-the-new"]), pod, "new")
    of_older = documents.one(older, "exec", process__args=["/bin/true", "of-the-older"])
    named(of_older, pod, "older")
    return new, of_older


def missed(lines):
    """What the sensor's canary found missing."""
    found = lines.wait_for(lambda: [json.loads(line) for line in lines.lines if '"action":"coverage"' in line], seconds=60)
    return [one for one in found[-1]["taffrail"]["coverage"] if one["state"] == "missed"]


class Laboratory:
    """scripts/lab.sh, for one folder, with the wanted containerd."""

    def __init__(self, name):
        self.folder, self.environment = os.path.join(BUILD, "test", name), dict(os.environ)
        if WANTED:
            script = os.path.join(ROOT, "scripts", "runtimes.sh")
            done = subprocess.run([script, WANTED], check=True, stdout=subprocess.PIPE, text=True)
            self.environment["CONTAINERD"] = done.stdout.strip()

    def do(self, verb):
        """up, down, kill or start; what it prints: up the socket's path."""
        script = os.path.join(ROOT, "scripts", "lab.sh")
        done = subprocess.run([script, verb, self.folder], check=True, stdout=subprocess.PIPE, text=True, env=self.environment)
        return done.stdout.strip()


@contextlib.contextmanager
def laboratory(name):
    """A running one and its socket."""
    lab = Laboratory(name)
    lab.do("down")
    try:
        yield lab, lab.do("up")
    finally:
        lab.do("down")


@pytest.fixture(scope="session")
def lab():
    """The folder of a running laboratory."""
    with laboratory("lab") as (running, _):
        yield running.folder


@pytest.fixture(scope="session")
def socket_path(lab):
    """The CRI's; lab.sh says where it is, and puts it there when the folder's path is short."""
    with open(os.path.join(lab, "config.toml"), encoding="ascii") as config:
        return next(line.split('"')[1] for line in config if line.strip().startswith("address = "))


@pytest.fixture(scope="session")
def runtime(socket_path):
    runtime = Runtime(socket_path)
    yield runtime
    runtime.close()


@pytest.fixture(scope="session")
def workload(lab):
    """The program of workload.c, as a mount for a container."""
    target = os.path.join(lab, "workload")
    try:
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-static", "-O1", "-o", target, os.path.join(HERE, "workload.c")], check=True)
        yield (target, "/workload")
    finally:
        if os.path.exists(target):
            os.unlink(target)


@pytest.fixture(scope="session")
def sensor(socket_path):
    """The documents of the sensor that watches all tests; at its end it must have lost nothing."""
    running = Running("taffrail-sensor", "--stdout", "--cri", socket_path)
    try:
        running.ready()
        yield Documents(running)
        assert running.end() == 0, running.log
        lost = [line for line in running.lines if '"action":"events_lost"' in line]
        assert lost == [] and not any("Sanitizer" in line for line in running.log), running.log
    finally:
        running.kill()


@pytest.fixture
def start():
    """Starts programs that do not outlive the test."""
    running = []

    def starter(name, *arguments, **more):
        running.append(Running(name, *arguments, **more))
        return running[-1]

    yield starter
    for one in reversed(running):
        one.kill()


@pytest.fixture
def pods(runtime):
    """Makes pods that do not outlive the test."""
    made = []

    def make(name=None, namespace="tests", **more):
        made.append(runtime.pod(name or f"pod-{secrets.token_hex(4)}", namespace, **more))
        return made[-1]

    yield make
    for pod in made:
        pod.remove()


@pytest.fixture
def idle(pods):
    """A container of a pod of its own that only sleeps: for what is executed in it."""
    return pods().run("main", "/bin/sleep", "1000000")


__all__ = ["SLOW", "PAUSE", "Documents", "get", "laboratory", "named", "once"]
