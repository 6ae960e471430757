# SPDX-License-Identifier: Apache-2.0
"""What the sensor may cost: above it opens and first bytes are left out step by step, each step is told, and it comes back."""
import datetime
import json
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import ROOT, SLOW, once, program, run
from programs import loader_of
from test_http import Pages

LIMIT = 40  # thousandths of a CPU: more than it costs at rest, far less than a flood of opens that are told costs
pytestmark = pytest.mark.alone


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
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", "opens.window=0s", "--set", f"budget.cpu={LIMIT}m", "--set", "budget.window=1s",
                   "--http", f"unix:{tmp_path}/http")
    sensor.ready()
    told, pages = Told(sensor, container), Pages(sensor)
    floods = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        floods.append(container.start(work, "flood", str(tmp_path / name), "5000", stdout=subprocess.PIPE))
    until(lambda: any(one["step"] >= 2 for one in told.steps()), 40, told.steps)
    until(lambda: pages.metric("taffrail_sensor_budget_step") >= 2, 20, pages.metrics)
    assert pages.metric("taffrail_sensor_budget_limit_millicpu") == LIMIT
    for number in range(50):
        container.run(work, f"n{number}")
    for flood in floods:
        flood.terminate()
    opens = sum(int(flood.communicate(timeout=20)[0]) for flood in floods)
    # To 0 where nobody else's containers keep it busy; step by step in any case.
    until(lambda: told.steps()[-1]["step"] < told.steps()[-1]["before"], 60, told.steps)

    def page_and_documents_agree():
        found, steps = pages.metrics(), told.steps()
        return (found["taffrail_sensor_budget_step", ()], found["taffrail_sensor_budget_changes_total", ()]) == (steps[-1]["step"], len(steps))

    until(page_and_documents_agree, 20, lambda: (pages.metrics(), told.steps()))
    until(lambda: pages.metric("taffrail_sensor_budget_step") < max(one["step"] for one in told.steps()), 60, told.steps)
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


def used(pid):
    """Seconds of CPU time that a process has used: its own clock."""
    return time.clock_gettime(~pid << 3 | 2)


def between(samples, at):
    """What both processes had used at a time, from the samples before and after it."""
    after = next(number for number, one in enumerate(samples) if one[0] >= at)
    (t0, *before), (t1, *then) = samples[after - 1], samples[after]
    return [low + (high - low) * (at - t0) / (t1 - t0) for low, high in zip(before, then)]


def moment(text):
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z", r"\1+00:00", text)).timestamp()


@once
def test_what_the_loader_uses_counts(start, tmp_path):
    """Kept awake by nothing but signals that stop it and let it go on, it costs what would be missed."""
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", "budget.cpu=1m", "--set", "budget.window=2s")
    sensor.ready()
    worker, loader = sensor.process.pid, loader_of(sensor.process.pid)
    samples = [(time.time(), used(worker), used(loader))]

    def told():
        return [one for one in list(sensor.lines) if '"action":"budget"' in one]

    deadline = time.monotonic() + 30
    while len(told()) < 4:  # each window leads a step up
        assert time.monotonic() < deadline, sensor.log
        for _ in range(20):
            for number in (signal.SIGSTOP, signal.SIGCONT):
                os.kill(loader, number)
                time.sleep(0.00005)  # it has to come so far, or the two are nothing
        samples.append((time.time(), used(worker), used(loader)))
    samples.append((time.time(), used(worker), used(loader)))  # behind the last document
    assert sensor.end() == 0
    windows = []
    for one in map(json.loads, told()[1:]):  # the first began before the loader was kept awake
        begin, end = (moment(one["event"][key]) for key in ("start", "end"))
        shares = [(high - low) / (end - begin) * 1000 for low, high in zip(between(samples, begin), between(samples, end))]
        windows.append((one["taffrail"]["budget"]["used_millicpu"], *shares))
    awake = [one for one in windows if one[2] > 2]
    assert awake, f"the loader was never kept awake: {windows}"
    for both, workers, loaders in awake:
        assert abs(both - workers - loaders) < 1 + loaders / 4, windows


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


def test_who_asks_for_pages_does_not_make_it_see_less(start, tmp_path):
    """What answers cost is in the process's metric, and not in what is judged."""
    sensor = start("taffrail-sensor", "--stdout", "--cri", str(tmp_path / "none"), "--set", f"budget.cpu={LIMIT}m", "--set", "budget.window=1s",
                   "--http", f"unix:{tmp_path}/http")
    sensor.ready()
    pages = Pages(sensor)
    time.sleep(2)  # what starting costs
    before = pages.metrics()
    begun = time.monotonic()
    while time.monotonic() < begun + 6:
        assert pages.status("/metrics") == 200
    passed, after = time.monotonic() - begun, pages.metrics()
    used = (after["process_cpu_seconds_total", ()] - before["process_cpu_seconds_total", ()]) / passed * 1000
    assert used > 2 * LIMIT, f"{used} thousandths of a CPU: too little to tell"
    time.sleep(2)
    changes = "taffrail_sensor_budget_changes_total", ()
    assert pages.metrics()[changes] == before[changes], sensor.log
    assert sensor.end() == 0
