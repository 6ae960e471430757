# SPDX-License-Identifier: Apache-2.0
"""Containers without a runtime: a cgroup named like a container's is a container to the sensor."""
import os
import secrets
import signal
import subprocess
import time

import pytest


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    pytest.fail("no cgroup v2 is mounted")


class Container:
    """A cgroup with a container's name, and what runs in it."""

    def __init__(self, suite):
        self.id = secrets.token_hex(32)
        self.path = os.path.join(cgroup_root(), f"taffrail-{suite}-{os.getpid()}", self.id)
        os.makedirs(self.path)

    def start(self, *arguments, **more):
        def enter():
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as procs:
                procs.write("0")

        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=enter, **more)

    def run(self, *arguments, status=0, **more):
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
        output = process.communicate(timeout=60)[0].decode(errors="replace")
        assert process.returncode == status, f"the workload ended with {process.returncode}:\n{output}"
        return process.pid

    def remove(self):
        deadline = time.monotonic() + 5
        while True:
            with open(os.path.join(self.path, "cgroup.procs"), encoding="ascii") as procs:
                for pid in procs.read().split():
                    os.kill(int(pid), signal.SIGKILL)
            try:
                os.rmdir(self.path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        try:
            os.rmdir(os.path.dirname(self.path))
        except OSError:
            pass  # another container of this run is still there
