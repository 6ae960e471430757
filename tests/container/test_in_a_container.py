# SPDX-License-Identifier: Apache-2.0
"""The sensor in a container of the machine that it watches, as in a DaemonSet: the host's files are elsewhere."""
import glob
import json
import os
import shutil
import time

import pytest

from conftest import SLOW, Documents, get, named
from programs import BIN

pytestmark = pytest.mark.skipif(SLOW != 1, reason="sanitizers want to be loaded first, and here a loader of the test's is")

LIBRARIES = f"/usr/lib/{os.uname().machine}-linux-gnu"


class Lines:
    """The lines of a file that grows, as Documents wants them."""

    def __init__(self, path):
        self.path, self.lines = path, []

    def wait_for(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < deadline, self.lines[-3:]
            time.sleep(0.05)
            self.read()
        return value

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.lines[:] = [line for line in file.read().splitlines() if line.endswith("}")]


def test_sensor_in_a_container(pods, socket_path, tmp_path):
    """Names, lineage, containers older than it, its own container too; with the host's cgroups, not its own part of them."""
    work = pods("watched", "shop", labels={"app": "web"})
    older = work.run("older", "/bin/sh", "-c", "while [ ! -e /tmp/go ]; do /bin/usleep 50000; done; /bin/true of-the-older; exec /bin/sleep 1000000")
    sensors = pods("sensor", "taffrail", privileged=True, host_namespaces=("pid",))
    # A copy: the system's has a second name, and then an open by handle may be told with that.
    shutil.copy(glob.glob(f"{LIBRARIES}/ld-linux-*.so.*")[0], tmp_path / "ld.so")
    command = (f"/out/ld.so --library-path /host{LIBRARIES} /host{os.path.abspath(BIN)}/taffrail-sensor --stdout --set host.root=/host --cri /host{socket_path} "
               "> /out/lines 2> /out/log")
    sensor = sensors.run("sensor", "/bin/sh", "-c", command, mounts=[("/", "/host"), (str(tmp_path), "/out", True)], privileged=True)
    lines = Lines(tmp_path / "lines")
    log = tmp_path / "log"
    deadline = time.monotonic() + 60
    while not log.exists() or "ready" not in log.read_text():
        assert time.monotonic() < deadline and sensor.status().state == 1, log.read_text() if log.exists() else "no log"
        time.sleep(0.1)
    documents = Documents(lines, lines.lines)
    documents.running = lines
    new = work.run("new", "/bin/true", "of-the-new")
    assert older.execute("/bin/touch", "/tmp/go")[0] == 0
    named(documents.one(new, "exec", process__args=["/bin/true", "of-the-new"]), work, "new")
    of_older = documents.one(older, "exec", process__args=["/bin/true", "of-the-older"])
    named(of_older, work, "older")
    assert get(of_older, "process.parent.name") == "sh" and get(of_older, "process.entry_leader.entry_meta.type") == "container"
    lines.wait_for(lambda: documents.of(new, "container_stopped"))
    # The canary works in a child of the sensor's, beside what is recorded.
    coverage = lines.wait_for(lambda: [json.loads(line) for line in lines.lines if '"action":"coverage"' in line], seconds=60)
    missed = [one for one in coverage[-1]["taffrail"]["coverage"] if one["state"] == "missed"]
    assert missed == []
