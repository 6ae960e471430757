# SPDX-License-Identifier: Apache-2.0
"""The process table goes from one life of the sensor to the next: an upgrade loses no lineage, and no file harms a start."""
import ctypes
import errno
import os
import signal
import stat
import subprocess
import time

import pytest
from conftest import run
from worker import RULE, Worker, said


def executed(sensor, word):
    """The document of the exec that has this argument."""
    return sensor.wait_for(lambda: next((one for one in sensor.documents() if one["event"]["action"] == "exec"
                                         and word in one.get("process", {}).get("args", [])), None))["process"]


def told_parent(sensor, word):
    """The same exec's parent, with its arguments, as a rule sees it."""
    def found():
        return [one["message"] for one in sensor.documents() if one["event"]["kind"] == "alert" and word in one["process"]["args"]]
    return sensor.wait_for(found)[0]


@pytest.fixture
def life(start, tmp_path):
    """Starts sensors that hand over to one another."""
    def make(*more):
        sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", f"handover={tmp_path}/table", *more)
        sensor.ready()
        return sensor

    return make


def test_lineage_outlives_an_upgrade(life, container, tmp_path):
    """What was said of a shell and of its child is said again: also of the parent that had ended long before."""
    (tmp_path / "rules.yaml").write_text(RULE)
    before = life("--rules", str(tmp_path / "rules.yaml"))
    worker = Worker(container, tmp_path)
    worker.do("run", "one")
    worker.do("become", "second")
    one, second = executed(before, "one"), executed(before, "second")
    assert '"$@" & exit 0' in told_parent(before, "second") and " first " in told_parent(before, "second")
    assert second["entry_leader"]["entity_id"] == second["parent"]["entity_id"] and second["entry_leader"]["entry_meta"] == {"type": "container"}
    assert before.end() == 0
    mode = os.stat(tmp_path / "table").st_mode
    assert stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o600
    worker.do("become", "third")  # while nobody looks
    after = life("--rules", str(tmp_path / "rules.yaml"))
    assert any("processes are known from before" in line for line in after.log), after.log
    worker.do("run", "two")
    worker.do("become", "fourth")
    two, fourth = executed(after, "two"), executed(after, "fourth")
    assert fourth["entity_id"] == second["entity_id"] and said(fourth) == said(second)
    assert two["parent"]["entity_id"] == one["parent"]["entity_id"] == second["entity_id"]
    assert two["entry_leader"] == one["entry_leader"]
    assert told_parent(after, "fourth") == told_parent(before, "second")
    assert after.end() == 0


def test_without_it_the_parent_is_another(life, container, tmp_path):
    """The test above can fail: what the kernel tells of a parent that has ended is who took its children."""
    before = life("--set", "handover=none")
    worker = Worker(container, tmp_path)
    worker.do("become", "second")
    second = executed(before, "second")
    assert before.end() == 0 and not os.path.exists(tmp_path / "table")
    after = life("--set", "handover=none")
    worker.do("become", "third")
    third = executed(after, "third")
    assert third["entity_id"] == second["entity_id"] and said(third) != said(second)


def test_it_is_beside_the_spool(start, container, tmp_path):
    collector = start("taffrail-collector", "--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"))
    collector.ready()
    for _ in range(2):
        sensor = start("taffrail-sensor", "--collector", f"unix:{tmp_path}/s", "--spool", str(tmp_path / "spool"))
        sensor.ready()
        assert sensor.end() == 0 and not any("warning: handover" in line for line in sensor.log), sensor.log
        assert "processes.taffrail" in os.listdir(tmp_path / "spool")


def test_replay_of_a_life_that_was_handed_something(life, container, tmp_path):
    before = life()
    worker = Worker(container, tmp_path)
    worker.do("become", "second")
    executed(before, "second")
    assert before.end() == 0
    after = life("--record", str(tmp_path / "recording"))
    worker.do("become", "third")
    assert said(executed(after, "third")) == said(executed(before, "second"))
    assert after.end() == 0
    replayed = run("taffrail-sensor", "--no-rules", "--stdout", "--replay", str(tmp_path / "recording"))
    assert replayed.returncode == 0 and replayed.stdout.splitlines() == after.lines


def swap(path, at, value):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(value)


def links(path):
    os.rename(path, f"{path}.other")
    os.symlink(f"{path}.other", path)


def pipes(path):
    os.unlink(path)
    os.mkfifo(path)


