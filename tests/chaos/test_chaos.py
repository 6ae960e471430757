# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong: no deed is missing that is not declared, no document comes twice, the books balance, nothing is left behind."""
import re
import time

import pytest
from conftest import SECONDS
from disk import FAILURES

DRAIN = ("--set", "drain=2s")


@pytest.mark.parametrize("place,how,seconds", [
    ("wire", "cut", 2.5), ("wire", "silence", 2.5), ("wire", "loss", 3), ("relay", "delay", 3), ("relay", "resets", 3),
    *(("spool", how, 1.2) for how in ("full", *FAILURES)), *(("data0", how, 1.2) for how in ("full", *FAILURES)),
    ("taffrail-sensor", "kill", 0.3), ("taffrail-sensor", "stop", 2), ("taffrail-sensor", "term", 0.3),
    ("taffrail-collector 0", "kill", 0.3), ("taffrail-collector 0", "stop", 2), ("taffrail-collector 0", "term", 0.3),
], ids=lambda each: str(each).replace(" ", "-"))
def test_one_trouble_alone(lab, place, how, seconds):
    made = lab()
    made.start()
    made.work()
    made.go(0.5)
    made.alone(place, how, seconds)
    made.go(0.3)
    made.settle()
    made.check()


def test_all_at_random(lab):
    made = lab(sensor_options=DRAIN)
    made.start()
    made.work()
    made.suffer(made.schedule(SECONDS))
    made.settle(120)
    made.check()


def test_without_a_spool(lab):
    """What is in memory alone goes with the sensor: all of it is declared."""
    made = lab(spool=False)
    made.start()
    made.work()
    for place, how, seconds in (("data0", "writes fail", 2), ("wire", "silence", 2), ("taffrail-collector 0", "stop", 2)):
        made.note(f"{place}: {how}; then the sensor is killed")
        with made.trouble(place, how):
            made.go(seconds)
            made.alone("taffrail-sensor", "kill", 0.3)
            made.go(0.5)
        made.go(1)
    made.settle()
    made.check()


def test_collectors_that_share_a_sink(lab):
    """The sensor goes from one to the other and back; what both have is the same."""
    made = lab(collectors=2)
    made.start()
    made.work()
    made.go(1)
    for place, how, seconds in (("taffrail-collector 0", "kill", 1), ("taffrail-collector 1", "kill", 0.5), ("relay", "resets", 3),
                                ("taffrail-collector 1", "term", 0.5), ("wire", "loss", 2), ("taffrail-sensor", "kill", 0.3),
                                ("taffrail-collector 0", "kill", 0.5)):
        made.alone(place, how, seconds)
        made.go(0.5)
    made.settle()
    told = made.check()
    assert all(told.of_file), "the sensor never moved"


def test_killed_as_it_wakes(lab):
    """What was done while the sensor was stopped is older than the batches that it makes then: the loss says so."""
    made = lab(disks=False)
    made.start()
    made.work(opens=100)
    for delay in (0.005, 0.01, 0.02, 0.03) * 3:  # until a kill came in time
        made.go(0.3)
        made.sensor.stop()
        made.go(1)
        made.note("the sensor wakes")
        made.sensor.go_on()
        time.sleep(delay)
        made.alone("taffrail-sensor", "kill", 0)
        made.start()
        made.go(0.5)
        said = [re.search(r"killed: (\d+) records", line) for life in made.sensor.lives for line in life.running.log]
        if sum(int(each[1]) for each in said if each) >= 500:
            break
    made.settle()
    made.check()
    assert made.lost, "nothing was lost: each kill came too late"
