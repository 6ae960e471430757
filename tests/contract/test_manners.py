# SPDX-License-Identifier: Apache-2.0
"""How sensor and collector treat each other when one of them is away, slow, or wants to be rid of a connection."""
import collections
import ctypes
import os
import re
import resource
import socket
import sys
import threading
import time

import pytest
from conftest import ROOT, SLOW, once

sys.path.insert(0, os.path.join(ROOT, "tests"))
from many import Many, memory_kib  # noqa: E402
from stored import frames, ranges  # noqa: E402

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000
MIB = 1 << 20
pytestmark = pytest.mark.alone


@pytest.fixture
def collector(start, tmp_path):
    def starter(*options):
        made = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *options)
        made.address = made.ready()
        return made

    return starter


@pytest.fixture
def many():
    """Simulated sensors that do not outlive the test."""
    running = []

    def starter(address, *options):
        running.append(Many(address, "--limit", "60s", *options))
        return running[-1]

    yield starter
    for one in running:
        one.kill()


class Stopped:
    """One thread of a process does not run: whatever waits for it waits."""

    def __init__(self, thread):
        self.thread, self.libc = thread, ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long] * 4
        self._do(PTRACE_SEIZE)
        self._do(PTRACE_INTERRUPT)
        os.waitpid(thread, WALL)

    def _do(self, request):
        assert self.libc.ptrace(request, self.thread, 0, 0) == 0, os.strerror(ctypes.get_errno())

    def go_on(self):
        self._do(PTRACE_DETACH)


@once
def test_a_disk_that_does_not_answer_slows_sensors_and_not_memory(collector, many, tmp_path):
    """The thread that syncs is stopped: twenty sensors fill their windows (4 MiB), then they wait, and so does what they make."""
    one = collector()
    pid = one.process.pid
    crowd = many(one.address, "--sensors", 20, "--events", 1000, "--window", 64, "--phase", "1500ms", *["--slow", 0] * 5)
    crowd.wait("phase")
    syncing, = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
    before, synced = memory_kib(pid, "RssAnon"), sum(last - first + 1 for _, _, first, last, _ in frames(tmp_path / "data"))
    stopped = Stopped(syncing)
    try:
        crowd.wait("phase", 3)
        most, waiting = memory_kib(pid, "RssAnon"), sum(last - first + 1 for _, _, first, last, _ in frames(tmp_path / "data")) - synced
    finally:
        stopped.go_on()
    assert crowd.end() == 0, crowd.said
    full, still, after = crowd.phases[0], crowd.phases[2], crowd.phases[4]
    print(f"{full['events_per_s']:.0f} events/s, {still['events_per_s']:.0f} without a disk, {after['events_per_s']:.0f} behind it; "
          f"{waiting} events waited; memory {before} KiB, then {most} KiB")
    assert full["events"] > 100000 and after["events"] > full["events"] / 4
    assert still["events"] == 0, "what is not on the disk is not acknowledged"
    # Whole windows came, and no more: so it is the windows that held the sensors.
    bytes_each = full["bytes"] / full["events"]
    assert 20 * 2 * MIB < waiting * bytes_each < 20 * 7 * MIB
    assert most < 128 << 10
    assert crowd.counters["losses"] == crowd.counters["forgotten"] == 0
    assert one.end() == 0
    assert len(ranges(tmp_path / "data")) == 20


@once
def test_what_cannot_be_read_back_now_is_filed_later(collector, many, tmp_path):
    """What waits for the disk is read from the store again once it is there. Without descriptors it comes when there are some."""
    one = collector("--output", f"ecs-json:{tmp_path / 'out'}")
    pid = one.process.pid
    crowd = many(one.address, "--sensors", 10, "--events", 1000, "--window", 64, "--phase", "500ms", *["--slow", 0] * 5)
    crowd.wait("phase")
    syncing, = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
    stopped = Stopped(syncing)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        crowd.wait("phase", 3)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    finally:
        stopped.go_on()
    one.wait_for(lambda: any("cannot be handed on now" in line for line in one.log))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert crowd.end() == 0, crowd.said
    assert one.end(seconds=60) == 0
    stored = sum(last - first + 1 for _, _, first, last, _ in frames(tmp_path / "data"))
    with open(tmp_path / "out", encoding="utf-8") as lines:
        ids = collections.Counter(re.search(r'"event":\{[^{}]*"id":"([^"]+)"', line).group(1) for line in lines)
    assert len(ids) == stored and set(ids.values()) == {1}


@once
def test_connections_reach_their_age_and_nothing_is_lost(collector, many, tmp_path):
    one = collector("--set", "connections.max_age=1s")
    crowd = many(one.address, "--sensors", 300, "--events", 10, "--interval", "100ms", "--batches", 40)
    assert crowd.end() == 0, crowd.said
    counters = crowd.counters
    assert counters["whole"] == 300 and counters["forgotten"] == 0
    assert 2 * 300 <= counters["losses"] <= 8 * 300, "each connection was replaced some times"
    assert one.end() == 0
    held = ranges(tmp_path / "data")
    assert len(held) == 300 and all(each == [[1, 400]] for each in held.values())


class Refuser(threading.Thread):
    """A collector that hangs up at once; when each attempt came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.times = []
        self.start()

    def run(self):
        try:
            while True:
                taken = self.listener.accept()[0]
                self.times.append(time.monotonic())
                taken.close()
        except OSError:
            pass


@once
def test_a_sensor_comes_back_at_random_and_ever_later(start, tmp_path):
    refusers = [Refuser(), Refuser()]
    sensors = [start("taffrail-sensor", "--collector", one.address, "--cri", str(tmp_path / "none"), "--set", "drain=0") for one in refusers]
    for sensor in sensors:
        sensor.ready()
    for sensor, refuser in zip(sensors, refusers):
        sensor.wait_for(lambda: len(refuser.times) > 6, 30)
    parts = []
    for refuser in refusers:
        due = 0.1
        for before, after in zip(refuser.times[:6], refuser.times[1:7]):
            assert due / 2 - 0.005 <= after - before <= due + 0.25 * SLOW, f"{after - before:.3f} s, {due} s are due"
            parts.append((after - before) / due)
            due = min(2 * due, 5)
    assert max(parts) - min(parts) > 0.1, parts
    for sensor in sensors:
        assert sensor.end() == 0
