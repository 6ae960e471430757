# SPDX-License-Identifier: Apache-2.0
"""What the sensor may cost: above it opens and first bytes are left out step by step, each step is told, and it comes back."""
import json
import os
import subprocess
import time

import pytest
from conftest import ROOT, SLOW, once, program, run

LIMIT = 40  # thousandths of a CPU: more than it costs at rest, far less than a flood of opens that are told costs


@pytest.fixture(scope="module")
def work():
    """tests/chaos/work.c: linked statically, so that all its opens are those that it counts."""
    if not os.path.exists(program("chaos-work")):
        subprocess.run(["make", "-s", "-C", ROOT, os.path.relpath(program("chaos-work"), ROOT)], check=True)
    return program("chaos-work")


def until(what, seconds, show):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, show()
        time.sleep(0.1)


class Told:
    """What a sensor says of itself; of the many opens the number alone is kept, each line being looked at once."""

    def __init__(self, sensor, container):
        self.sensor, self.id, self.read, self.opens, self.by_action, self.words = sensor, f'"container":{{"id":"{container.id}"', 0, 0, {}, {}

    def look(self):
        end = len(self.sensor.lines)
        for line in self.sensor.lines[self.read:end]:
            if self.id in line:
                if '"action":"open"' in line:
                    self.opens += 1
                    continue
                document = json.loads(line)
                self.words.setdefault(document["event"]["action"], set()).update(document["process"].get("args", [])[1:2])
            elif '"dataset":"taffrail.health"' in line:
                document = json.loads(line)
                self.by_action.setdefault(document["event"]["action"], []).append(document)
        self.read = end
        return self

    def steps(self):
        return [one["taffrail"]["budget"] for one in self.look().by_action.get("budget", [])]


@once
def test_a_flood_of_opens_is_thinned_out_and_nothing_else(start, container, tmp_path, work):
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", "opens.window=0s", "--set", f"budget.cpu={LIMIT}m", "--set", "budget.window=1s")
    sensor.ready()
    told = Told(sensor, container)
    floods = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        floods.append(container.start(work, "flood", str(tmp_path / name), "5000", stdout=subprocess.PIPE))
    until(lambda: any(one["step"] >= 2 for one in told.steps()), 40, told.steps)
    for number in range(50):
        container.run(work, f"n{number}")
    for flood in floods:
        flood.terminate()
    opens = sum(int(flood.communicate(timeout=20)[0]) for flood in floods)
    # To 0 where nobody else's containers keep it busy; step by step in any case.
    until(lambda: told.steps()[-1]["step"] < told.steps()[-1]["before"], 60, told.steps)
    assert sensor.end() == 0
    steps = told.steps()
    print(f"{opens} opens: {told.opens} told; steps {[one['step'] for one in steps]}, used {[one['used_millicpu'] for one in steps]}")
    assert [one["before"] for one in steps] == [0] + [one["step"] for one in steps[:-1]], "one after another"
    for one in steps:
        assert abs(one["step"] - one["before"]) == 1 and one["limit_millicpu"] == LIMIT and one["measure"]
        assert one["used_millicpu"] > LIMIT if one["step"] > one["before"] else one["used_millicpu"] <= 0.7 * LIMIT
    warnings = [line for line in sensor.log if "warning: budget: " in line]
    assert len(warnings) == len(steps) and "step 1 of 4: first bytes of flows are not taken" in warnings[0]
    assert all(one["event"]["kind"] == "metric" and one["event"]["start"] < one["event"]["end"] for one in told.by_action["budget"])
    # All that is executed is told, and of the opens each is told or counted as left out or lost. Others of this machine count there, too.
    for action in ("exec", "end"):
        assert told.words[action] >= {f"n{number}" for number in range(50)}
    left_out = sum(one["taffrail"]["filtered"]["counts"].get("open", 0) for one in told.by_action["events_filtered"])
    lost = sum(one["taffrail"]["lost"]["count"] for one in told.by_action.get("events_lost", []))
    assert told.opens <= opens <= told.opens + left_out + lost, (opens, told.opens, left_out, lost)
    assert left_out > told.opens / 8, (opens, told.opens, left_out, lost)


def test_without_one_nothing_is_left_out(start, container, tmp_path, work):
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", "opens.window=0s", "--set", "budget.window=1s")
    sensor.ready()
    told = Told(sensor, container)
    (tmp_path / "flood").mkdir()
    flood = container.start(work, "flood", str(tmp_path / "flood"), "500", stdout=subprocess.PIPE)
    time.sleep(3 * SLOW)
    flood.terminate()
    assert int(flood.communicate(timeout=20)[0]) > 500
    assert sensor.end() == 0 and told.steps() == [] and "events_filtered" not in told.by_action


@pytest.mark.parametrize("word", ["5", "0%", "much", "5 %"])
def test_words_that_are_no_share(word):
    done = run("taffrail-sensor", "--stdout", "--set", f"budget.cpu={word}")
    assert done.returncode == 2 and "budget.cpu" in done.stderr and "5% or 50m" in done.stderr
