#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [ROUNDS]: what the sensor adds to system calls, in a container's cgroup and outside, as a table on stdout.

Rounds without and with a sensor follow one another, so that a noisy machine is as noisy for both; the figures are medians.
"""
import os
import secrets
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TAFFRAIL_BIN", os.path.join(ROOT, "build", "bin"))


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")


def measure(procs):
    output = subprocess.run([os.path.join(BIN, "bench-calls"), procs], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: float(figure) for name, figure in (line.split("\t") for line in output.splitlines())}


def with_sensor(procs):
    with subprocess.Popen([os.path.join(BIN, "taffrail-sensor"), "--stdout"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sensor:
        try:
            while not sensor.stderr.readline().startswith("taffrail-sensor: ready"):
                if sensor.poll() is not None:
                    sys.exit("the sensor did not start")
            return measure(procs)
        finally:
            sensor.terminate()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    parent = os.path.join(cgroup_root(), f"taffrail-bench-{os.getpid()}")
    inside = os.path.join(parent, secrets.token_hex(32))
    os.makedirs(inside)
    results = {"baseline": [], "inside": [], "outside": []}
    try:
        for number in range(rounds):
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            results["baseline"].append(measure(os.path.join(inside, "cgroup.procs")))
            results["inside"].append(with_sensor(os.path.join(inside, "cgroup.procs")))
            results["outside"].append(with_sensor(""))
    finally:
        os.rmdir(inside)
        os.rmdir(parent)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{'ns an operation':16} {'baseline':>9} {'in a container':>15} {'outside':>9}")
    for name in results["baseline"][0]:
        middle = {kind: statistics.median(run[name] for run in runs) for kind, runs in results.items()}
        base = middle["baseline"]
        print(f"{name:16} {base:9.0f} {middle['inside'] - base:+15.0f} {middle['outside'] - base:+9.0f}")


main()
