# SPDX-License-Identifier: Apache-2.0
"""A cluster of a thousand sensors at one collector: all is acknowledged and stored once, slow ones slow nobody, all come back at once."""
import collections
import os
import re
import socket
import sys
import time

import pytest
from conftest import ROOT, once

sys.path.insert(0, os.path.join(ROOT, "tests"))
from many import Many, memory_kib  # noqa: E402
from peers import Papers  # noqa: E402
from stored import ranges  # noqa: E402

SENSORS = 1000
MIB = 1 << 10  # KiB
MOST = 192 * MIB  # connections (40 KiB each over TLS), events that wait for the disk (80 MiB), lines that wait for the file
pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("ca"))


class Place:
    """A collector that can be killed and started again where it was, and a crowd at it."""

    def __init__(self, start, folder, trust):
        self.start, self.folder, self.trust = start, folder, trust
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.crowds = []
        self.open()

    def open(self):
        allow = ["--allow", "*"] if self.trust else []
        options = self.trust.options("collector") if self.trust else []
        self.collector = self.start("taffrail-collector", "--listen", self.address, "--data", str(self.folder / "data"), "--output",
                                    f"ecs-json:{self.folder}/out", *options, *allow)
        self.collector.ready()
        self.pid = self.collector.process.pid

    def crowd(self, *options):
        trust = self.trust.options("sensor") if self.trust else []
        self.crowds.append(Many(self.address, "--limit", "60s", *trust, *options))
        return self.crowds[-1]

    def lines(self):
        with open(self.folder / "out", "rb") as file:
            return sum(1 for _ in file)

    def assert_once(self, sensors, events):
        """In the store and in the output: each sensor's events from 1 on, each once."""
        assert self.collector.end(seconds=60) == 0  # whatever is stored is filed by then
        held = ranges(self.folder / "data")
        mine = {host: each for (host, _), each in held.items() if "-slow-" not in host}
        assert len(mine) == sensors and {str(each) for each in mine.values()} == {str([[1, events]])}
        ids = collections.Counter()
        with open(self.folder / "out", encoding="utf-8") as lines:
            for line in lines:
                if '-slow-' not in line:
                    ids[re.search(r'"event":\{[^{}]*"id":"([^"]+)"', line).group(1)] += 1
        assert len(ids) == sensors * events and set(ids.values()) == {1}


BOTH = pytest.mark.parametrize("place", ["plain", "tls"], indirect=True)


@pytest.fixture
def place(request, start, tmp_path, papers):
    made = Place(start, tmp_path, papers if request.param == "tls" else None)
    yield made
    for crowd in made.crowds:
        crowd.kill()


@once
@BOTH
def test_all_of_a_thousand_is_acknowledged_and_stored_once(place):
    crowd = place.crowd("--sensors", SENSORS, "--batches", 5, "--events", 10)
    assert crowd.end() == 0, crowd.said
    counters, figures = crowd.counters, crowd.phases[0]
    peak = memory_kib(place.pid)
    print(f"{SENSORS} sensors: up in {crowd.all('up')[0]['up']:.2f} s, {figures['events_per_s']:.0f} events/s, p99 {figures['p99_ms']:.0f} ms, {peak // MIB} MiB")
    assert counters == {"greeted": SENSORS, "whole": SENSORS, "losses": 0, "forgotten": 0, "slow_ended": 0}
    assert peak < MOST
    place.assert_once(SENSORS, 50)
    assert not any("again" in line or "did not come" in line for line in place.collector.log), place.collector.log


def best_ratio(phases, slow, figure):
    """Of the phases with so many slow ones, against their neighbours without: the best, for noise only ever takes away."""
    found = []
    for before, one, after in zip(phases, phases[1:], phases[2:]):
        if one["slow"] == slow:
            found.append(figure(one) / max((figure(before) + figure(after)) / 2, 1e-9))
    return max(found)


@once
@pytest.mark.parametrize("place", ["plain"], indirect=True)
def test_slow_sensors_slow_nobody_down(place):
    """Some never give an acknowledgement's bytes back, some read nothing, some send a byte a second."""
    turns = [word for slow in (0, 1, 0, 100, 0, 1, 0, 100, 0) for word in ("--slow", slow)]
    crowd = place.crowd("--sensors", 200, "--window", 1, "--events", 20, "--phase", "1200ms", *turns)
    assert crowd.end() == 0, crowd.said
    assert crowd.counters["greeted"] == 200 and crowd.counters["losses"] == crowd.counters["forgotten"] == 0
    for slow in 1, 100:
        rate = best_ratio(crowd.phases, slow, lambda one: one["events_per_s"])
        least = best_ratio(crowd.phases, slow, lambda one: one["least"])
        print(f"beside {slow} slow ones: {rate:.2f} of the rate without, {least:.2f} of it for the one that gets least")
        assert rate > 0.7 and least > 0.5


@once
@BOTH
def test_a_thousand_come_back_after_a_kill(place):
    """The collector is killed while all of them send; nothing that was acknowledged is lost, nothing is stored twice."""
    crowd = place.crowd("--sensors", SENSORS, "--interval", "200ms", "--batches", 30, "--events", 5)
    crowd.wait("up")
    time.sleep(1.5)
    place.collector.kill()
    place.open()
    back = crowd.wait("back", seconds=30)
    assert crowd.end() == 0, crowd.said
    peak = memory_kib(place.pid)
    print(f"{back['lost']} were lost and back in {back['back']:.2f} s, {peak // MIB} MiB")
    assert back["lost"] == SENSORS and back["back"] < 15
    assert crowd.counters["whole"] == SENSORS and crowd.counters["forgotten"] == 0
    assert peak < MOST
    place.assert_once(SENSORS, 150)


@once
@BOTH
def test_a_thousand_whose_connections_are_all_cut_come_back(place):
    crowd = place.crowd("--sensors", SENSORS, "--interval", "200ms", "--batches", 15, "--events", 5)
    crowd.wait("up")
    time.sleep(0.5)
    crowd.cut()
    back = crowd.wait("back")
    print(f"cut, {back['lost']} back in {back['back']:.2f} s")
    assert back["lost"] == SENSORS and back["back"] < 15
    assert crowd.end() == 0, crowd.said
    assert crowd.counters["whole"] == SENSORS and crowd.counters["forgotten"] == 0
    place.assert_once(SENSORS, 75)
