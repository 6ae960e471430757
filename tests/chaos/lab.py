# SPDX-License-Identifier: Apache-2.0
"""A sensor, its collectors, the network and the disks between them, a workload that knows what it did: and what goes wrong with each."""
import contextlib
import os
import random
import subprocess
import sys
import time

import pytest
import truth
from disk import FAILURES, Disk
from keeper import Keeper
from programs import SLOW
from wire import ADDRESS, Wire, bound

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, RELAYED = 7443, 7444


class Lab:
    def __init__(self, folder, papers, seed, collectors=1, spool=True, disks=True, sensor_options=()):
        """`disks`: those that can fail, and the way to the first collector by the relay; else neither is in the way."""
        self.folder, self.papers, self.random, self.began = str(folder), papers, random.Random(seed), time.time()
        self.actions, self.wrong, self.keepers, self.workloads, self.floods, self.disks = [], [], [], [], [], {}
        self.relay = self.wire = None
        self.seed, self.felt, self.pins = seed, 0, os.path.join(self.folder, "bpf")
        os.mkdir(self.pins)
        subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "none", self.pins], check=True)
        try:
            self.wire = Wire()
            if disks:
                self._disks(collectors, spool)
                self._relay()
            self.collectors = [self._collector(number) for number in range(collectors)]
            self.sensor = self._sensor(spool, sensor_options)
        except BaseException:
            self.remove()
            raise

    # --- what there is ------------------------------------------------------------------------------------------------

    def _disks(self, collectors, spool):
        if spool:
            self.disks["spool"] = Disk(self.folder, "spool")
        for number in range(collectors):
            self.disks[f"data{number}"] = Disk(self.folder, f"data{number}")

    def _relay(self):
        self.relay = subprocess.Popen([sys.executable, os.path.join(HERE, "relay.py"), ADDRESS["collector"], str(RELAYED), str(PORT), str(self.seed)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=bound(self.wire.namespaces["collector"]))
        assert self.relay.stdout.readline() == "ready\n"

    def _keep(self, name, side, arguments, disk):
        kept = Keeper(name, self.wire.namespaces[side], arguments, self.note, lambda: disk in self.disks and self.disks[disk].is_bad())
        self.keepers.append(kept)
        return kept

    def _collector(self, number):
        port = PORT if number == 0 else RELAYED + number
        return self._keep("taffrail-collector", "collector", [
            "--listen", f"{ADDRESS['collector']}:{port}", "--data", self.data(number), "--output", f"ecs-json:{self.out(number)}",
            "--allow", "sensor.taffrail", *self.papers.options("collector")], f"data{number}")

    def _sensor(self, spool, more):
        collectors = [f"{ADDRESS['collector']}:{(RELAYED if self.relay else PORT) + number}" for number in range(len(self.collectors))]
        return self._keep("taffrail-sensor", "sensor", [
            "--set", f"host.bpffs={self.pins}/taffrail", *(word for one in collectors for word in ("--collector", one)), *(("--spool", self.spool()) if spool else ()),
            "--cri", os.path.join(self.folder, "none"), *self.papers.options("sensor"), *more], "spool")

    def _on(self, disk, name):
        return os.path.join(self.disks[disk].path if disk in self.disks else self.folder, name)

    def data(self, number=0):
        return self._on(f"data{number}", f"store{number}")

    def out(self, number=0):
        return self._on(f"data{number}", f"out{number}")

    def spool(self):
        return self._on("spool", "spooled")

    def note(self, what):
        self.actions.append(f"{time.time() - self.began:8.3f} {what}")

    def work(self, name="w", **more):
        self.workloads.append(truth.Workload(self.folder, name, **more))

    def flood(self):
        self.floods.append(truth.Flood(self.folder))
        return self.floods[-1]

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self):
        for kept in self.keepers:
            kept.tick()

    def go(self, seconds):
        end = time.time() + seconds
        while time.time() < end:
            self.tick()
            time.sleep(0.01)

    def until(self, what, seconds, name):
        end = time.time() + seconds * SLOW
        while True:
            value = what()
            if value:
                return value
            self.tick()
            wrong = [each for kept in self.keepers for each in kept.wrong]
            if wrong or time.time() > end:
                pytest.fail(f"{name}: not within {seconds} s {wrong}\n{self.story()}")
            time.sleep(0.02)

    def start(self):
        for kept in self.keepers:
            kept.wanted = True
        self.until(lambda: all(kept.up() for kept in self.keepers), 30, "all are ready")

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    # Each is over when its block ends, and `felt` has then how often it was felt.

    @contextlib.contextmanager
    def on_the_wire(self, how):
        {"cut": self.wire.cut, "silence": self.wire.silence, "loss": self.wire.lose}[how]()
        yield
        self.felt = 1 if how == "cut" else self.wire.dropped()
        self.wire.mend()

    @contextlib.contextmanager
    def in_the_relay(self, how):
        self._say({"delay": "delay 0.5", "resets": "resets"}[how])
        yield
        self.felt = self._say("pass")

    def _say(self, line):
        """What the relay has done since the line before."""
        self.relay.stdin.write(line + "\n")
        self.relay.stdin.flush()
        return int(self.relay.stdout.readline())

    @contextlib.contextmanager
    def on_a_disk(self, disk, how):
        if how == "full":
            self.disks[disk].fill()
        else:
            self.disks[disk].fail(how)
        felt = self.disks[disk].is_felt()
        yield
        self.felt = int(felt)
        self.disks[disk].mend()

    @contextlib.contextmanager
    def with_a_program(self, kept, how):
        """Of these the test's own signals are enough: a keeper says how each life ended."""
        {"kill": kept.kill, "term": kept.term, "stop": kept.stop}[how]()
        yield
        self.felt = 1
        kept.go_on()
        kept.wanted = True

    def troubles(self):
        """Each place where something can go wrong, with what can: name, how to begin it, and the shortest and longest time."""
        places = {"wire": [(how, lambda how=how: self.on_the_wire(how), (0.5, 5)) for how in ("cut", "silence", "loss", "loss")],
                  "relay": [(how, lambda how=how: self.in_the_relay(how), (1, 6)) for how in ("delay", "resets")]}
        for disk in self.disks:
            places[disk] = [(how, lambda disk=disk, how=how: self.on_a_disk(disk, how), (0.5, 4)) for how in ("full", "full", *FAILURES)]
        for number, kept in enumerate(self.keepers):
            place = f"{kept.name} {number}" if kept is not self.sensor else kept.name
            places[place] = [(how, lambda kept=kept, how=how: self.with_a_program(kept, how), (1, 8) if how == "stop" else (0, 1.5))
                             for how in ("kill", "kill", "stop", "term")]
        return places

    def schedule(self, seconds):
        """What goes wrong when: the seed alone decides. In one place one thing at a time, in several at once."""
        moments = []
        for place, troubles in self.troubles().items():
            at = self.random.uniform(0, 4)
            while at < seconds:
                how, make, (shortest, longest) = self.random.choice(troubles)
                end = at + self.random.uniform(shortest, longest)
                moments.append((at, end, f"{place}: {how}", make))
                at = end + self.random.uniform(0.5, 6)
        return sorted(moments, key=lambda each: each[:3])

    def suffer(self, moments):
        """Lives through a schedule."""
        began, ends = time.time(), []
        moments = list(moments)
        with contextlib.ExitStack() as stack:
            while moments or ends:
                now = time.time() - began
                for end in [each for each in ends if each[0] <= now]:
                    ends.remove(end)
                    end[2].close()
                    self.note(f"{end[1]}: over, felt {self.felt} times")
                while moments and moments[0][0] <= now:
                    _, end, what, make = moments.pop(0)
                    self.note(f"{what}, for {end - now:.1f} s")
                    one = stack.enter_context(contextlib.ExitStack())
                    one.enter_context(make())
                    ends.append((end, what, one))
                self.tick()
                time.sleep(0.01)

    def trouble(self, place, how):
        return next(make for name, make, _ in self.troubles()[place] if name == how)()

    def alone(self, place, how, seconds):
        """One trouble, and nothing else."""
        self.note(f"{place}: {how}, for {seconds} s")
        with self.trouble(place, how):
            self.go(seconds)
        self.note(f"{place}: {how}: over, felt {self.felt} times")
        assert self.felt > 0, f"nobody felt it\n{self.story()}"

    # --- the end ------------------------------------------------------------------------------------------------------

    def settle(self, seconds=60):
        """All is well again: what was held up arrives, then both end in order."""
        self.start()
        self.note("all are well")
        for workload in self.workloads:
            workload.end()
        self.until(lambda: all(self._arrived(workload) for workload in self.workloads), seconds, "the last deed is told")
        for kept in (self.sensor, *self.collectors):
            kept.term()
            self.until(lambda kept=kept: not kept.life.runs, 30, f"{kept.name} ends")
        self.note("both have ended")
        for kept in self.keepers:
            self.wrong += kept.wrong

    def _arrived(self, workload):
        last = f'"{workload.last()}"'.encode()
        for number in range(len(self.collectors)):
            try:
                with open(self.out(number), "rb") as lines:
                    lines.seek(max(0, workload.looked.get(number, 0) - len(last)))
                    while piece := lines.read(1 << 20):
                        if last in piece:
                            return True
                        workload.looked[number] = lines.tell()
                        lines.seek(-len(last) if len(piece) == 1 << 20 else 0, os.SEEK_CUR)
            except OSError:
                pass  # not made yet
        return False

    def check(self):
        """Nothing is missing beyond what is declared, nothing is there twice, and the books balance."""
        floods = [flood.container.id for flood in self.floods]
        told = truth.Told([self.out(number) for number in range(len(self.collectors))], *floods)
        self.wrong += told.wrong + truth.numbers(told)
        made, lost = 0, []
        for workload in self.workloads:
            absent, wrong = truth.missing(workload, told, self.sensor.times())
            self.wrong += wrong
            made, lost = made + len(workload.deeds()), lost + absent
        self.lost, alone = lost, truth.undeclared(lost, told.losses)
        if alone:
            self.wrong.append(f"{len(alone)} deeds are missing and not declared: {truth.spans(alone, self.began)}")
        self.wrong += truth.balance(*(self.data(number) for number in range(len(self.collectors))))[1]
        self.note(f"{made} deeds, {len(lost)} of them lost; {len(told.documents)} documents, {told.twice} in both files; "
                  f"{sum(loss.count for loss in told.losses)} records declared lost")
        self.wrong += [f"pinned: {os.path.join(folder, name)}" for folder, _, names in os.walk(os.path.join(self.pins, "taffrail")) for name in names]
        if self.wrong:
            pytest.fail("\n".join(self.wrong) + "\n" + self.story(told))
        return told

    def story(self, told=None):
        lines = [f"TAFFRAIL_CHAOS_SEED={self.seed}", *self.actions]
        if told:
            lines += [f"{max(loss.start - self.began, -1):8.3f} to {loss.end - self.began:.3f}: {loss.count} lost, {loss.stage} {loss.kinds} {loss.id}"
                      for loss in told.losses]
        for kept in self.keepers:
            lines += kept.log()
        return "\n".join(lines)

    def remove(self):
        """What is left of it then is a mistake of the test's."""
        for each in (*self.keepers, *self.workloads, *self.floods):
            each.remove()
        if self.relay:
            self.relay.kill()
            self.relay.wait()
            self.relay.stdin.close()
            self.relay.stdout.close()
        left = self.wire.remove() if self.wire else []
        for disk in self.disks.values():
            disk.remove()
        subprocess.run(["umount", "-l", self.pins], check=False)
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            left += [line for line in mounts if self.folder in line]
        return left
