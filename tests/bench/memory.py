#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""memory.py [CONTAINERS [RATE [SECONDS]]]: the sensor's memory while containers open files, beside a collector that answers.

Each open is of another name, so that nothing is collapsed. The rate that was reached is counted from what the sensor sent.
"""
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TAFFRAIL_BIN", os.path.join(ROOT, "build", "bin"))
SLICES = 50  # of a second


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")


def start(name, *arguments):
    """The program, once it is ready."""
    program = subprocess.Popen([os.path.join(BIN, name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in program.stderr:
        if line.startswith(f"{name}: ready"):
            return program
    sys.exit(f"{name} did not start")


def work(folder, rate, seconds):
    """One container's process: opens names of its own, at a rate."""
    with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as procs:
        procs.write("0")
    number, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        while number < passed * rate:
            number += 1
            try:
                os.open(f"/no/such/folder/of-this-container/file-{number}", os.O_RDONLY)
            except FileNotFoundError:
                pass
        time.sleep(1 / SLICES)


def status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def measure(folders, rate, seconds, sensor):
    """The most anonymous memory of a run, in KiB."""
    workers = []
    for folder in folders:
        workers.append(os.fork())
        if workers[-1] == 0:
            try:
                work(folder, rate / len(folders), seconds)
            finally:
                os._exit(0)
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, status(sensor.pid, "RssAnon"))
        time.sleep(0.1)
    for worker in workers:
        os.waitpid(worker, 0)
    return most


def main():
    containers, rate, seconds = [int(word) for word in sys.argv[1:4]] + [100, 100000, 10][len(sys.argv) - 1:]
    parent = os.path.join(cgroup_root(), f"taffrail-bench-{os.getpid()}")
    folders = [os.path.join(parent, secrets.token_hex(32)) for _ in range(containers)]
    programs = []
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch:
        try:
            for folder in folders:
                os.makedirs(folder)
            programs.append(start("taffrail-collector", "--listen", f"unix:{scratch}/c", "--data", f"{scratch}/data", "--output", f"ecs-json:{scratch}/out"))
            programs.append(start("taffrail-sensor", "--collector", f"unix:{scratch}/c"))
            idle = status(programs[1].pid, "RssAnon")
            most = measure(folders, rate, seconds, programs[1])
            programs[1].send_signal(signal.SIGTERM)
            programs[1].wait()
            programs[0].send_signal(signal.SIGTERM)
            programs[0].wait()
            with open(f"{scratch}/out", "rb") as documents:
                opens = sum(b'"action":"open"' in line for line in documents)
            print(f"RssAnon of the sensor: {most} KiB at {containers} containers and {opens / seconds:.0f} opens/s ({idle} KiB idle; goal: 24576)")
        finally:
            for program in programs:
                if program.poll() is None:
                    program.kill()
                program.wait()
            for folder in folders:
                os.rmdir(folder)
            os.rmdir(parent)


main()
