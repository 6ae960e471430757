# SPDX-License-Identifier: Apache-2.0
"""The sensor's image as the manifest runs it: its user, its capabilities, its mounts, and nothing else."""
import os
import subprocess
import time

import pytest
import yaml

from conftest import SLOW, Documents, get, missed, told_of_both
from documents import Lines
from oci import Image, pack
from programs import ROOT, Running, children

pytestmark = pytest.mark.skipif(SLOW != 1, reason="the image has the ordinary programs")

MANIFEST = os.path.join(ROOT, "deploy", "kustomize", "base", "sensor.yaml")
NEEDED = {"BPF": 39, "PERFMON": 38, "NET_ADMIN": 12}


def manifest():
    """The pod's specification, and its container."""
    with open(MANIFEST, encoding="utf-8") as documents:
        pod = next(one for one in yaml.safe_load_all(documents) if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


@pytest.fixture(scope="module")
def image(runtime, socket_path, tmp_path_factory):
    """Of the programs as they are now, not what an earlier build has left."""
    folder = tmp_path_factory.mktemp("images")
    pack(folder)
    archive = str(folder / "sensor.tar")
    subprocess.run(["ctr", "--address", socket_path, "--namespace", "k8s.io", "images", "import", archive], check=True, stdout=subprocess.DEVNULL)
    return Image(archive).name


@pytest.fixture
def bpffs(tmp_path):
    """One of the test's own: the machine may have none."""
    path = tmp_path / "bpf"
    path.mkdir()
    subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "none", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


class Deployed:
    """The sensor's container. Of the manifest all but where things are on this machine, which its volumes' names say."""

    def __init__(self, pods, image, places, options, capabilities=None):
        pod, container = manifest()
        context = container["securityContext"]
        assert pod["hostPID"] and not pod.get("hostNetwork") and context["capabilities"]["drop"] == ["ALL"]
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault" and not context["allowPrivilegeEscalation"]
        self.capabilities = context["capabilities"]["add"] if capabilities is None else capabilities
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = [(places.get(mount["name"]) or volumes[mount["name"]]["hostPath"]["path"], mount["mountPath"], not mount.get("readOnly", False))
                  for mount in container["volumeMounts"]]
        assert sum(writable for *_, writable in mounts) == 2
        self.logs = places["logs"]
        pod = pods("sensor", "taffrail", host_namespaces=("pid",), log_directory=self.logs)
        self.container = pod.run("sensor", image=image, args=options, user=pod_user(), readonly=context["readOnlyRootFilesystem"],
                                 mounts=mounts, capabilities=self.capabilities)

    def log(self):
        try:
            with open(os.path.join(self.logs, "sensor.log"), encoding="utf-8") as lines:
                return [line.split(" ", 3)[3].rstrip("\n") for line in lines]
        except FileNotFoundError:
            return []

    def wait_for(self, words, seconds=60):
        deadline = time.monotonic() + seconds
        while not any(words in line for line in self.log()):
            assert self.container.status().state == 1 and time.monotonic() < deadline, self.log()
            time.sleep(0.1)


def pod_user():
    return manifest()[0]["securityContext"]["runAsUser"]


@pytest.fixture
def places(tmp_path, bpffs, socket_path):
    found = {"bpffs": str(bpffs), "runtime": os.path.dirname(socket_path)}
    for name in ("state", "config", "tls", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
        found[name] = str(tmp_path / name)
    return found


def options(places):
    """In place of the manifest's configuration: a collector on this machine, and where the laboratory's runtime keeps things."""
    return ["--collector", "unix:/var/lib/taffrail/collector.sock", "--spool", "/var/lib/taffrail/spool", "--no-rules",
            "--set", "host.root=/host", "--cri", "/host/run/containerd/containerd.sock", "--set", "cri.state=/run/containerd/state"]


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


def worker_of(container):
    """By its cgroup, for the numbers are the machine's."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cgroup", encoding="ascii") as cgroups:
                if container.id in cgroups.read() and status(name)["Name"] == "taffrail-sensor":
                    return int(name)
        except (FileNotFoundError, ProcessLookupError):
            pass
    raise AssertionError("its process is not there")


def test_the_manifests_sensor_sees_the_machine(pods, image, places, tmp_path, request):
    """With exactly what the manifest gives it: others' containers with all their names, its canary, its pins."""
    work = pods("watched", "shop", labels={"app": "web"})
    older = work.run("older", "/bin/sh", "-c", "while [ ! -e /tmp/go ]; do /bin/usleep 50000; done; exec /bin/true of-the-older")
    collector = Running("taffrail-collector", "--listen", f"unix:{places['state']}/collector.sock", "--data", str(tmp_path / "data"),
                        "--output", f"ecs-json:{tmp_path / 'lines'}")
    request.addfinalizer(collector.kill)
    collector.ready()
    sensor = Deployed(pods, image, places, options(places))
    sensor.wait_for("ready")
    worker = worker_of(sensor.container)
    loader, = children(worker)
    assert {int(status(worker)[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert int(status(worker)["CapBnd"], 16) == sum(1 << number for number in NEEDED.values())
    assert int(status(loader)["CapPrm"], 16) == 1 << NEEDED["BPF"] and status(loader)["Name"] == "taffrail-loader"
    assert status(worker)["NoNewPrivs"] == status(loader)["NoNewPrivs"] == "1"
    assert status(worker)["Uid"].split("\t")[0] == str(pod_user())
    pinned = [os.listdir(os.path.join(places["bpffs"], "taffrail", name)) for name in os.listdir(os.path.join(places["bpffs"], "taffrail"))]
    assert [sorted(names) for names in pinned] == [["bulk", "counters", "critical", "ledger", "shared"]]
    lines = Lines(tmp_path / "lines")
    documents = Documents(lines)
    _, of_older = told_of_both(documents, work, older)
    assert get(of_older, "process.entry_leader.entry_meta.type") == "container"
    assert missed(lines) == []
    sensor.container.runtime.call("StopContainer", container_id=sensor.container.id, timeout=20)
    assert sensor.container.status().exit_code == 0
    assert os.listdir(places["bpffs"]) == ["maps.debug", "progs.debug"] or "taffrail" not in os.listdir(places["bpffs"])


@pytest.mark.parametrize("name", NEEDED)
def test_without_a_capability_it_says_which(pods, image, places, name):
    capabilities = [other for other in manifest()[1]["securityContext"]["capabilities"]["add"] if other != name]
    assert len(capabilities) == len(manifest()[1]["securityContext"]["capabilities"]["add"]) - 1, "the manifest gives it"
    sensor = Deployed(pods, image, places, options(places), capabilities)
    assert sensor.container.wait() == 1
    line, = sensor.log()
    assert f"lacks CAP_{name}, without" in line and "securityContext.capabilities.add" in line


def test_the_manifest_gives_no_more_than_is_needed():
    assert sorted(manifest()[1]["securityContext"]["capabilities"]["add"]) == sorted(NEEDED)
