# SPDX-License-Identifier: Apache-2.0
"""A container opens files as fast as it can on all processors: what another one executes and connects to is told, all of it."""
import pytest

SECONDS = 2


@pytest.mark.parametrize("held", [0, 1], ids=["as-fast-as-it-can", "sensor-held"])
def test_flood(lab, held):
    """Of the opens each is told or declared; while the sensor is held (SIGSTOP) the ring of the opens runs over, and only that."""
    made = lab(disks=False, sensor_options=("--set", "rings.bulk=2M") if held else ())
    made.start()
    made.work(interval_ms=5, opens=0)
    flood = made.flood()
    made.go(SECONDS / 2)
    if held:
        made.alone("taffrail-sensor", "stop", held)
    made.go(SECONDS / 2)
    opens = flood.end()
    made.go(1.2)  # a gap in a ring is declared after a second
    made.settle()
    told = made.check()
    lost = sum(loss.count for loss in told.losses)
    print(f"{opens} opens of a flood, {told.flooded} told, {lost} lost; {sum(told.found.values())} other deeds")
    assert all(set(loss.kinds) <= {"open"} for loss in told.losses), made.story(told)
    assert told.flooded + lost == opens, made.story(told)
    assert bool(lost) >= bool(held), "the ring was to run over"
    assert made.lost == [], made.story(told)
