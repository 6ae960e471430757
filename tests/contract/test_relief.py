# SPDX-License-Identifier: Apache-2.0
"""One sensor takes another one's place: nothing is lost, and nothing is told twice but what happens in the moment itself."""
import copy
import json
import os
import secrets
import signal
import subprocess
import time

import pytest
from conftest import SLOW, run
from programs import loader_of
from worker import RULE, Worker, said

WORK = "n=0; while [ ! -e {0}/end ]; do n=$((n + 1)); /bin/true relief $n; done; echo $n >{0}/count"


class Pair:
    """A collector and the sensors that follow one another."""

    def __init__(self, start, folder):
        self.start, self.folder, self.more = start, folder, ()
        self.output = folder / "events.ndjson"
        self.collector = start("taffrail-collector", "--listen", f"unix:{folder}/socket", "--data", str(folder / "data"),
                               "--output", f"ecs-json:{self.output}")
        self.collector.ready()

    def begin(self, wait):
        return self.start("taffrail-sensor", "--collector", f"unix:{self.folder}/socket", "--spool", str(self.folder / "spool"),
                          "--set", f"spool.wait={wait}", "--set", "coverage.interval=0", *self.more)

    def sensor(self, wait="10m", ready=True):
        made = self.begin(wait)
        if ready:
            made.ready()
        else:
            made.wait_for(lambda: any("waiting for its end" in line for line in made.log), 60)
        return made

    def documents(self, container):
        if not self.output.exists():
            return []
        found = [json.loads(line) for line in self.output.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        return [one for one in found if one.get("container", {}).get("id") == container.id]

    def numbers(self, container):
        arguments = [one["process"].get("args", []) for one in self.documents(container) if one["event"]["action"] == "exec"]
        return sorted(int(one[2]) for one in arguments if one[:2] == ["/bin/true", "relief"])

    def balance(self):
        said = json.loads(run("taffrail", "status", "--data", str(self.folder / "data"), "--json").stdout)
        assert said["difference"] == 0, said
        return said["sensors"]


@pytest.fixture
def pair(start, tmp_path):
    return Pair(start, tmp_path)


def until(what, seconds=30):
    deadline = time.monotonic() + seconds * SLOW
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def test_nothing_is_lost_and_all_but_nothing_told_twice(pair, container, tmp_path):
    """Three in a row, under as many execs as one loop makes."""
    sensor = pair.sensor()
    work = container.start("/bin/sh", "-c", WORK.format(tmp_path), stdout=subprocess.DEVNULL)
    try:
        for _ in range(3):
            until(lambda: len(pair.numbers(container)) > 50)
            following = pair.sensor(ready=False)
            time.sleep(0.5)
            assert sensor.end() == 0, sensor.log
            following.ready()
            assert not any("told twice" in line for line in following.log), following.log
            sensor = following
            time.sleep(0.5)
    finally:
        (tmp_path / "end").touch()
        work.wait(30)
    last = int((tmp_path / "count").read_text())
    until(lambda: last in pair.numbers(container))
    assert sensor.end() == 0
    assert pair.collector.end() == 0
    told = pair.numbers(container)
    missing = set(range(1, last + 1)) - set(told)
    # Within 50 µs of each of the three moments both tell.
    assert len(told) - len(set(told)) <= 3 and not missing, missing
    balance = pair.balance()
    assert len(balance) == 4 and not [one for one in balance if one["lost"] or not one["closed"]], balance
    assert len({one["event"]["id"] for one in pair.documents(container)}) == len(pair.documents(container))
    assert "relief" not in os.listdir(tmp_path / "spool")


def test_one_that_was_killed_has_not_said_what_it_told(pair, container):
    sensor = pair.sensor()
    following = pair.sensor(ready=False)
    container.run("/bin/true", "relief", "1")
    sensor.process.kill()
    following.ready()
    assert any("some events may be told twice" in line for line in following.log)
    until(lambda: 1 in pair.numbers(container))
    container.run("/bin/true", "relief", "2")
    until(lambda: pair.numbers(container).count(2) == 1)
    assert following.end() == 0 and pair.numbers(container)[-1] == 2


def test_a_time_that_is_still_to_come_is_not_believed(pair, container):
    """Else the new one would leave all that it sees to the old one, for ever, and the books would balance."""
    sensor = pair.sensor()
    following = pair.sensor(ready=False)
    (pair.folder / "spool" / "relief").write_bytes(b"\xff" * 8)
    sensor.process.kill()
    following.ready()
    assert any("relief: " in line and "not believed" in line for line in following.log), following.log
    container.run("/bin/true", "relief", "1")
    until(lambda: pair.numbers(container) == [1])
    assert following.end() == 0


def ends(sensor, sentence):
    assert sensor.process.wait(60 * SLOW) == 1 and any(sentence in line for line in sensor.log), sensor.log


def test_only_one_waits_and_not_for_ever(pair, container):
    sensor = pair.sensor()
    waiting = pair.sensor(wait="10m", ready=False)
    ends(pair.begin(wait="10m"), "waits for it already")
    waiting.process.send_signal(signal.SIGTERM)
    ends(waiting, "ended while another sensor used it")
    ends(pair.begin(wait="500ms"), "another sensor uses it")
    container.run("/bin/true", "relief", "1")
    until(lambda: pair.numbers(container) == [1])
    assert sensor.end() == 0
    assert len(pair.balance()) == 1


def test_who_waits_for_long_says_for_what(pair):
    sensor = pair.sensor()
    waiting = pair.sensor(ready=False)
    assert not any("has held its lock" in line for line in waiting.log)
    waiting.wait_for(lambda: any(f"warning: {pair.folder}/spool: another sensor has held its lock for 1" in line for line in waiting.log), 20)
    assert sensor.end() == 0
    waiting.ready()
    assert waiting.end() == 0


def test_lineage_goes_from_one_to_the_other(pair, container, tmp_path):
    """What was said of a shell is said again, of the parent that had ended long before, too; and of one that ends while neither sensor works."""
    (tmp_path / "rules.yaml").write_text(RULE)
    pair.more = ("--rules", str(tmp_path / "rules.yaml"))

    def find(action, word):
        found = [one for one in pair.documents(container) if one["event"]["action"] == action and word in one["process"].get("args", [])]
        return found[-1]["process"] if found else None

    def told(action, word):
        until(lambda: find(action, word))
        return find(action, word)

    def parents(word):
        def found():
            return [one["message"] for one in pair.documents(container) if one["event"]["kind"] == "alert" and word in one["process"].get("args", [])]
        until(found)
        return found()[0]

    old = pair.sensor()
    worker = Worker(container, tmp_path)
    worker.do("run", "one")
    worker.do("become", "second")
    one, second = told("exec", "one"), told("exec", "second")
    assert '"$@" & exit 0' in parents("second") and " first " in parents("second")
    new = pair.sensor(ready=False)
    pair.collector.process.send_signal(signal.SIGSTOP)  # so it waits for it, with the spool, for five seconds at most
    old.process.send_signal(signal.SIGTERM)
    until(lambda: (tmp_path / "spool" / "relief").stat().st_size > 0)
    time.sleep(0.2)
    worker.do("run", "two")
    write = worker.leave("third")
    worker.do("end", "")
    until(lambda: not os.path.exists(f"/proc/{second['pid']}"))
    assert any("waiting for its end" in line for line in new.log) and old.process.poll() is None
    pair.collector.process.send_signal(signal.SIGCONT)
    new.ready()
    assert old.process.wait(30) == 0
    os.write(write, b"run four\nend -\n")
    two, third, four, end = told("exec", "two"), told("exec", "third"), told("exec", "four"), told("end", "second")
    assert two["parent"]["entity_id"] == one["parent"]["entity_id"] == second["entity_id"] and two["entry_leader"] == one["entry_leader"]
    assert end["entity_id"] == second["entity_id"] and end["args"] == second["args"] and said(end) == said(second)
    assert third["parent"]["entity_id"] == second["entity_id"] and third["entry_leader"] == second["entry_leader"]
    assert four["parent"]["entity_id"] == third["entity_id"] and four["entry_leader"] == second["entry_leader"]
    assert "/worker second " in parents("third")
    assert not any("warning: handover" in line for line in new.log), new.log
    assert any("processes are known from before" in line for line in new.log), new.log
    assert new.end() == 0 and pair.collector.end() == 0
    assert len(pair.balance()) == 2


def test_who_waits_and_sees_nothing_ends(pair):
    """Its loader is gone: what it could tell later would have a hole that nobody knows of."""
    sensor = pair.sensor()
    waiting = pair.sensor(ready=False)
    os.kill(loader_of(waiting.process.pid), signal.SIGKILL)
    ends(waiting, "nothing is seen any more")
    assert sensor.end() == 0


def test_one_whose_loader_is_gone_has_not_said_what_it_told(pair, container):
    """It sees nothing any more, and has not found out yet."""
    sensor = pair.sensor()
    following = pair.sensor(ready=False)
    loader = loader_of(sensor.process.pid)
    sensor.process.send_signal(signal.SIGSTOP)
    os.kill(loader, signal.SIGKILL)
    time.sleep(0.2)
    container.run("/bin/true", "relief", "1")
    sensor.process.send_signal(signal.SIGCONT)
    following.ready()
    assert sensor.process.wait(30 * SLOW) == 1
    assert any("some events may be told twice" in line for line in following.log), following.log
    until(lambda: 1 in pair.numbers(container))
    assert following.end() == 0


@pytest.fixture
def pins(tmp_path):
    """A BPF file system of the test's own."""
    place = tmp_path / "bpf"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "none", str(place)], check=True)
    yield place / "pins"
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_one_that_ends_before_it_has_begun_leaves_what_it_saw_to_be_declared(pair, container, pins):
    """The old one has said up to when it tells, and still waits for its collector."""
    pair.more = ("--set", f"host.bpffs={pins}")
    sensor = pair.sensor()
    waiting = pair.sensor(ready=False)
    pair.collector.process.send_signal(signal.SIGSTOP)
    container.run("/bin/true", "relief", "1")
    sensor.process.send_signal(signal.SIGTERM)
    until(lambda: os.path.getsize(pair.folder / "spool" / "relief") > 0)
    time.sleep(0.1)
    container.run("/bin/true", "relief", "2")
    waiting.process.send_signal(signal.SIGTERM)
    ends(waiting, "ended while another sensor used it")
    pair.collector.process.send_signal(signal.SIGCONT)
    assert sensor.process.wait(30 * SLOW) == 0
    following = pair.sensor()
    container.run("/bin/true", "relief", "3")
    until(lambda: 3 in pair.numbers(container))
    until(lambda: len(os.listdir(pins)) == 1)
    assert following.end() == 0 and pair.collector.end() == 0
    assert pair.numbers(container) == [1, 3]
    balance = pair.balance()
    assert len(balance) == 3 and len([one for one in balance if one["lost"].get("sensor", 0) > 0]) == 1, balance
    assert all(one["closed"] for one in balance) and not os.path.exists(pins), balance


def test_what_only_the_new_one_is_told_is_not_left_to_the_old_one(pair, container):
    """A cgroup inside a container, which its programs name once; and a signal to it while it waits."""
    inner = copy.copy(container)
    name = secrets.token_hex(32)
    inner.path = f"{container.path}/{name}"
    os.mkdir(inner.path)
    try:
        sensor = pair.sensor()
        following = pair.sensor(ready=False)
        inner.run("/bin/true", "relief", "1")
        container.run("/bin/sh", "-c", f"kill -CONT {following.process.pid}")
        time.sleep(0.2)
        assert sensor.end() == 0
        following.ready()
        inner.run("/bin/true", "relief", "2")
        until(lambda: pair.numbers(container) == [1, 2])
        nested = [one["taffrail"].get("container", {}).get("nested_id") for one in pair.documents(container)
                  if one["event"]["action"] == "exec" and one["process"].get("args", [])[:2] == ["/bin/true", "relief"]]
        assert nested == [name, name]
        until(lambda: any("Attack on the sensor" in one.get("rule", {}).get("name", "") for one in pair.documents(container)))
        assert following.end() == 0
    finally:
        os.rmdir(inner.path)
