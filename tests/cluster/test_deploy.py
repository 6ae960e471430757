# SPDX-License-Identifier: Apache-2.0
"""Taffrail in a cluster as README.md and deploy/README.md say it is put there: by kustomize, then by the chart.

The commands are those of the two files, read from there. What arrives is looked at in the collector's own output.
"""
import json
import os
import re
import shutil
import stat
import subprocess
import threading
import time

import pytest
from conftest import NAMESPACE, SCRIPTS, container, get, idle, named, pod_manifest, template, until, workload
from documents import Documents
from programs import ROOT, version

OWN = "taffrail"
SENSOR, COLLECTOR = "daemonset/taffrail-sensor", "statefulset/taffrail-collector"
CERTIFICATES = os.path.join(ROOT, "deploy", "kustomize", "overlays", "test", "ca")
# An address that is nobody's (RFC 5737), and on the node: bytes to pods' networks are not sampled, and nothing may leave it.
OUTSIDE = "198.51.100.7"
PEER = """
import socket, sys, threading
server = socket.create_server((sys.argv[1], 6881))
threading.Thread(target=sys.stdin.read).start()
def answer():
    while True:
        peer, _ = server.accept()
        peer.recv(68)
        peer.sendall(b"\\x13BitTorrent protocol" + bytes(8) + 2 * b"abcdefghij0123456789")
threading.Thread(target=answer, daemon=True).start()
"""
# What every container has of its own that is no file of the host's.
PRIVATE = re.compile(r"/(proc|dev)(/|$)|/sys/fs/cgroup(/|$)|/etc/(hosts|hostname|resolv\.conf)$")


# --- the two files' commands -----------------------------------------------------------------------------------------

def commands(path, heading):
    """The first block of commands below a heading, a line each; a line that ends in a backslash goes on."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        section = file.read().split(f"\n{heading}\n", 1)[1]
    block = re.search(r"(?:^    .*\n)+", re.split(r"^#+ ", section, flags=re.M)[0], flags=re.M).group()
    return [re.sub(r"^    ", "", one) for one in re.sub(r"\\\n +", "", block).splitlines()]


class Person:
    """Somebody at the node: sudo, ctr, kubectl and helm of the shell are the cluster's."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, str(folder)
        script = os.path.join(SCRIPTS, "cluster.sh")
        self.write("sudo", 'exec "$@"')
        self.write("ctr", f'exec "{script}" node "{cluster.folder}" {shutil.which("ctr")} "$@"')
        self.write("kubectl", f'exec "{script}" kubectl "{cluster.folder}" "$@"')
        self.write("helm", f'KUBECONFIG="{cluster.folder}/admin.kubeconfig" exec "{script}" node "{cluster.folder}" "{ROOT}/build/helm/helm" "$@"')

    def node(self, *command):
        return subprocess.run([os.path.join(SCRIPTS, "cluster.sh"), "node", self.cluster.folder, *command], capture_output=True, text=True, check=True).stdout

    def write(self, name, line):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{line}\n")
        os.chmod(path, 0o755)

    def types(self, *lines, seconds=300, where=ROOT):
        """All in one shell: where one line leaves it the next one begins. It ends with the first that fails."""
        script = "\n".join(lines)
        done = subprocess.run(["bash", "-ec", script], cwd=where, capture_output=True, text=True, timeout=seconds,
                              env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"})
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


# --- what was put there ----------------------------------------------------------------------------------------------

class Output:
    """The collector's file on the node's volume, as Documents wants a program's lines."""

    def __init__(self, path):
        self.path, self.place, self.lines = path, 0, []

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, "rb") as file:
                file.seek(self.place)
                data = file.read()
            whole = data[:data.rfind(b"\n") + 1]
            self.place += len(whole)
            self.lines += whole.decode().splitlines()

    def wait_for(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < deadline, f"not within {seconds} s of {len(self.lines)} documents"
            time.sleep(0.1)
            self.read()
        return value


class Deployed:
    def __init__(self, cluster, person, way, volume):
        self.cluster, self.person, self.way, self.volume = cluster, person, way, volume
        self.output = Output(os.path.join(volume, "events.ndjson"))

    def kubectl(self, *arguments, **more):
        return self.cluster.kubectl("-n", OWN, *arguments, **more)

    def rolled_out(self):
        for one in (COLLECTOR, SENSOR):
            try:
                self.kubectl("rollout", "status", one, "--timeout=90s")
            except AssertionError as error:
                events, log = self.kubectl("get", "events"), self.kubectl("logs", one, "--tail=30")
                raise AssertionError(f"{error}\n{events}\n{log}") from error

    def pod(self, component):
        """The one pod of it that is not on its way out."""

        def staying():
            found = json.loads(self.kubectl("get", "pods", "-o", "json", "-l", f"app.kubernetes.io/component={component}"))["items"]
            found = [one for one in found if "deletionTimestamp" not in one["metadata"]]
            return found if len(found) == 1 else None

        return until(staying)[0]

    def container_id(self, component):
        """When it is ready: a kubelet that has just started calls nobody ready whom it has not asked yet."""

        def ready():
            status, = self.pod(component)["status"]["containerStatuses"]
            assert status["restartCount"] == 0, status
            return status if status["ready"] else None

        return until(ready)["containerID"].split("//")[1]

    def pids(self, component):
        """Of all that runs in its container, as the machine numbers it."""
        listed = self.person.types(f"ctr -n k8s.io tasks ps {self.container_id(component)}").splitlines()[1:]
        return [int(line.split()[0]) for line in listed]

    def balance(self):
        said = json.loads(self.kubectl("exec", "taffrail-collector-0", "--", "taffrail", "status", "--data", "/var/lib/taffrail/store", "--json"))
        assert said["difference"] == 0 and not said["damaged"], said
        return said["sensors"]


def bpf_objects(pids):
    """The programs and maps that these processes hold, and of which they made links: kind and id."""
    found = set()
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="utf-8") as file:
                found |= set(re.findall(r"^(prog|map|link)_id:\s*(\d+)$", file.read(), flags=re.M))
    return found


