#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""calls.py [ROUNDS]: what the sensor adds to system calls, in a container's cgroup and outside, as a table on stdout.

Rounds without and with a sensor follow one another, so that a noisy machine is as noisy for both; the figures are medians.
"""
import statistics
import subprocess
import sys

import lab


def measure(procs):
    output = subprocess.run([lab.program("bench-calls"), procs], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: float(figure) for name, figure in (line.split("\t") for line in output.splitlines())}


def with_sensor(procs):
    with lab.running("taffrail-sensor", "--stdout"):
        return measure(procs)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results = {"baseline": [], "inside": [], "outside": []}
    with lab.containers(1) as (inside,):
        for number in range(rounds):
            lab.progress(f"round {number + 1} of {rounds}")
            results["baseline"].append(measure(inside))
            results["inside"].append(with_sensor(inside))
            results["outside"].append(with_sensor(""))
    lab.progress("")
    print(f"{'ns an operation':16} {'baseline':>9} {'in a container':>15} {'outside':>9}")
    for name in results["baseline"][0]:
        middle = {kind: statistics.median(run[name] for run in runs) for kind, runs in results.items()}
        base = middle["baseline"]
        print(f"{name:16} {base:9.0f} {middle['inside'] - base:+15.0f} {middle['outside'] - base:+9.0f}")


main()
