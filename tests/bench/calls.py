#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""calls.py [ROUNDS]: what the sensor adds to system calls, in a container's cgroup and outside, as a table on stdout.

Rounds without and with a sensor follow one another. A figure is the median of the differences between runs that met the
processor at the same speed (see bench_calls.c). `empty hook` is what a program that does nothing costs at the exit of
system calls: what no sensor on this machine can be below without function hooks.
"""
import collections
import statistics
import subprocess
import sys

import lab

GOALS = {  # inside, outside
    "getpid": (20, 20), "read": (20, 20), "open": (250, 80), "open another": (1000, 80), "open ENOENT": (250, 80),
    "connect TCP": (1500, 600), "UDP send": (300, 200), "fork+exec": (5000, 3000),
}
# Falco's library with a filter on exec, open and connect, on a machine of this kind.
FALCO = {"getpid": 155, "read": 199, "open": 542, "open ENOENT": 260, "connect TCP": 2267, "UDP send": 891, "fork+exec": 17339}
SPEEDS = 0.04  # of a step's nanoseconds: runs closer than this met the same speed


def measure(results, *arguments):
    output = subprocess.run([lab.program("bench-calls"), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        name, cost, step = line.split("\t")
        results[name][int(float(step) / SPEEDS)].append(float(cost))


def with_sensor(results, procs):
    with lab.running("taffrail-sensor", "--stdout"):
        measure(results, procs)


def added(runs, baseline):
    """The median at each speed, and the mean of the differences, by how often both were measured at it."""
    weighed = total = 0
    for speed, costs in runs.items():
        weight = min(len(costs), len(baseline.get(speed, ())))
        if weight >= 5:
            weighed += weight * (statistics.median(costs) - statistics.median(baseline[speed]))
            total += weight
    return weighed / total if total else float("nan")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    results = {kind: collections.defaultdict(lambda: collections.defaultdict(list))
               for kind in ("baseline", "empty", "inside", "outside")}
    with lab.containers(1) as (inside,):
        for number in range(rounds):
            lab.progress(f"round {number + 1} of {rounds}")
            measure(results["baseline"], inside)
            with_sensor(results["inside"], inside)
            measure(results["empty"], inside, "empty")
            with_sensor(results["outside"], "")
    lab.progress("")
    print(f"{'ns an operation':16} {'baseline':>9} {'empty hook':>11} {'in a container':>15} {'goal':>6} {'outside':>9} {'goal':>6}"
          f" {'Falco':>7}")
    for name, (inside_goal, outside_goal) in GOALS.items():
        base = results["baseline"][name]
        empty, inside, outside = (added(results[kind][name], base) for kind in ("empty", "inside", "outside"))
        middle = statistics.median(cost for costs in base.values() for cost in costs)
        print(f"{name:16} {middle:9.0f} {empty:+11.0f} {inside:+15.0f} {inside_goal:6} {outside:+9.0f} {outside_goal:6}"
              f" {FALCO.get(name, ''):>7}")


main()