def still_there(objects):
    """Those of them that the kernel has; it may have given none of the numbers again, for it counts on."""
    kinds = {"prog": "prog", "map": "map", "link": "link"}
    there = set()
    for kind, command in kinds.items():
        said = subprocess.run(["bpftool", "-j", command, "show"], capture_output=True, text=True, check=True).stdout
        there |= {(kind, str(one["id"])) for one in json.loads(said)}
    return objects & there


def writable_mounts(pid):
    """Where a process may write to, of what is mounted."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    return sorted(one[4] for one in mounts if "rw" in one[5].split(",") and not PRIVATE.match(one[4]))


@pytest.fixture(scope="module")
def person(cluster, tmp_path_factory):
    return Person(cluster, tmp_path_factory.mktemp("bin"))


def offer_volume(cluster, way):
    """A disk of the node's, as a provisioner would make one."""
    folder = os.path.join(cluster.folder, "volumes", way)
    os.makedirs(folder)
    everywhere = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": way},
                   "spec": {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": folder},
                            "persistentVolumeReclaimPolicy": "Retain",
                            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [everywhere]}]}}}})
    return folder


@pytest.fixture(scope="module", params=["kustomize", "chart"])
def deployed(request, cluster, person):
    way = request.param
    here = ("README.md", "## On a cluster") if way == "kustomize" else ("deploy/README.md", "### With the chart")
    kept = os.path.exists(CERTIFICATES)
    if way == "chart":
        build = subprocess.run([os.path.join(ROOT, "scripts", "helm.sh")], capture_output=True, text=True)
        if build.returncode == 77:
            pytest.skip(build.stderr.strip().splitlines()[-1])
        assert build.returncode == 0, build.stderr
    made = Deployed(cluster, person, way, offer_volume(cluster, way))
    try:
        person.types(*commands(*here), seconds=900)
        made.rolled_out()
        yield made
    finally:
        # What test_removed has not, because a test before it failed.
        cluster.kubectl("delete", "namespace", OWN, "--ignore-not-found", "--timeout=60s")
        cluster.kubectl("delete", "priorityclass", "taffrail-sensor", "taffrail-collector", "--ignore-not-found")
        cluster.kubectl("delete", "pv", way, "--ignore-not-found")
        if not kept:
            shutil.rmtree(CERTIFICATES, ignore_errors=True)


@pytest.fixture(scope="module")
def sensor(deployed):
    """What `told` looks in."""
    return Documents(deployed.output)


# --- it works --------------------------------------------------------------------------------------------------------

