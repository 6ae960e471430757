#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""crowd.py [SENSORS [SECONDS]]: simulated sensors at one collector: its rate, memory and time to acknowledge, beside slow ones too, and how
soon all are back after a kill.

Collector and sensors share the machine: what the sensors take of its processors is told. The ratio is that to the mean of the phases before
and after, in which there are no slow ones.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile

import lab

sys.path.insert(0, os.path.join(lab.ROOT, "tests"))
from many import Many, memory_kib, processor_seconds  # noqa: E402

SLOW = [0, 1, 0, 100, 0]
HEADER = (f"{'':44} {'slow':>5} {'events/s':>9} {'MiB/s':>7} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} {'least':>7} {'most':>7} {'theirs':>7}")


def papers(folder):
    subprocess.run([os.path.join(lab.ROOT, "scripts", "make-test-ca"), folder], check=True, stdout=subprocess.DEVNULL)
    return {name: [word for option, file in (("ca", "ca.pem"), ("cert", f"{name}.pem"), ("key", f"{name}.key"))
                   for word in (f"--tls-{option}", os.path.join(folder, file))] for name in ("collector", "sensor")}


class Collector:
    """On a port that it keeps when it is killed and started again."""

    def __init__(self, folder, output, tls):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.arguments = ["--listen", self.address, "--data", f"{folder}/data"]
        self.arguments += ["--output", f"ecs-json:{folder}/out"] if output else []
        self.arguments += [*tls, "--allow", "*"] if tls else []
        self.open()

    def open(self):
        self.running = lab.running("taffrail-collector", *self.arguments)
        self.process = self.running.__enter__()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        self.running.__exit__(None, None, None)


def show(name, phases):
    for at, one in enumerate(phases):
        ratio = ""
        if one["slow"]:
            ratio = f"{one['events_per_s'] * 2 / (phases[at - 1]['events_per_s'] + phases[at + 1]['events_per_s']):.2f}"
        print(f"{name if at == 0 else '':44} {one['slow']:5} {one['events_per_s']:9.0f} {one['mib_per_s']:7.1f} {ratio:>6} {one['p50_ms']:8.1f} "
              f"{one['p99_ms']:8.1f} {one['least'] / one['seconds']:7.0f} {one['most'] / one['seconds']:7.0f} {one['own_cpu']:7.2f}", flush=True)


def rates(name, sensors, seconds, output, tls, *options):
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch:
        trust = papers(f"{scratch}/ca") if tls else {"collector": [], "sensor": []}
        collector = Collector(scratch, output, trust["collector"])
        before = processor_seconds(collector.process.pid)
        slow = [word for count in SLOW for word in ("--slow", count)]
        crowd = Many(collector.address, "--sensors", sensors, "--phase", f"{seconds}s", *slow, *trust["sensor"], *options)
        if crowd.end(60 + 10 * seconds) != 0:
            sys.exit(f"the sensors failed: {crowd.said}")
        show(name, crowd.phases)
        pid = collector.process.pid
        busy = (processor_seconds(pid) - before) / sum(one["seconds"] for one in crowd.phases)
        print(f"{'':44} the collector: {memory_kib(pid) / 1024:.0f} MiB at the most, {busy:.2f} processors; all were up in {crowd.all('up')[0]['up']:.2f} s", flush=True)
        collector.close()


def storm(sensors, tls):
    """How soon all are back: of a collector that is killed and started, and of connections that are cut."""
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch:
        trust = papers(f"{scratch}/ca") if tls else {"collector": [], "sensor": []}
        collector = Collector(scratch, True, trust["collector"])
        crowd = Many(collector.address, "--sensors", sensors, "--events", 20, "--interval", "500ms", "--batches", 24, *trust["sensor"])
        crowd.wait("up")
        collector.kill()
        collector.open()
        killed = crowd.wait("back", seconds=60)
        crowd.process.send_signal(signal.SIGUSR1)
        cut = crowd.wait("back", 2, seconds=60)
        if crowd.end(90) != 0 or crowd.counters["whole"] != sensors:
            sys.exit(f"not all came back: {crowd.said} {crowd.counters}")
        print(f"{'all at once, ' + ('TLS' if tls else 'plain text'):44} killed: {killed['lost']} back after {killed['back']:.2f} s; cut: {cut['lost']} after "
              f"{cut['back']:.2f} s; {memory_kib(collector.process.pid) / 1024:.0f} MiB", flush=True)
        collector.close()


def main():
    sensors, seconds = [int(word) for word in sys.argv[1:3]] + [1000, 4][len(sys.argv) - 1:]
    print(f"{sensors} sensors at one collector\n{HEADER}")
    fast = ("--window", 2, "--events", 100)
    rates("as fast as they can, stored", sensors, seconds, False, False, *fast)
    rates("… and filed as JSON", sensors, seconds, True, False, *fast)
    rates("… over TLS", sensors, seconds, False, True, *fast)
    rates("a batch of 50 a second each, stored and filed", sensors, seconds, True, False, "--interval", "1s", "--events", 50)
    rates("… over TLS", sensors, seconds, True, True, "--interval", "1s", "--events", 50)
    storm(sensors, False)
    storm(sensors, True)


main()
