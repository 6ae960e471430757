# SPDX-License-Identifier: Apache-2.0
"""The programs as a person or another program meets them: options, exit codes, messages, documents.

No container runtime is needed: a cgroup named like a container's is a container to the sensor.
"""
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from containers import Container  # noqa: E402
from programs import BIN, ROOT, SLOW, Running, judging, once, program, run  # noqa: E402,F401 - the tests take them from here


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures what the whole machine does, so that nothing may run beside it")


@pytest.fixture
def start():
    """Starts programs that do not outlive the test."""
    running = []

    def starter(name, *arguments, **more):
        running.append(Running(name, *arguments, **more))
        return running[-1]

    yield starter
    for one in reversed(running):
        one.kill()


@pytest.fixture
def public():
    """A folder that every user may enter, with copies of the programs: a checkout is often in a home that is shut."""
    folder = tempfile.mkdtemp(prefix="taffrail-contract-", dir="/tmp")
    os.chmod(folder, 0o755)
    for name in ("taffrail-sensor", "taffrail-collector", "taffrail"):
        shutil.copy2(program(name), folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def container():
    made = Container("contract")
    yield made
    made.remove()


def terminal_output(arguments, seconds, environment=None):
    """Runs a program with a terminal as its output; what it wrote there until it ended or the time was over."""
    import pty
    main, side = pty.openpty()
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=side, stderr=subprocess.DEVNULL, env=environment)
    os.close(side)
    data, deadline = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.1)[0]:
                try:
                    chunk = os.read(main, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                data += chunk
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(20)
        os.close(main)
    return data.decode(errors="replace"), status