def test_ready_by_their_own_probes(deployed):
    for component in ("sensor", "collector"):
        pod = deployed.pod(component)
        ready, = (one for one in pod["status"]["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "True"
        probes = {key: one["httpGet"]["path"] for key, one in pod["spec"]["containers"][0].items() if key.endswith("Probe")}
        assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        deployed.container_id(component)  # has not been started again
    address = json.loads(deployed.kubectl("get", "service", "taffrail-collector", "-o", "json"))["spec"]["clusterIP"]
    assert address not in json.dumps(deployed.pod("collector")["status"])  # kube-proxy stands between
    # It is ready before, for its spool takes what it sees.
    until(lambda: "streaming to taffrail-collector.taffrail.svc:7443" in deployed.kubectl("logs", SENSOR))
    assert "plain text" not in deployed.kubectl("logs", SENSOR)


def test_nothing_of_the_host_is_writable_but_the_two_declared_paths(deployed):
    """Beside what is mounted below a read-only path: containers' roots, v1's hierarchies, in /proc what the lab puts there."""
    below = re.compile("/host/(run/containerd|sys/fs/cgroup|proc)/.")
    for pid in deployed.pids("sensor"):
        assert [path for path in writable_mounts(pid) if not below.match(path)] == ["/sys/fs/bpf", "/var/lib/taffrail"]
    for pid in deployed.pids("collector"):
        assert writable_mounts(pid) == ["/var/lib/taffrail"]


def test_the_collector_alone_would_be_admitted_at_the_level_restricted(deployed):
    said = deployed.person.types(f"kubectl label --dry-run=server --overwrite namespace {OWN} pod-security.kubernetes.io/enforce=restricted 2>&1")
    violating = re.findall(r"^Warning: (taffrail-[a-z]+)", said, flags=re.M)
    assert violating == ["taffrail-sensor"], said


def test_workloads_with_all_names(cluster, told, nonce, deployed):
    for kind in ("Deployment", "DaemonSet"):
        name, own = f"{deployed.way}-{kind.lower()}", f"{nonce}{kind}"
        cluster.apply(workload(kind, name, template(name, idle("main", own))))
        cluster.kubectl("rollout", "status", "-n", NAMESPACE, f"{kind}/{name}", "--timeout=90s")
        told(cluster.pod(name, kind)["main"], "/bin/true", own)
        cluster.kubectl("delete", "-n", NAMESPACE, f"{kind}/{name}", "--wait=false")
    name = f"{deployed.way}-job"
    cluster.apply(workload("Job", name, template(name, container("main", "/bin/true", nonce), restartPolicy="Never")))
    cluster.wait(f"job/{name}", "condition=Complete")
    told(cluster.pod(name, "Job")["main"], "/bin/true", nonce)


def test_static_pod(cluster, told, nonce, deployed):
    path = cluster.put_static(deployed.way, pod_manifest(deployed.way, idle("main", nonce)))
    name = f"{deployed.way}-{cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.name}')}"
    try:
        cluster.wait(f"pod/{name}", "create")
        cluster.wait(f"pod/{name}", "condition=Ready")
        told(cluster.pod(name)["main"], "/bin/true", nonce)
    finally:
        os.unlink(path)


def test_kubectl_exec(cluster, told, nonce, deployed):
    pod = cluster.bare_pod(f"{deployed.way}-shelled", idle("main", nonce))
    cluster.kubectl("exec", "-n", NAMESPACE, pod.name, "--", "/bin/true", f"{nonce}again")
    document = told(pod["main"], "/bin/true", f"{nonce}again", entry="runtime-exec")
    assert get(document, "host.name") == "node-1"


def verdicts(sensor, pod):
    return [one for one in sensor.of(pod["main"]) if get(one, "taffrail.p2p.verdict") == "confirmed"]


def test_findings(cluster, sensor, person, deployed):
    """A rule's, and a peer's, which exchanges BitTorrent's handshakes with another one outside."""
    rule = cluster.bare_pod(f"{deployed.way}-rule", container("main", "/bin/sh", "-c", "/bin/cp /bin/busybox /tmp/sh; /tmp/sh true; exec /bin/sleep 1000000"))
    found = sensor.wait(rule["main"], "exec", 1, seconds=20, event__kind="alert", rule__name="Program that was not in the image")[0]
    named(cluster, found, rule["main"])

    person.node("ip", "address", "replace", f"{OUTSIDE}/32", "dev", "lo")
    with subprocess.Popen([os.path.join(SCRIPTS, "cluster.sh"), "node", cluster.folder, "/usr/bin/python3", "-c", PEER, OUTSIDE],
                          stdin=subprocess.PIPE) as peer:
        try:
            said = "printf '\\023BitTorrent protocol\\000\\000\\000\\000\\000\\000\\000\\000" + 2 * "abcdefghij0123456789" + "'; /bin/sleep 2"
            script = f"while :; do ({said}) | /bin/nc {OUTSIDE} 6881; /bin/sleep 1; done"
            client = cluster.bare_pod(f"{deployed.way}-peer", container("main", "/bin/sh", "-c", script))
            deployed.output.wait_for(lambda: verdicts(sensor, client), 40)
        finally:
            peer.stdin.close()
            peer.wait(20)
    found = verdicts(sensor, client)[0]
    named(cluster, found, client["main"])
    assert found["event"]["kind"] == "alert" and get(found, "taffrail.p2p.family") == "bittorrent"
    for pod in (rule, client):
        cluster.kubectl("delete", "-n", NAMESPACE, f"pod/{pod.name}", "--wait=false")


def test_what_a_reader_sees(deployed, cluster, nonce):
    """The last command of the README, live; without a reader's certificate nothing."""
    line = commands("README.md", "To look at them:")[0]
    pod = cluster.bare_pod(f"{deployed.way}-seen", idle("main", nonce))
    environment = {**os.environ, "PATH": f"{deployed.person.folder}:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", "-c", f"{line} --namespace {NAMESPACE}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as watch:
        shown = []
        threading.Thread(target=lambda: shown.extend(watch.stdout), daemon=True).start()

        def seen():
            cluster.kubectl("exec", "-n", NAMESPACE, pod.name, "--", "/bin/true", f"{nonce}seen")
            return [one for one in shown if f"{nonce}seen" in one]

        try:
            assert f"{NAMESPACE}/{pod.name}:main" in until(seen, 30)[0]
        finally:
            watch.kill()
    refused = subprocess.run(["bash", "-c", line.replace("/reader/tls", "/tls/tls")], cwd=ROOT, capture_output=True, text=True,
                             timeout=60, env=environment)
    assert refused.returncode != 0 and refused.stdout == ""


# --- it goes on ------------------------------------------------------------------------------------------------------

class Load:
    """A pod that counts on: an exec for each number, about fifty a second."""

    def __init__(self, cluster, sensor, deployed, nonce):
        self.sensor, self.deployed, self.nonce = sensor, deployed, nonce
        script = "n=0; while [ ! -e /tmp/end ]; do n=$((n + 1)); /bin/true $0 $n; /bin/usleep 15000; done; echo $n >/tmp/count; exec /bin/sleep 1000000"
        self.cluster, self.name = cluster, f"load-{nonce}"
        self.pod = cluster.bare_pod(self.name, container("main", "/bin/sh", "-c", script, nonce))
        deployed.output.wait_for(self.told)

    def told(self):
        """The documents, by number; each number once."""
        found = {}
        for one in self.sensor.of(self.pod["main"], "exec"):
            arguments = get(one, "process.args")
            if arguments[:2] == ["/bin/true", self.nonce]:
                assert int(arguments[2]) not in found, one
                found[int(arguments[2])] = one
        return found

    def run(self, *arguments):
        return self.cluster.kubectl("exec", "-n", NAMESPACE, self.name, "--", *arguments)

    def end(self):
        """The numbers of which nothing was told, and what was told."""
        time.sleep(2)
        self.run("/bin/touch", "/tmp/end")
        last = int(until(lambda: self.run("/bin/sh", "-c", "/bin/cat /tmp/count 2>/dev/null || :").strip()))
        self.deployed.output.wait_for(lambda: last in self.told(), 60)
        time.sleep(1)
        self.deployed.output.read()
        told = self.told()
        for one in told.values():
            named(self.cluster, one, self.pod["main"])
        ids = [json.loads(line)["event"]["id"] for line in self.deployed.output.lines]
        assert len(ids) == len(set(ids)), "a document is there twice"
        self.cluster.kubectl("delete", "-n", NAMESPACE, f"pod/{self.name}", "--wait=false")
        return sorted(set(range(1, last + 1)) - set(told)), told


@pytest.fixture
def load(cluster, sensor, deployed, nonce):
    return Load(cluster, sensor, deployed, nonce)


def test_sensor_is_rolled_over_under_load(deployed, load):
    """The new one has its hooks attached before the old one ends: nobody misses anything."""
    old = deployed.pod("sensor")["metadata"]["name"]
    deployed.kubectl("rollout", "restart", SENSOR)
    deployed.rolled_out()
    until(lambda: f"pod/{old}" not in deployed.kubectl("get", "pods", "-o", "name"))
    log = deployed.kubectl("logs", deployed.pod("sensor")["metadata"]["name"])
    assert "waiting for its end" in log and "told twice" not in log and old not in log
    assert load.end()[0] == []
    balance = deployed.balance()
    assert len(balance) >= 2 and [one["closed"] for one in balance].count(False) == 1, balance  # and what a sensor before had on its spool
    assert not [one for one in balance if one["lost"]], balance


def test_collector_is_rolled_over_under_load(deployed, load):
    old = deployed.container_id("collector")
    deployed.kubectl("rollout", "restart", COLLECTOR)
    deployed.rolled_out()
    assert deployed.container_id("collector") != old
    assert load.end()[0] == []
    assert not [one for one in deployed.balance() if one["lost"]]


def test_collectors_pod_is_deleted_under_load(deployed, load):
    old = deployed.container_id("collector")
    deployed.kubectl("delete", "pod", "taffrail-collector-0")
    deployed.rolled_out()
    assert deployed.container_id("collector") != old
    assert load.end()[0] == []
    assert not [one for one in deployed.balance() if one["lost"]]


def test_kubelet_is_started_anew_under_load(cluster, deployed, load):
    running = [deployed.container_id(component) for component in ("sensor", "collector")]
    cluster.script("restart-kubelet")
    deployed.rolled_out()
    assert load.end()[0] == []
    assert [deployed.container_id(component) for component in ("sensor", "collector")] == running
    assert not [one for one in deployed.balance() if one["lost"]]


@pytest.fixture
def later(person, tmp_path):
    """A checkout of a later version, as far as its manifests go, and its images: this one's programs under another name."""
    this = version()
    shutil.copytree(os.path.join(ROOT, "deploy"), tmp_path / "deploy")
    for name in ("kustomize/base/kustomization.yaml", "helm/taffrail/Chart.yaml"):
        file = tmp_path / "deploy" / name
        text = file.read_text(encoding="utf-8")
        assert this in text
        file.write_text(text.replace(this, f"{this}-later"), encoding="utf-8")
    images = [f"docker.io/taffrail/{one}:{this}" for one in ("sensor", "collector")]
    person.types(*(f"ctr -n k8s.io images tag {one} {one}-later" for one in images))
    yield tmp_path
    person.types(f"ctr -n k8s.io images rm {' '.join(f'{one}-later' for one in images)}")


def test_updated_and_back_again_under_load(deployed, load, later):
    lines = commands("deploy/README.md", "### Updated, and back again" + (", with the chart" if deployed.way == "chart" else ""))
    there, back = (lines[:1], lines[1:]) if deployed.way == "chart" else (lines, lines)

    def runs(ending):
        deployed.rolled_out()
        until(lambda: len(deployed.kubectl("get", "pods", "-o", "name").split()) == 2, 60)
        for component in ("sensor", "collector"):
            assert deployed.pod(component)["spec"]["containers"][0]["image"].endswith(ending)

    deployed.person.types(*there, where=later)
    runs("-later")
    deployed.person.types(*back)
    runs(f":{version()}")
    assert load.end()[0] == []
    assert not [one for one in deployed.balance() if one["lost"]]


# --- it goes ---------------------------------------------------------------------------------------------------------

def test_removed(cluster, deployed, person):
    """The last one: with nothing left on the node but what the sensor may leave on its own path."""
    pids = deployed.pids("sensor")
    objects = bpf_objects(pids)
    assert {kind for kind, _ in objects} >= {"prog", "map"} and still_there(objects) == objects
    assert len(person.node("find", "/sys/fs/bpf/taffrail", "-mindepth", "1", "-maxdepth", "1", "-type", "d").split()) == 1
    person.types(*commands("deploy/README.md", "### Removed again" if deployed.way == "kustomize" else "### Removed again, with the chart"))
    until(lambda: OWN not in cluster.kubectl("get", "namespaces", "-o", "name"), 90)
    for kind in ("priorityclass", "namespace"):
        assert "taffrail" not in cluster.kubectl("get", kind, "-o", "name")
    until(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}")], 30)
    assert until(lambda: not still_there(objects), 10)
    assert person.node("find", "/sys/fs/bpf", "-mindepth", "1", "!", "-name", "*.debug") == ""
    left = person.node("find", "/var/lib/taffrail", "-mindepth", "1").split()
    assert not [path for path in left if not path.startswith("/var/lib/taffrail/spool")], left
    assert "Released" in cluster.kubectl("get", "pv", deployed.way)
    kept = os.stat(os.path.join(deployed.volume, "store"))  # what was stored is the volume's to keep
    assert stat.S_ISDIR(kept.st_mode) and kept.st_uid == 65532
