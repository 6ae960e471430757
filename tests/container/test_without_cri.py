# SPDX-License-Identifier: Apache-2.0
"""Containers that no CRI knows: Podman's own, by what it keeps on disk.

An installed Podman, or this release's, unpacked (scripts/runtimes.sh). All that it makes is in the laboratory's folder and
below the laboratory's cgroup, so that lab.sh down ends and removes it whatever happens.
"""
import json
import os
import shutil
import subprocess

import pytest

from conftest import IMAGE, ROOT, Documents, get, once

pytestmark = once


def install():
    """The folder of Podman's programs, None where it is installed; skips where there is none to be had."""
    if shutil.which("podman"):
        return None
    done = subprocess.run([os.path.join(ROOT, "scripts", "runtimes.sh"), "podman"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip(f"podman is not installed and could not be fetched: {done.stderr.strip()}")
    return done.stdout.strip()


class Podman:
    def __init__(self, lab, cgroup):
        self.folder, self.cgroup = os.path.join(lab, "podman"), cgroup
        self.storage = os.path.join(self.folder, "storage")
        with open("/proc/self/mounts", encoding="ascii", errors="replace") as mounts:
            unified = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
        self.procs = os.path.join(unified + cgroup, "runtime", "cgroup.procs")
        programs = install()
        path = os.pathsep.join(([programs] if programs else []) + [os.environ["PATH"], "/usr/sbin", "/sbin"])
        os.mkdir(self.folder)
        files = {
            "containers.conf": f"""
                [containers]
                netns = "none"
                seccomp_profile = "unconfined"
                apparmor_profile = "unconfined"
                default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
                [engine]
                cgroup_manager = "cgroupfs"
                lock_type = "file"
                events_logger = "none"
                conmon_path = ["{shutil.which("conmon", path=path)}"]
                tmp_dir = "{self.folder}/tmp"
                """,
            "storage.conf": f"""
                [storage]
                driver = "overlay"
                graphroot = "{self.storage}"
                runroot = "{self.folder}/run"
                """,
            "registries.conf": "",
            "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
        }
        for name, text in files.items():
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.environment = {
            **os.environ, "PATH": path, "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf", "CONTAINERS_REGISTRIES_CONF": f"{self.folder}/registries.conf"}
        self.command = ["podman", f"--runtime={shutil.which('runc', path=path)}", f"--runtime-flag=root={self.folder}/runc"]
        self.policy = f"--signature-policy={self.folder}/policy.json"

    def join(self):
        """In the child: conmon, which stays, is then found in the laboratory's cgroup."""
        with open(self.procs, "w", encoding="ascii") as procs:
            procs.write("0")

    def do(self, *arguments, wanted=0, before=()):
        # A file and no pipe: conmon keeps whatever it gets as standard error.
        with open(f"{self.folder}/log", "a+", encoding="utf-8") as log:
            done = subprocess.run([*before, *self.command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                  text=True, timeout=60, env=self.environment, preexec_fn=self.join)
            log.seek(0)
            assert done.returncode == wanted, f"podman {arguments} ended with {done.returncode}:\n{log.read()[-2000:]}"
        return done.stdout.strip()

    def load(self, archive):
        """With a cache of its own, which has no option: Podman would put it below /var/lib."""
        os.makedirs("/var/lib/containers", exist_ok=True)
        os.mkdir(f"{self.folder}/cache")
        mount = f'mount --bind "{self.folder}/cache" /var/lib/containers && exec "$@"'
        self.do("load", self.policy, "--input", archive, before=["unshare", "--mount", "sh", "-c", mount, "sh"])

    def run(self, name, *command, options=(), wanted=0):
        """A container that runs on, or has ended if it is not detached; its id."""
        self.do("run", self.policy, "--pull=never", "--network=none", f"--cgroup-parent={self.cgroup}/podman", f"--name={name}",
                *options, IMAGE, *command, wanted=wanted)
        return self.do("inspect", "--format={{.Id}}", name)


@pytest.fixture(scope="module")
def podman(lab, runtime):
    if not runtime.cgroup:
        pytest.skip("the laboratory has no cgroup of its own")
    podman = Podman(lab, runtime.cgroup)
    try:
        podman.load(os.path.join(lab, "images", "busybox.tar"))
        yield podman
    finally:
        podman.do("rm", "--all", "--force", "--time=0")


@pytest.fixture
def documents(start, lab, socket_path, podman):
    """Of a sensor on a node with containerd and Podman."""
    states = ("--set", f"cri.state={lab}/state", "--set", f"cri.state={podman.storage}")
    running = start("taffrail-sensor", "--stdout", "--cri", socket_path, *states)
    running.ready()
    return Documents(running)


def podmans(document, podman, name):
    repository, tag = IMAGE.rsplit(":", 1)
    assert document["container"]["name"] == name and document["container"]["runtime"] == "podman"
    image_id = podman.do("image", "inspect", "--format={{.Id}}", IMAGE)
    assert document["container"]["image"] == {"name": repository, "tag": [tag], "hash": {"all": [image_id]}}
    assert document["taffrail"]["container"]["source"] == "state" and document["taffrail"]["container"]["type"] == "container"
    assert get(document, "taffrail.pending") is None and get(document, "orchestrator.resource") is None, document


def test_container_from_its_start_to_its_end(documents, podman):
    container = podman.run("whole", "/bin/sh", "-c", "/bin/true child; exit 3", wanted=3,
                           options=["--user=1000:1000", "--read-only", "--cap-drop=all", "--volume=/etc/hostname:/etc/name:ro"])
    started, end = documents.one(container, "container_started"), documents.one(container, "container_stopped")
    shell, child = documents.one(container, "exec", process__name="sh"), documents.one(container, "exec", process__name="true")
    for document in (started, shell, child, end):
        podmans(document, podman, "whole")
    own = started["taffrail"]["container"]
    assert own["args"] == ["/bin/sh", "-c", "/bin/true child; exit 3"] and own["user"] == {"id": "1000", "group": {"id": "1000"}}
    assert own["privileged"] is False and own["read_only_root"] is True and get(own, "capabilities") in (None, [])
    assert own["host_namespaces"] == []
    mount = next(one for one in own["mounts"] if one["destination"] == "/etc/name")
    assert mount["source"] == "/etc/hostname" and "ro" in mount["options"]
    assert shell["process"]["vpid"] == 1 and shell["process"]["user"]["id"] == "1000"
    assert shell["process"]["parent"]["name"] == "conmon"
    assert child["process"]["entry_leader"]["entity_id"] == shell["process"]["entity_id"]
    assert child["process"]["entry_leader"]["entry_meta"]["type"] == "container"
    assert end["taffrail"]["container"]["exit_code"] == 3


def test_what_is_executed_in_a_container(documents, podman):
    container = podman.run("idle", "/bin/sleep", "1000000", options=["--detach"])
    podman.do("exec", "idle", "/bin/sh", "-c", "exit 4", wanted=4)
    document = documents.one(container, "exec", process__args=["/bin/sh", "-c", "exit 4"])
    podmans(document, podman, "idle")
    assert document["process"]["entry_leader"]["entry_meta"]["type"] == "runtime-exec"
    podman.do("rm", "--force", "--time=0", "idle")
    end = documents.one(container, "container_stopped")
    podmans(end, podman, "idle")
    assert end["taffrail"]["container"]["exit_code"] == 137


def test_container_that_ran_before_the_sensor(request, podman):
    container = podman.run("before", "/bin/sleep", "1000000", options=["--detach", "--privileged"])
    documents = request.getfixturevalue("documents")
    podman.do("exec", "before", "/bin/true", "now")
    podmans(documents.one(container, "exec", process__args=["/bin/true", "now"]), podman, "before")


def test_pods_beside_it_have_their_names(documents, podman, pods):
    """What lies on disk is no reason not to ask the runtime, and the other way round."""
    pod = pods("beside", "shop", labels={"app": "web"})
    of_pod, of_podman = pod.run("main", "/bin/true"), podman.run("short", "/bin/true")
    assert of_pod.wait() == 0
    document = documents.one(of_pod, "exec", process__name="true")
    assert document["orchestrator"]["resource"]["name"] == "beside" and document["container"]["runtime"] == "containerd"
    assert document["kubernetes"]["labels"] == pod.labels, json.dumps(document)
    podmans(documents.one(of_podman, "exec", process__name="true"), podman, "short")
