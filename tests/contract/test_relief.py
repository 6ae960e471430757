# SPDX-License-Identifier: Apache-2.0
"""One sensor takes another one's place: nothing is lost, and nothing is told twice."""
import json
import os
import signal
import subprocess
import time

import pytest
from conftest import SLOW, run

WORK = "n=0; while [ ! -e {0}/end ]; do n=$((n + 1)); /bin/true relief $n; done; echo $n >{0}/count"


class Pair:
    """A collector and the sensors that follow one another."""

    def __init__(self, start, folder):
        self.start, self.folder = start, folder
        self.output = folder / "events.ndjson"
        self.collector = start("taffrail-collector", "--listen", f"unix:{folder}/socket", "--data", str(folder / "data"),
                               "--output", f"ecs-json:{self.output}")
        self.collector.ready()

    def begin(self, wait):
        return self.start("taffrail-sensor", "--collector", f"unix:{self.folder}/socket", "--spool", str(self.folder / "spool"),
                          "--set", f"spool.wait={wait}", "--set", "coverage.interval=0")

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
        found = [json.loads(line) for line in self.output.read_text().splitlines() if line.endswith("}")]
        return [one for one in found if one.get("container", {}).get("id") == container.id]

    def numbers(self, container):
        arguments = [one["process"].get("args", []) for one in self.documents(container) if one["event"]["action"] == "exec"]
        return sorted(int(one[2]) for one in arguments if one[:2] == ["/bin/true", "relief"])

    def nameless(self, container):
        """Execs of /bin/true without arguments: of a process that lives while the census looks at it these may be missing."""
        return len([one for one in self.documents(container) if one["event"]["action"] == "exec" and one["process"]["name"] == "true"
                    and "args" not in one["process"]])

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


def test_nothing_is_lost_and_nothing_told_twice(pair, container, tmp_path):
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
    assert len(told) == len(set(told)) and len(missing) == pair.nameless(container) <= 3, missing
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
