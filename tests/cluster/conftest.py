# SPDX-License-Identifier: Apache-2.0
"""A real single-node Kubernetes (scripts/cluster/): what kubelet and its controllers make of pods, and the runtime tells.

One cluster and one sensor serve all tests. What each document must say is taken from the API server.
"""
import json
import os
import re
import secrets
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts")]
from cri_client import IMAGE, Runtime  # noqa: E402
from documents import Documents, get  # noqa: E402
from programs import ROOT, Running  # noqa: E402

BUILD = os.environ.get("TAFFRAIL_BUILD", os.path.join(ROOT, "build"))
SCRIPTS = os.path.join(ROOT, "scripts", "cluster")
PAUSE = "example.test/taffrail/pause:1"
NAMESPACE = "shop"
LABELS = {"example.test/part-of": "shop"}
BLOCKED = 77  # build.sh: nothing here can build Kubernetes
NONCE = re.compile(r"\bn[0-9a-f]{16}\b")


# --- manifests -------------------------------------------------------------------------------------------------------

def new_nonce():
    return f"n{secrets.token_hex(8)}"


def container(name, *command, **more):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": list(command), **more}


def idle(name, nonce, **more):
    """A container that executes one program in a shell, and then sleeps."""
    return container(name, "/bin/sh", "-c", f"/bin/true {nonce}; exec /bin/sleep 1000000", **more)


def template(name, *containers, **more):
    return {"metadata": {"labels": {"app": name, **LABELS}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers), **more}}


def pod_manifest(name, *containers, **more):
    made = template(name, *containers, **more)
    return {"apiVersion": "v1", "kind": "Pod", **made, "metadata": {"name": name, "namespace": NAMESPACE, **made["metadata"]}}


def workload(kind, name, made, **spec):
    """An object that makes pods, in the way of apps/v1 or batch/v1."""
    version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    if kind == "CronJob":
        spec["jobTemplate"] = {"spec": {"template": made}}
    else:
        spec["template"] = made
    if version == "apps/v1":
        spec["selector"] = {"matchLabels": {"app": name}}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


# --- the cluster -----------------------------------------------------------------------------------------------------

class Container:
    def __init__(self, pod, status, kind="container"):
        self.pod, self.name, self.kind = pod, status["name"], kind
        self.id = status["containerID"].split("//")[1]
        self.attempt, self.image = status["restartCount"], IMAGE


class Pod:
    """A pod as the API server and the runtime know it, and whose it is."""

    def __init__(self, cluster, document, workload):
        meta, status = document["metadata"], document["status"]
        self.name, self.namespace, self.workload = meta["name"], meta["namespace"], workload
        # What the API server has of a static pod is its mirror, with a uid of its own.
        self.uid = meta.get("annotations", {}).get("kubernetes.io/config.hash", meta["uid"])
        self.labels = {**meta["labels"], "io.kubernetes.pod.name": self.name, "io.kubernetes.pod.namespace": self.namespace,
                       "io.kubernetes.pod.uid": self.uid}
        # Of a pod that ended at once the API server never heard an address.
        self.ips, self.qos = [ip["ip"] for ip in status.get("podIPs", [])], status["qosClass"].lower()
        self.containers = {}
        for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for one in status.get(kind, []):
                self.containers[one["name"]] = Container(self, one)
        sandbox, = (one.id for one in cluster.runtime.call("ListPodSandbox").items if one.metadata.uid == self.uid)
        self.sandbox = Container(self, {"name": None, "containerID": f"containerd://{sandbox}", "restartCount": 0}, "sandbox")
        self.sandbox.image = PAUSE

    def __getitem__(self, name):
        return self.containers[name]


