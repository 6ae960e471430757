# SPDX-License-Identifier: Apache-2.0
"""What the benches share: the programs, cgroups named like containers', sensors beside which something is measured."""
import contextlib
import os
import secrets
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TAFFRAIL_BIN", os.path.join(ROOT, "build", "bin"))


def program(name):
    return os.path.join(BIN, name)


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")


@contextlib.contextmanager
def containers(count):
    """Paths of cgroup.procs of so many cgroups named like containers'; gone afterwards."""
    parent = os.path.join(cgroup_root(), f"taffrail-bench-{os.getpid()}")
    folders = [os.path.join(parent, secrets.token_hex(32)) for _ in range(count)]
    try:
        for folder in folders:
            os.makedirs(folder)
        yield [os.path.join(folder, "cgroup.procs") for folder in folders]
    finally:
        for folder in [*folders, parent]:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(folder)


@contextlib.contextmanager
def running(name, *arguments, stdout=subprocess.DEVNULL):
    """The program, once it is ready; ended with SIGTERM."""
    with subprocess.Popen([program(name), *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not process.stderr.readline().startswith(f"{name}: ready"):
                if process.poll() is not None:
                    sys.exit(f"{name} did not start")
            yield process
        finally:
            process.terminate()


def make_files(folder, count):
    """Empty files 0, 1, … for bench-load."""
    for number in range(count):
        with open(os.path.join(folder, str(number)), "w", encoding="ascii"):
            pass


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
