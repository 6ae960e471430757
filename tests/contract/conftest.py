# SPDX-License-Identifier: Apache-2.0
"""The programs as a person or another program meets them: options, exit codes, messages, documents.

No container runtime is needed: a cgroup named like a container's is a container to the sensor.
"""
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TAFFRAIL_BIN", os.path.join(ROOT, "build", "bin"))
SLOW = 4 if "/san/" in BIN else 1  # sanitizers take their time


def program(name):
    return os.path.join(BIN, name)


def run(name, *arguments, timeout=20, **more):
    """Runs a program to its end; text comes back undecoded bytes replaced."""
    return subprocess.run([program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", timeout=timeout * SLOW, **more)


class Running:
    """A program that runs on: its log's lines, its output's lines, and how it ended."""

    def __init__(self, name, *arguments, **more):
        self.name = name
        self.log, self.lines = [], []
        self.process = subprocess.Popen([program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="surrogateescape", **more)
        self.readers = [threading.Thread(target=self._read, args=(stream, lines), daemon=True)
                        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.log))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait_for(self, what, seconds=20):
        """Until what() is true; its value. A program that ended, or the time, is a failure that shows the log."""
        deadline = time.monotonic() + seconds * SLOW
        while True:
            value = what()
            if value:
                return value
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                for reader in self.readers:
                    reader.join(2)
                value = what()
                if value:
                    return value
                state = f"ended with {ended}" if ended is not None else "runs, but not as expected"
                pytest.fail(f"{self.name} {state}; its log:\n" + "\n".join(self.log[-30:]))
            time.sleep(0.01)

    def ready(self):
        """Waits for the line `NAME: ready`; what follows it (the collector's address)."""
        start = f"{self.name}: ready"
        line = self.wait_for(lambda: next((line for line in self.log if line.startswith(start)), None))
        return line[len(start):].strip()

    def documents(self):
        return [json.loads(line) for line in list(self.lines)]

    def end(self, number=signal.SIGTERM, seconds=20):
        """Sends a signal, waits; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds * SLOW)
        finally:
            for reader in self.readers:
                reader.join(5)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


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
