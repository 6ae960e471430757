# SPDX-License-Identifier: Apache-2.0
"""A recording holds what the runtime answered, and when: late names come late again."""
import socket
import subprocess
import threading
import time

import pytest
from programs import program

from conftest import Documents, get, named


class Slow:
    """A way to the runtime that is shut until open() is called: connections are taken, nothing comes back."""

    def __init__(self, path, behind):
        self.behind, self.opened = behind, threading.Event()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(64)
        self.sockets = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            try:
                near = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near):
        far = socket.socket(socket.AF_UNIX)
        self.sockets += [near, far]
        self.opened.wait()
        try:
            far.connect(self.behind)
        except OSError:
            near.close()
            return
        threading.Thread(target=self._copy, args=(far, near), daemon=True).start()
        self._copy(near, far)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def open(self):
        self.opened.set()

    def close(self):
        self.opened.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for one in self.sockets:
            one.close()


@pytest.fixture
def slow(tmp_path, socket_path):
    path = str(tmp_path / "slow.sock")
    way = Slow(path, socket_path)
    way.path = path
    yield way
    way.close()


def test_names_that_came_late_come_late_again(start, lab, pods, slow, tmp_path):
    """Events that waited in vain, that waited and got their names, and those after: the same documents in the same order."""
    path = str(tmp_path / "recording")
    running = start("taffrail-sensor", "--stdout", "--record", path, "--cri", slow.path, "--set", f"cri.state={lab}/state")
    running.ready()
    documents = Documents(running)
    pod = pods("late", "shop", labels={"app": "web"})
    early = pod.run("early", "/bin/sleep", "1000000")
    running.wait_for(lambda: documents.of(early, "exec", process__name="sleep"), 5)
    waits = pod.create("waits", "/bin/sh", "-c", "for n in one two; do /bin/true $n; done")
    waits.start()
    time.sleep(0.5)
    slow.open()
    assert waits.wait() == 0
    running.wait_for(lambda: documents.of(waits, "end", process__name="sh"), 10)
    running.wait_for(lambda: early.execute("/bin/true", "now")[0] == 0 and any(
        get(document, "taffrail.pending") is None for document in documents.of(early, "exec", process__args=["/bin/true", "now"])), 20)
    assert running.end() == 0
    assert documents.of(early, "exec", process__name="sleep")[0]["taffrail"]["pending"] is True
    named([document for document in documents.of(early, "exec") if get(document, "taffrail.pending") is None][-1], pod, "early")
    done = subprocess.run([program("taffrail-sensor"), "--replay", path, "--stdout", "--no-rules"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(line + "\n" for line in running.lines).encode(errors="surrogateescape")