HOSTILE = {
    "damaged": (lambda path: swap(path, 120, b"\xff\xfe\xfd"), "it is damaged"),
    "newer": (lambda path: swap(path, 8, b"\x02"), "it is of version 2"),
    "cut": (lambda path: os.truncate(path, os.path.getsize(path) - 1), "it is cut off"),
    "huge": (lambda path: os.truncate(path, 1 << 40), "it is larger than 32 MiB"),
    "others": (lambda path: os.chmod(path, 0o640), "others may read or write it"),
    "owner": (lambda path: (os.chown(path, 65534, 65534), os.chmod(path, 0o604)), "it is another user's"),
    "link": (links, "it is a symbolic link"),
    "names": (lambda path: os.link(path, f"{path}.other"), "more than one name"),
    "pipe": (pipes, "it is no regular file"),
    "directory": (lambda path: (os.unlink(path), os.mkdir(path)), "it is no regular file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_file_that_is_not_to_be_trusted(life, container, tmp_path, kind):
    """Said once, and nothing else: the census tells of what runs, as ever."""
    before, path = life(), str(tmp_path / "table")
    worker = Worker(container, tmp_path)
    worker.do("become", "second")
    second = executed(before, "second")
    assert before.end() == 0
    change, why = HOSTILE[kind]
    change(path)
    after = life()
    assert sum(why in line and "warning" in line for line in after.log) == 1, after.log
    worker.do("become", "third")
    third = executed(after, "third")
    assert third["entity_id"] == second["entity_id"] and third["parent"] != second["parent"]
    assert after.end() == 0
    if kind != "directory":
        assert stat.S_ISREG(os.lstat(path).st_mode) and stat.S_IMODE(os.stat(path).st_mode) == 0o600, "a good one takes its place"


def start_as(pid, container, *arguments):
    """A child with this number, in the container, as soon as nobody has it any more: clone3(2) with set_tid."""
    libc = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: the child is alone with it
    number, folder = ctypes.c_int(pid), os.open(container.path, os.O_RDONLY | os.O_DIRECTORY)
    into_cgroup, deadline = 1 << 33, time.monotonic() + 20
    # flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    words = (ctypes.c_uint64 * 11)(into_cgroup, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, folder)
    while True:
        child = libc.syscall(435, ctypes.byref(words), ctypes.sizeof(words))
        if child == 0:
            try:
                os.execv(arguments[0], arguments)
            finally:
                os._exit(127)
        if child > 0:
            break
        error = ctypes.get_errno()
        if error in (errno.EPERM, errno.ENOSYS):
            pytest.skip(f"who runs here may not choose a pid: {os.strerror(error)}")
        assert error == errno.EEXIST and time.monotonic() < deadline, f"{pid}: {os.strerror(error)}"
        time.sleep(0.01)  # nobody has waited for it yet
    os.close(folder)
    assert child == pid


@pytest.mark.alone  # others' processes are known from before, too
def test_recycled_number_is_another_process(life, container, tmp_path):
    """A pid that is another process's now: it has nothing of the one before."""
    before = life()
    worker = Worker(container, tmp_path)
    worker.do("become", "second")
    pid = executed(before, "second")["pid"]
    assert before.end() == 0
    with open(os.path.join(container.path, "cgroup.procs"), encoding="ascii") as procs:
        assert str(pid) in procs.read().split()
    os.kill(pid, 9)
    start_as(pid, container, "/bin/sleep", "1000")
    after = life()
    assert any("0 processes are known from before" in line for line in after.log), after.log
    os.kill(pid, 15)
    os.waitpid(pid, 0)
    ended = after.wait_for(lambda: [one for one in after.documents() if one["event"]["action"] == "end" and one["process"]["pid"] == pid])
    assert ended[0]["process"]["args"] == ["/bin/sleep", "1000"] and "first" not in str(ended[0]["process"])


def test_place_that_cannot_be_written(life, tmp_path):
    sensor = life("--set", f"handover={tmp_path}/nowhere/table")
    assert sensor.end() == 0
    assert sum("warning: handover" in line and "No such file" in line for line in sensor.log) == 1, sensor.log


def test_kill_leaves_the_table_of_before(life, tmp_path):
    """Nobody writes when a sensor is killed: the one that is there is used if it is young enough, for each process is compared."""
    assert life().end() == 0
    written = os.stat(tmp_path / "table").st_mtime_ns
    life().kill()
    assert os.stat(tmp_path / "table").st_mtime_ns == written
    assert subprocess.run(["grep", "-c", "TAFFPROC", str(tmp_path / "table")], capture_output=True, check=True).stdout == b"1\n"
