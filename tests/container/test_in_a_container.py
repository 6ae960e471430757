# SPDX-License-Identifier: Apache-2.0
"""The sensor in a container of the machine that it watches, as in a DaemonSet: the host's files are elsewhere."""
import glob
import os
import shutil
import time

import pytest

from conftest import SLOW, Documents, get, missed, told_of_both
from documents import Lines
from programs import BIN

pytestmark = pytest.mark.skipif(SLOW != 1, reason="sanitizers want to be loaded first, and here a loader of the test's is")

LIBRARIES = f"/usr/lib/{os.uname().machine}-linux-gnu"


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
    documents = Documents(lines)
    new, of_older = told_of_both(documents, work, older)
    assert get(of_older, "process.parent.name") == "sh" and get(of_older, "process.entry_leader.entry_meta.type") == "container"
    lines.wait_for(lambda: documents.of(new, "container_stopped"))
    # The canary works in a child of the sensor's, beside what is recorded.
    assert missed(lines) == []
