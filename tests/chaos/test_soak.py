# SPDX-License-Identifier: Apache-2.0
"""Steady work, and containers that come and go: neither program grows, and the books balance.

TAFFRAIL_SOAK_SECONDS: for how long (45; before a release 1200).
"""
import os
import re
import time

import pytest
import truth
from containers import Container
from programs import SLOW

SECONDS = int(os.environ.get("TAFFRAIL_SOAK_SECONDS", 45))
WARM = 1 / 3  # of the time: tables, arenas and caches come to their size
KNOWN = 4096 + 100 if SECONDS >= 600 else 0  # containers before the measure begins: the sensor's table of them comes to its bound
# KiB that the most of the last third may be above the most of the third before it: the allocator's own, and in a short soak what each container takes.
MEMORY = 256 if KNOWN else 1024
EVERY = 0.5


class Meter:
    """What a process holds, looked at again and again."""

    def __init__(self, kept):
        self.name, self.pid, self.seen = kept.name, kept.life.running.process.pid, []  # of each look: time, KiB, threads, descriptors
        self.cpu = self._cpu()

    def _cpu(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def look(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status)
        self.seen.append((time.monotonic(), int(fields["RssAnon"].split()[0]), int(fields["Threads"]), len(os.listdir(f"/proc/{self.pid}/fd"))))

    def judge(self):
        """What has grown."""
        begin, end = self.seen[0][0], self.seen[-1][0]
        cut = [begin + (end - begin) * part for part in (WARM, (1 + WARM) / 2)]
        before = [one for one in self.seen if cut[0] <= one[0] < cut[1]]
        after = [one for one in self.seen if one[0] >= cut[1]]
        memory = [max(one[1] for one in part) for part in (before, after)]
        seconds = end - begin
        print(f"{self.name}: RssAnon {self.seen[0][1]} KiB at first, at most {memory[0]} in the middle, {memory[1]} at the end; "
              f"descriptors {max(one[3] for one in before)}, {max(one[3] for one in after)}; threads "
              f"{max(one[2] for one in before)}, {max(one[2] for one in after)}; {100 * (self._cpu() - self.cpu) / seconds:.2f} % of a processor")
        wrong = [f"{self.name}: {memory[1] - memory[0]} KiB more"] if memory[1] - memory[0] > MEMORY * SLOW else []
        for number, what in ((2, "threads"), (3, "descriptors")):
            if max(one[number] for one in after) > max(one[number] for one in before):
                wrong.append(f"{self.name}: more {what}")
        return wrong


def pass_by():
    """A container comes, executes something, and goes."""
    one = Container("soak")
    try:
        one.run("/bin/true")
    finally:
        one.remove()


def untold(made):
    """Execs of the workload that no document tells. Others' containers may be in the file, and it may be large: their lines are passed over."""
    workload, name = made.workloads[0], re.compile(r'"args":\["[^"]*","([^"]*)"\]')
    mine = f'"container":{{"id":"{workload.container.id}"'
    with open(made.out(), encoding="utf-8", errors="replace") as lines:
        told = {found[1] for line in lines if '"action":"exec"' in line and mine in line and (found := name.search(line))}
    done = {deed.name for deed in workload.deeds() if deed.kind == "exec"}
    print(f"{len(done)} execs, {len(done - told)} of them not told")
    assert len(done) > SECONDS
    return done - told


def test_steady_work(lab):
    made = lab(disks=False, sensor_options=("--set", "flows.idle=2s"))
    made.start()
    made.work(interval_ms=max(20, SECONDS // 12), opens=3)
    made.go(2)
    for _ in range(KNOWN):
        pass_by()
        made.tick()
    meters = [Meter(kept) for kept in (made.sensor, made.collectors[0])]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass_by()
        for meter in meters:
            meter.look()
        made.go(EVERY)
    wrong = [each for meter in meters for each in meter.judge()]
    assert all(len(kept.lives) == 1 for kept in made.keepers), made.story()
    made.settle(120)
    wrong += [f"not told: {name}" for name in sorted(untold(made))[:10]]
    sensors, unbalanced = truth.balance(made.data())
    print(f"seen {sensors[0]['seen']}, delivered {sensors[0]['delivered']}, lost {sensors[0]['lost']}, difference {sensors[0]['difference']}")
    if made.wrong + wrong + unbalanced:
        pytest.fail("\n".join(made.wrong + wrong + unbalanced) + "\n" + made.story())
