#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""memory.py [CONTAINERS [RATE [SECONDS]]]: the sensor's memory while containers open files, beside a collector that answers.

There are more files than words in which repeats are counted, so hardly any is. The rate that was reached is that of the loads.
"""
import subprocess
import sys
import tempfile
import time

import lab

FILES = 40000


def status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def measure(procs, folder, rate, seconds, sensor):
    """The most anonymous memory of a run in KiB, and the opens that were made."""
    loads = [subprocess.Popen([lab.program("bench-load"), path, "opens", str(seconds), str(rate / len(procs)), folder, str(FILES)],
                              stdout=subprocess.PIPE, text=True) for path in procs]
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, status(sensor.pid, "RssAnon"))
        time.sleep(0.1)
    return most, sum(int(load.communicate()[0]) for load in loads)


def main():
    containers, rate, seconds = [int(word) for word in sys.argv[1:4]] + [100, 100000, 10][len(sys.argv) - 1:]
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch, tempfile.TemporaryDirectory(prefix="taffrail-files-") as folder, \
            lab.containers(containers) as procs:
        lab.make_files(folder, FILES)
        address = f"unix:{scratch}/collector.sock"
        with lab.running("taffrail-collector", "--listen", address, "--data", f"{scratch}/data"), \
                lab.running("taffrail-sensor", "--collector", address) as sensor:
            idle = status(sensor.pid, "RssAnon")
            most, made = measure(procs, folder, rate, seconds, sensor)
    print(f"RssAnon of the sensor: {most} KiB at {containers} containers and {made / seconds:.0f} opens/s ({idle} KiB idle; goal: 24576; Falco's library: 58 MB of RSS before any rule)")


main()
