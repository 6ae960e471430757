# SPDX-License-Identifier: Apache-2.0
"""Deeds in containers, and the findings that a sensor with rules writes of them.

A module's deeds are done first, most of them in one go (deeds.c: `deed all FILE`), and looked at afterwards. Each has a
nonce in the arguments of its process; a finding is a deed's if its process is that one or descends from it.
"""
import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from typing import NamedTuple

from conftest import HERE, PAUSE, Documents, get
from programs import SLOW, Running

# In containers that many deeds share, one after another.
SHARED = {"plain": {}, "privileged": {"privileged": True}, "user": {"user": 1000}, "service": {"user": 33}}
# Each as the first process of a container of its own.
OWN = {"first": {}, "first-privileged": {"privileged": True}, "terminal": {"terminal": True}, "node": {}, "pause": {},
       "pids-of-the-host": {"privileged": True, "host_namespaces": ("pid",)}}


class Deed(NamedTuple):
    """What is done for a rule: words as a shell takes them, where /d/NAME is the deed program by that name.

    Where: in a container of SHARED, as the first process of one of OWN (node: with a folder of the node; pause: of another
    image), by `exec` of the runtime, or on the `host`.
    """
    rule: str
    command: str
    before: tuple = ()  # commands that prepare it
    where: str = "plain"


class Site:
    """The containers in which deeds are done; `make_pod` removes what it made."""

    def __init__(self, folder, make_pod):
        self.folder, self.make_pod = folder, make_pod
        self.done = {}  # by nonce: the exit code and the container
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(folder, ".local", "bin"))
        program = os.path.join(folder, "deed")
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-static", "-O1", "-o", program, os.path.join(HERE, "deeds.c"), os.path.join(HERE, "deeds_name.c")], check=True)
        for copy in (".hidden", ".local/bin/tool"):
            shutil.copy(program, os.path.join(folder, copy))
        self.mounts = [(folder, "/d"), (folder, "/run/passing")]
        self.pods, self.entered = {}, None

    def pod(self, privileged=False, host_namespaces=(), **_):
        kind = privileged, host_namespaces
        if kind not in self.pods:
            self.pods[kind] = self.make_pod(privileged=privileged, host_namespaces=host_namespaces)
        return self.pods[kind]

    def do(self, deeds):
        for deed in deeds.values():
            for name in re.findall(r"/d/([^\s/.][^\s/]*)", " ".join((deed.command, *deed.before))):
                if not os.path.lexists(os.path.join(self.folder, name)):
                    os.symlink("deed", os.path.join(self.folder, name))
        for where, more in SHARED.items():
            some = {nonce: deed for nonce, deed in deeds.items() if deed.where == where}
            if some:
                self.do_shared(where, self.pod(**more).run(where, "/bin/sleep", "1000000", mounts=self.mounts, **more), some)
        for nonce, deed in deeds.items():
            if deed.where in OWN:
                self.do_first(nonce, deed)
            elif deed.where == "exec":
                self.done[nonce] = self.entered.execute(*shlex.split(deed.command), nonce)[0], self.entered
            elif deed.where == "host":
                self.do_outside(nonce, deed)

    def do_shared(self, where, container, deeds):
        self.write(where, [line for nonce, deed in deeds.items()
                           for line in [*(("before", command) for command in deed.before), (nonce, deed.command)]])
        if where == "plain":
            self.entered = container
        code, out, error = container.execute("/d/deed", "all", f"/d/{where}", seconds=60 * SLOW)
        assert code == 0, (code, error)
        for line in out.decode().splitlines():
            mark, nonce, code = [*line.split("\t"), None, None][:3]
            if mark != "done":
                continue  # what a program had to say
            if nonce in deeds:
                self.done[nonce] = int(code), container
            else:
                assert code == "0", f"{where}: a preparation failed:\n{out.decode()}\n{error.decode()}"

    def write(self, name, lines):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            for nonce, command in lines:
                file.write("\t".join([nonce, *shlex.split(command)]) + "\n")
        return path

    def do_outside(self, nonce, deed):
        path = self.write("host", [(nonce, deed.command.replace("/d/", self.folder + "/"))])
        done = subprocess.run([os.path.join(self.folder, "deed"), "as", nonce, path, "0"], check=False)
        self.done[nonce] = done.returncode, None

    def do_first(self, nonce, deed):
        more = dict(OWN[deed.where])
        if deed.where == "node":
            more["mounts"] = [*self.mounts, ("/etc", "/node")]
        elif deed.where == "pause":
            more["image"] = PAUSE
        pod = self.pod(**more)
        more.pop("host_namespaces", None)
        container = pod.run(nonce, *shlex.split(deed.command), **{"mounts": self.mounts, **more})
        self.done[nonce] = 0 if deed.where == "pause" else container.wait(), container


class Findings:
    """What was found, by deed."""

    def __init__(self, running, site):
        documents = Documents(running)
        documents.of("")
        every = [document for some in documents.by_container.values() for document in some]
        self.parents, self.deeds, self.found = {}, {}, {}
        for document in every:
            if document["event"]["action"] in ("exec", "fork") and document["event"]["kind"] != "alert":
                self.note(document, site.done)
        alone = {container.id: nonce for nonce, (_, container) in site.done.items()
                 if container and nonce not in self.deeds.values()}
        for document in every:
            if document["event"]["kind"] == "alert" and get(document, "rule.name"):
                nonce = self.deed_of(get(document, "process.entity_id")) or alone.get(get(document, "container.id"))
                self.found.setdefault(nonce, []).append(document)

    def note(self, document, done):
        entity, args = get(document, "process.entity_id"), get(document, "process.args") or []
        self.parents.setdefault(entity, get(document, "process.parent.entity_id"))
        mark = args[2] if len(args) > 2 and args[1] == "as" else args[-1] if args else None
        if document["event"]["action"] == "exec" and mark in done:
            self.deeds[entity] = mark

    def deed_of(self, entity):
        for _ in range(100):
            if entity is None or entity in self.deeds:
                return self.deeds.get(entity)
            entity = self.parents.get(entity)
        return None

    def of(self, nonce, rule=None):
        return [document for document in self.found.get(nonce, []) if rule in (None, document["rule"]["name"])]


@contextlib.contextmanager
def judged(deeds, lab, socket_path, runtime, *options):
    """Does all deeds below a sensor with these options: what became of each (its nonce and exit code), and what was found."""
    pods, running = [], Running("taffrail-sensor", "--stdout", "--cri", socket_path, *options,
                                "--set", "rule_matching=all", "--set", "findings.limit=0")

    def make_pod(**more):
        pods.append(runtime.pod(f"deeds-{len(pods)}", "shop", **more))
        return pods[-1]

    try:
        running.ready()
        named = {secrets.token_hex(6): deed for deed in deeds}
        site = Site(os.path.join(lab, "deeds"), make_pod)
        site.do(named)
        settle(running)
        yield [(nonce, site.done[nonce][0]) for nonce in named], Findings(running, site)
        assert running.end() == 0, running.log
    finally:
        for pod in pods:
            pod.remove()
        running.kill()
        shutil.rmtree(os.path.join(lab, "deeds"), ignore_errors=True)


def settle(running, seconds=20):
    """Until the sensor has been silent for a moment."""
    deadline = time.monotonic() + seconds * SLOW
    lines, since = len(running.lines), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 0.8:
        time.sleep(0.05)
        if len(running.lines) != lines:
            lines, since = len(running.lines), time.monotonic()
