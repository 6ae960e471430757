#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""live.py [SECONDS]: how long an exec takes to its document, or to a finding, alone and beside floods of opens, and what a flood loses.

The sensor's own rules are loaded, as they are by default; for findings there is one more.

Every exec has a nonce of its own and every open is counted by who makes it, so what is missing is known.
"""
import json
import subprocess
import sys
import tempfile

import lab

EXECS, MANY = 1000, 20000
RULE = """
- rule: Bench
  desc: what bench-load executes
  condition: evt.type = execve and proc.args contains taffrail-nonce-
  output: found %proc.cmdline
  priority: notice
"""


def load(procs, *arguments):
    return subprocess.Popen([lab.program("bench-load"), procs, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def judging(scratch):
    """A sensor's options: its own rules and RULE, which it tells each time."""
    with open(f"{scratch}/bench.yaml", "w", encoding="ascii") as file:
        file.write(RULE)
    return "--rules", f"{lab.ROOT}/deploy/rules", "--rules", file.name, "--set", "findings.limit=0", "--set", "rule_matching=all"


def run(folder, collector, findings, seconds, loops, rate, names):
    """One scenario: EXECS execs in one container beside `loops` loops of opens in another. The reader's figures."""
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch, lab.containers(2) as (quiet, loud):
        options = judging(scratch) if findings else ()
        reader = subprocess.Popen([lab.program("bench-read"), folder, *(["findings"] if findings else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        socket = f"unix:{scratch}/collector.sock"
        if collector:
            receiver = lab.running("taffrail-collector", "--listen", socket, "--data", f"{scratch}/data", "--output", "ecs-json:-", stdout=reader.stdin)
            sensor = lab.running("taffrail-sensor", "--collector", socket, *options)
        else:
            receiver = None
            sensor = lab.running("taffrail-sensor", "--stdout", *options, stdout=reader.stdin)
        if receiver:
            receiver.__enter__()
        with sensor:
            floods = [load(loud, "opens", seconds, rate / loops, folder, names) for _ in range(loops)]
            execs = load(quiet, "execs", EXECS, int(seconds * 1e6 / EXECS / 2))
            made = sum(int(flood.communicate()[0]) for flood in floods)
            if execs.wait() != 0:
                sys.exit("the execs failed")
        if receiver:
            receiver.__exit__(None, None, None)
        reader.stdin.close()
        figures = json.loads(reader.stdout.read())
        reader.wait()
    return {**figures, "made": made, "rate": made / seconds}


SCENARIOS = [
    # name, collector, findings, loops, rate (0: as fast as they can), names, p99 goal in ms, p99 of Falco's library on such a machine
    ("stdout, idle", False, False, 0, 0, 1, 2, "8.2"),
    ("stdout, two loops on one file", False, False, 2, 0, 1, 20, "349"),
    ("stdout, two loops on 20,000 files", False, False, 2, 0, MANY, 20, "349"),
    ("collector, idle", True, False, 0, 0, 1, 10, ""),
    ("collector, 100,000 opens/s of 20,000 files", True, False, 2, 100000, MANY, 50, ""),
    ("finding at the collector, idle", True, True, 0, 0, 1, 10, ""),
    ("finding at the collector, 100,000 opens/s", True, True, 2, 100000, MANY, 50, ""),
]


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'exec to its document, or a finding':44} {'execs':>6} {'twice':>6} {'p50 ms':>8} {'p99 ms':>8} {'goal':>5} {'Falco':>6} {'opens/s':>9} {'seen':>10} {'lost':>10} {'missing':>8}")
    with tempfile.TemporaryDirectory(prefix="taffrail-files-") as folder:
        lab.make_files(folder, MANY)
        for name, collector, findings, loops, rate, names, goal, falco in SCENARIOS:
            lab.progress(name)
            figures = run(folder, collector, findings, seconds, loops, rate, names)
            lab.progress("")
            print(f"{name:44} {figures['execs']:6} {figures['twice']:6} {figures['p50_us'] / 1000:8.2f} {figures['p99_us'] / 1000:8.2f} {goal:5} {falco:>6} "
                  f"{figures['rate']:9.0f} {figures['opens']:10} {figures['lost']:10} {figures['made'] - figures['opens'] - figures['lost']:8}", flush=True)


main()
