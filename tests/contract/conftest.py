# SPDX-License-Identifier: Apache-2.0
"""The programs as a person or another program meets them: options, exit codes, messages, documents.

No container runtime is needed: a cgroup named like a container's is a container to the sensor.
"""
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from programs import BIN, ROOT, SLOW, Running, judging, once, program, run  # noqa: E402,F401 - the tests take them from here


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
def public():
    """A folder that every user may enter, with copies of the programs: a checkout is often in a home that is shut."""
    folder = tempfile.mkdtemp(prefix="taffrail-contract-", dir="/tmp")
    os.chmod(folder, 0o755)
    for name in ("taffrail-sensor", "taffrail-collector", "taffrail"):
        shutil.copy2(program(name), folder)
    yield folder
    shutil.rmtree(folder)


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    pytest.fail("no cgroup v2 is mounted")


class Container:
    """A cgroup with a container's name, and what runs in it."""

    def __init__(self):
        self.id = secrets.token_hex(32)
        self.path = os.path.join(cgroup_root(), f"taffrail-contract-{os.getpid()}", self.id)
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


@pytest.fixture
def container():
    made = Container()
    yield made
    made.remove()


def terminal_output(arguments, seconds, environment=None):
    """Runs a program with a terminal as its output; what it wrote there until it ended or the time was over."""
    import pty
    main, side = pty.openpty()
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=side, stderr=subprocess.DEVNULL, env=environment)
    os.close(side)
    data, deadline = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.1)[0]:
                try:
                    chunk = os.read(main, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                data += chunk
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(20)
        os.close(main)
    return data.decode(errors="replace"), status
