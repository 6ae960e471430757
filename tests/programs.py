# SPDX-License-Identifier: Apache-2.0
"""The programs as the suites start them; TAFFRAIL_BIN says where they are."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("TAFFRAIL_BIN", os.path.join(ROOT, "build", "bin"))
SLOW = 4 if "/san/" in BIN else 1  # sanitizers take their time
once = pytest.mark.skipif(SLOW != 1, reason="once is enough: without sanitizers")


def program(name):
    return os.path.join(BIN, name)


def version():
    """As the programs are to say it."""
    with open(os.path.join(ROOT, "user", "base", "version.h"), encoding="ascii") as header:
        return re.search(r'TAFFRAIL_VERSION "([^"]+)"', header.read())[1]


def run(name, *arguments, timeout=20, **more):
    """Runs a program to its end; text comes back undecoded bytes replaced."""
    return subprocess.run([program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", timeout=timeout * SLOW, **more)


def children(pid):
    """The numbers of a process's children."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as listed:
            found += [int(child) for child in listed.read().split()]
    return found


def loader_of(pid):
    """A sensor's process that holds the rights over BPF: the only child that it has."""
    loader, = children(pid)
    return loader


def judging(name, arguments):
    """A sensor judges by rules only where the test is about them: else its findings would stand among the events."""
    words = ("--rules", "--no-rules", "--falco", "rule_matching=", "no_rules=")
    about_rules = any(str(argument).startswith(words) for argument in arguments)
    return arguments if name != "taffrail-sensor" or about_rules else ("--no-rules", *arguments)


def apart(name, arguments):
    """What a killed sensor leaves pinned is of no concern to other tests' sensors, but where a test is about that."""
    about_pins = name != "taffrail-sensor" or any(str(argument).startswith("host.bpffs=") for argument in arguments)
    return arguments if about_pins else ("--set", "host.bpffs=none", *arguments)


class Running:
    """A program that runs on: its log's lines, its output's lines, and how it ended."""

    def __init__(self, name, *arguments, prefix=(), **more):
        arguments = apart(name, judging(name, arguments))
        self.name = name
        self.log, self.lines = [], []
        self.times = []  # when each line of the output came, Unix time
        self.process = subprocess.Popen([*prefix, program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="surrogateescape", **more)
        self.readers = [threading.Thread(target=self._read, args=each, daemon=True)
                        for each in ((self.process.stdout, self.lines, self.times), (self.process.stderr, self.log, []))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines, times):
        for line in stream:
            times.append(time.time())
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
        line = self.wait_for(lambda: next((line for line in self.log if line.startswith(start)), None), 60)
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
