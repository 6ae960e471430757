#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""wire.py: bytes an event on the wire, of real programs in containers: what the sensor sent is weighed as the collector stored it.

zstd's level is 3. *alone*: each batch by itself, as gRPC compresses messages; *stream*: all of a connection as one, flushed behind each batch.
"""
import glob
import os
import shlex
import subprocess
import tempfile

import lab

EXECS = "find /usr/share/doc -mindepth 1 -maxdepth 1 | head -n 150 | while read -r name; do /bin/ls -d \"$name\"; /usr/bin/basename \"$name\" .doc; done"
OPENS = "grep -rq taffrail-no-such-word /usr/include /usr/lib/python3; find /usr/include -type f | head -n 1000 | xargs -n 10 cat"
CONNECTS = """
import socket
server = socket.create_server(("127.0.0.1", 0))
for turn in range(1500):
    client = socket.create_connection(server.getsockname())
    taken = server.accept()[0]
    client.sendall(b"x" * 100)
    client.close()
    taken.close()
"""


def compile_some():
    """A compiler over a part of this project: many short processes, each with many opens."""
    files = sorted(glob.glob(os.path.join(lab.ROOT, "user/base/*.c")))
    flags = f"-std=gnu11 -D_GNU_SOURCE -I{lab.ROOT} -I{lab.ROOT}/user -I{lab.ROOT}/build/proto -O0 -c -o /dev/null"
    return "; ".join(f"gcc {flags} {shlex.quote(file)}" for file in files)


def run(procs, command):
    """In the containers, one after another."""
    for each in procs:
        subprocess.run(["/bin/sh", "-c", f"echo 0 >{each} || exit 1; {command}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(name, containers, *commands):
    with tempfile.TemporaryDirectory(prefix="taffrail-bench-") as scratch, lab.containers(containers) as procs:
        address = f"unix:{scratch}/collector.sock"
        with lab.running("taffrail-collector", "--listen", address, "--data", f"{scratch}/data"):
            with lab.running("taffrail-sensor", "--collector", address, "--no-rules", "--set", "coverage.interval=0") as sensor:
                for command in commands:
                    run(procs, command)
                sensor.terminate()
                sensor.wait()
        subprocess.run([lab.program("bench-wire"), name, f"{scratch}/data"], check=True)


def main():
    python = f"python3 -c {shlex.quote(CONNECTS)}"
    load = shlex.quote(lab.program("bench-load"))
    print(f"{'bytes an event':40} {'events':>9} {'a batch':>9} {'wire':>7} {'alone':>7} {'stream':>7} {'JSON':>7}", flush=True)
    measure("many short processes", 4, EXECS)
    measure("many opens", 4, OPENS)
    measure("many connections", 4, python)
    measure("a compiler", 4, compile_some())
    measure("all of these, 4 containers", 4, EXECS, OPENS, python, compile_some())
    measure("a quiet node: five processes a second", 1, f"{load} /dev/null execs 25 200000")


main()