class Cluster:
    def __init__(self, folder, socket):
        self.folder, self.socket = folder, socket
        self.runtime = Runtime(socket)
        self.image_ids = {image: self.runtime.image_id(image) for image in (IMAGE, PAUSE)}
        self.known = {}  # every container that a test has asked for, by its id

    def script(self, command, *arguments, stdin=None, seconds=120):
        done = subprocess.run([os.path.join(SCRIPTS, "cluster.sh"), command, self.folder, *arguments], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds)
        assert done.returncode == 0, f"{command} {arguments}: {done.stderr}"
        return done.stdout

    def kubectl(self, *arguments, **more):
        return self.script("kubectl", *arguments, **more)

    def apply(self, manifest):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def wait(self, what, condition, seconds=90):
        self.kubectl("wait", "-n", NAMESPACE, what, f"--for={condition}", f"--timeout={seconds}s")

    def list(self, label, *phases):
        """The pods with that label, in one of these phases."""
        found = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json", "-l", label))
        return [pod for pod in found["items"] if pod["status"]["phase"] in phases]

    def pod(self, name, kind="Pod"):
        """A bare pod by its name, or one of the workload of that name."""
        if kind == "Pod":
            found = json.loads(self.kubectl("get", "pod", "-n", NAMESPACE, "-o", "json", name))
        else:
            found = self.list(f"app={name}", "Running", "Succeeded")[0]
        pod = Pod(self, found, (kind, name))
        for one in (pod.sandbox, *pod.containers.values()):
            self.known[one.id] = one
        return pod

    def bare_pod(self, name, *containers, **more):
        """A pod that nobody owns, once it is ready."""
        self.apply(pod_manifest(name, *containers, **more))
        self.wait(f"pod/{name}", "condition=Ready")
        return self.pod(name)

    def put_static(self, name, manifest):
        """Kubelet's own pod: a file, whole from its first moment."""
        path = os.path.join(self.folder, "manifests", f"{name}.json")
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(manifest, file)
        os.rename(f"{path}.new", path)
        return path


def expected(cluster, one):
    """The names that every document of a container has, by their fields."""
    pod = one.pod
    repository, tag = one.image.rsplit(":", 1)
    fields = {
        "container.image.name": repository, "container.image.tag": [tag],
        "orchestrator.type": "kubernetes", "orchestrator.namespace": pod.namespace, "orchestrator.resource.type": "pod",
        "orchestrator.resource.name": pod.name, "orchestrator.resource.id": pod.uid, "kubernetes.labels": pod.labels,
        "taffrail.workload.kind": pod.workload[0], "taffrail.workload.name": pod.workload[1],
        "taffrail.container.qos": pod.qos, "taffrail.container.type": one.kind, "taffrail.pending": None}
    if one.kind == "container":
        fields.update({
            "container.name": one.name, "container.image.hash.all": [cluster.image_ids[one.image]],
            "taffrail.container.sandbox_id": pod.sandbox.id, "taffrail.container.attempt": one.attempt})
    if pod.ips:
        fields["orchestrator.resource.ip"] = pod.ips
    return fields


def named(cluster, document, one):
    """Each field that is not as it must be is told: what it is, and what it must be."""
    wanted = expected(cluster, one)
    found = {path: get(document, path) for path in wanted}
    wrong = {path: (found[path], value) for path, value in wanted.items() if found[path] != value}
    assert not wrong, f"{wrong} in {json.dumps(document)}"


# --- fixtures --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def cluster():
    build = subprocess.run([os.path.join(SCRIPTS, "build.sh")], stderr=subprocess.PIPE, text=True)
    if build.returncode == BLOCKED:
        pytest.skip(build.stderr.strip())
    assert build.returncode == 0, build.stderr
    folder, script = os.path.join(BUILD, "test", "cluster"), os.path.join(SCRIPTS, "cluster.sh")
    subprocess.run([script, "down", folder], check=True)
    try:
        up = subprocess.run([script, "up", folder], check=True, stdout=subprocess.PIPE, text=True)
        made = Cluster(folder, up.stdout.strip())
        made.kubectl("create", "namespace", NAMESPACE)
        made.wait("serviceaccount/default", "create")
        yield made
    finally:
        subprocess.run([script, "down", folder], check=True)


@pytest.fixture(scope="session")
def sensor(cluster):
    """The documents of the sensor that watches all tests; at its end it must have lost nothing. It runs where the node's files are: without
    capabilities none gets to a socket by another process's root."""
    node, _, socket = cluster.socket.partition("/root")
    running = Running("taffrail-sensor", "--stdout", "--cri", socket, prefix=("nsenter", f"--mount={node}/ns/mnt"))
    try:
        running.ready()
        yield Documents(running)
        assert running.end() == 0, running.log
        lost = [line for line in running.lines if '"action":"events_lost"' in line]
        assert lost == [], "\n".join(lost)
    finally:
        running.kill()


@pytest.fixture
def nonce():
    return new_nonce()


@pytest.fixture
def told(cluster, sensor):
    """The one document of an exec with these arguments in that container; it must have every name, and its way in."""

    def one_exec(one, *arguments, entry="container", count=1):
        found = sensor.wait(one, "exec", count, seconds=20, process__args=list(arguments))
        for document in found:
            named(cluster, document, one)
            assert get(document, "process.entry_leader.entry_meta.type") == entry, json.dumps(document)
        return found[0]

    return one_exec


def until(what, seconds=60):
    """Until what() is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not after {seconds} s"
        time.sleep(0.2)
    return value


__all__ = ["get"]
