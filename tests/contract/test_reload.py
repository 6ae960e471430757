# SPDX-License-Identifier: Apache-2.0
"""The configuration while the programs run: a change is taken as a whole or not at all, and costs no event."""
import json
import os
import re
import signal
import time

import pytest
from conftest import run
from peers import Papers
from test_http import Pages, eventually

READ = "the configuration was read again (sha256:"
RULE = """
- rule: {name}
  desc: an exec with a word
  condition: evt.type in (execve, execveat) and proc.args contains "{word}"
  output: exec
  priority: NOTICE
"""
LISTEN = "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen(1)\n"


class Config:
    """A file of configuration, written as a whole."""

    def __init__(self, path):
        self.path = str(path)

    def write(self, text):
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(self.path + ".new", self.path)


def again(running, config, text, told=READ):
    """Another configuration, and SIGHUP; when it is told that something came of it, that line."""
    before = sum(told in line for line in running.log)
    config.write(text)
    running.process.send_signal(signal.SIGHUP)
    return running.wait_for(lambda: [line for line in running.log if told in line][before:])[0]


@pytest.fixture
def config(tmp_path):
    return Config(tmp_path / "taffrail.yaml")


@pytest.fixture
def sensor(start, config, container):
    def begin(text, *arguments, rules="--no-rules"):
        config.write(text)
        words = ("--set", "rule_matching=first") if rules is None else (rules,)  # for conftest's judging
        running = start("taffrail-sensor", "--stdout", "--set", "coverage.interval=0", "--config", config.path, *words, *arguments)
        running.container = container
        running.ready()
        return running
    return begin


def seen(running):
    """Of this test's container, and what the sensor says of itself: others on this machine do something, too."""
    return [one for one in running.documents() if one.get("container", {}).get("id", running.container.id) == running.container.id]


def of_kind(running, action):
    return [one for one in seen(running) if one["event"]["action"] == action]


def test_nothing_is_lost_or_doubled_while_it_changes_fifty_times(sensor, config, container, tmp_path):
    (tmp_path / "a.yaml").write_text(RULE.format(name="A", word="nonce-"))
    (tmp_path / "b.yaml").write_text(RULE.format(name="B", word="nonce-"))

    def text(number):
        return (f"rules: [{tmp_path}/{'ab'[number % 2]}.yaml]\ndrain: {1 + number % 5}s\nfindings: {{limit: {number}}}\n"
                f"record: {{leave_out: [{{kinds: [{['open', 'listen', 'connect'][number % 3]}]}}]}}\nlog: {{level: {['info', 'debug'][number % 2]}}}\n")

    running = sensor(text(0), rules=None)
    work = container.start("/bin/sh", "-c", "i=0; while [ $i -lt 1500 ]; do /bin/true nonce-$i; i=$((i + 1)); done")
    for number in range(1, 51):
        again(running, config, text(number))
    assert work.wait(120) == 0
    last = container.run("/bin/true", "the-end")
    running.wait_for(lambda: any(one["process"]["pid"] == last for one in of_kind(running, "exec")))
    assert running.end() == 0
    ran = [one["process"]["args"][1] for one in seen(running)
           if one["event"]["kind"] == "event" and one["event"]["action"] == "exec" and one["process"].get("args", [""])[0] == "/bin/true"]
    assert ran == [f"nonce-{number}" for number in range(1500)] + ["the-end"]
    ids = [one["event"]["id"] for one in seen(running)]
    assert len(set(ids)) == len(ids)
    # A flood of opens of somebody else on the machine may fill the other ring.
    assert not [one for one in of_kind(running, "events_lost") if one["taffrail"]["lost"]["stage"] != "ring-bulk"]
    rules = [one["rule"]["name"] for one in seen(running) if one["event"]["kind"] == "alert" and one["event"]["action"] == "exec"]
    assert set(rules) == {"A", "B"}, "each set was in use"
    assert not [line for line in running.log if "error" in line or "restart:" in line]


def test_what_is_recorded_takes_effect_also_where_the_kernel_left_it_out(sensor, config, container):
    running = sensor("record: {leave_out: [{kinds: [listen]}]}\n")
    container.run("/usr/bin/python3", "-c", LISTEN)
    again(running, config, "record: {leave_out: [{kinds: [exec]}]}\n")
    assert any("left out by the sensor alone" in line for line in running.log)
    pid = container.run("/usr/bin/python3", "-c", LISTEN)
    running.wait_for(lambda: of_kind(running, "listen"))
    again(running, config, "record: {leave_out: [{kinds: [listen]}], also: [mkdir]}\n")
    container.run("/usr/bin/python3", "-c", LISTEN)
    container.run("/bin/sh", "-c", "mkdir /dev/null/x; true")
    running.wait_for(lambda: of_kind(running, "mkdir"))
    assert running.end() == 0
    assert [one["process"]["pid"] for one in of_kind(running, "listen")] == [pid]
    execs = [one for one in of_kind(running, "exec") if one["process"]["pid"] == pid]
    assert not execs
    told = [one["taffrail"]["filtered"] for one in of_kind(running, "events_filtered")]
    counted = {kind: sum(one["counts"].get(kind, 0) for one in told) for kind in ("listen", "exec")}
    assert counted["listen"] >= 2 and counted["exec"] >= 1, told


def test_a_rule_that_is_added_leaves_the_kernel_its_own(sensor, config, container):
    running = sensor("record: {leave_out: [{kinds: [listen]}]}\n")
    again(running, config, "record: {leave_out: [{kinds: [listen]}, {kinds: [exec]}]}\n")
    pid = container.run("/usr/bin/python3", "-c", LISTEN)
    again(running, config, "record: {leave_out: [{kinds: [listen]}]}\n")
    last = container.run("/bin/true", "last")
    running.wait_for(lambda: any(one["process"]["pid"] == last for one in of_kind(running, "exec")))
    assert running.end() == 0
    assert not any("left out by the sensor alone" in line for line in running.log)
    assert not of_kind(running, "listen") and not any(one["process"]["pid"] == pid for one in of_kind(running, "exec"))
    told = [one["taffrail"]["filtered"] for one in of_kind(running, "events_filtered")]
    assert sum(one["in_kernel"] for one in told) >= 1 and sum(one["counts"].get("exec", 0) for one in told) >= 1, told


def test_rules_and_their_paths_take_effect(sensor, config, container, tmp_path):
    (tmp_path / "a.yaml").write_text(RULE.format(name="A", word="nonce-a"))
    running = sensor("no_rules: true\n", rules=None)

    def found(name):
        return [one for one in seen(running) if one.get("rule", {}).get("name") == name]

    container.run("/bin/true", "nonce-a")
    again(running, config, f"rules: [{tmp_path}/a.yaml]\n")
    container.run("/bin/true", "nonce-a")
    running.wait_for(lambda: found("A"))
    (tmp_path / "a.yaml").write_text(RULE.format(name="A2", word="nonce-a"))  # by itself, as the file changes
    running.wait_for(lambda: sum("rules loaded" in line for line in running.log) >= 1)
    container.run("/bin/true", "nonce-a")
    running.wait_for(lambda: found("A2"))
    again(running, config, "no_rules: true\n")
    container.run("/bin/true", "nonce-a", "last")
    running.wait_for(lambda: any(one["process"].get("args", [""])[-1] == "last" for one in of_kind(running, "exec")))
    assert running.end() == 0
    assert len(found("A")) == 1 and len(found("A2")) == 1


def test_a_limit_of_findings_takes_effect(sensor, config, container, tmp_path):
    (tmp_path / "a.yaml").write_text(RULE.format(name="A", word="nonce-l"))
    running = sensor(f"rules: [{tmp_path}/a.yaml]\nfindings: {{limit: 1, window: 1h}}\n", rules=None)

    def found():
        return [one for one in seen(running) if one.get("rule", {}).get("name") == "A" and one["event"]["action"] == "exec"]

    for _ in range(3):
        container.run("/bin/true", "nonce-l")
    running.wait_for(found)
    again(running, config, f"rules: [{tmp_path}/a.yaml]\nfindings: {{limit: 0}}\n")
    for _ in range(3):
        container.run("/bin/true", "nonce-l")
    running.wait_for(lambda: len(found()) >= 4)
    assert running.end() == 0 and len(found()) == 4


def test_what_takes_a_restart_is_named_once(sensor, config):
    running = sensor("rings: {critical: 8M}\n")
    again(running, config, "rings: {critical: 4M}\ncluster: {name: c}\n")
    assert [line for line in running.log if "restart" in line] == ["taffrail-sensor: warning: cluster.name has changed: that takes a restart",
                                                                  "taffrail-sensor: warning: rings.critical has changed: that takes a restart"]
    again(running, config, "rings: {critical: 4M}\ncluster: {name: c}\ndrain: 1s\n")
    again(running, config, "rings: {critical: 8M}\ncluster: {name: c}\n")
    assert sum("restart" in line for line in running.log) == 2, "as at the start it takes none"
    assert running.end() == 0


@pytest.mark.parametrize("bad, line, words", [
    ("drain: soon\n", 1, "drain takes a time"),
    ("drain: 1s\nhooks: best\n", 2, 'hooks "best"'),
    ("drain: 1s\nrecord:\n  kinds: [opne]\n", 3, "opne"),
    ('drain: "1s\n', 2, "this is no YAML"),
])
def test_a_bad_one_is_told_and_the_old_one_stays(sensor, config, container, bad, line, words):
    running = sensor("record: {leave_out: [{kinds: [open]}]}\n")
    again(running, config, bad, "the new configuration is refused: the one of before stays")
    assert any(one.startswith(f"{config.path}:{line}: ") and words in one for one in running.log), running.log
    pid = container.run("/bin/cat", "/etc/hostname")
    running.wait_for(lambda: any(one["process"]["pid"] == pid for one in of_kind(running, "exec")))
    again(running, config, "record: {leave_out: [{kinds: [exec]}]}\n")
    container.run("/bin/cat", "/etc/hostname")
    running.wait_for(lambda: of_kind(running, "open"))
    assert running.end() == 0
    assert all(one["process"]["pid"] != pid for one in of_kind(running, "open"))


def test_bad_rules_refuse_all_of_it(sensor, config, tmp_path):
    (tmp_path / "bad.yaml").write_text(RULE.format(name="A", word="x").replace("proc.args", "proc.nothing"))
    running = sensor("drain: 2s\n", "--http", f"unix:{tmp_path}/http", rules=None)
    pages = Pages(running)

    def counted():
        found = pages.metrics()
        return tuple(found["taffrail_sensor_config_" + name, labels] for name, labels in (
            ("reloads_total", (("result", "taken"),)), ("reloads_total", (("result", "refused"),)), ("last_reload_success", ())))

    again(running, config, f"drain: 1s\nrules: [{tmp_path}/bad.yaml]\n", "the new configuration is refused")
    assert any(line.startswith(f"{tmp_path}/bad.yaml:4:") for line in running.log), running.log
    eventually(lambda: counted() == (0, 1, 0))
    again(running, config, "drain: 3s\n")
    eventually(lambda: counted() == (1, 1, 1))
    assert running.end() == 0


@pytest.mark.parametrize("name", ["taffrail-sensor", "taffrail-collector"])
def test_a_swapped_link_is_another_configuration_without_a_signal(start, tmp_path, name):
    """As a ConfigMap's directory changes."""
    more = "stdout: true\nno_rules: true\ncoverage: {interval: 0}\n" if name == "taffrail-sensor" else f"listen: unix:{tmp_path}/s\ndata: {tmp_path}/d\n"
    for version, log in (("one", "text"), ("two", "json")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "taffrail.yaml").write_text(f"{more}log: {{format: {log}}}\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "taffrail.yaml").symlink_to("..data/taffrail.yaml")
    running = start(name, "--config", str(tmp_path / "taffrail.yaml"))
    running.ready()
    (tmp_path / "..new").symlink_to("two")
    os.rename(tmp_path / "..new", tmp_path / "..data")
    running.wait_for(lambda: any(READ in line for line in running.log))
    told = json.loads(next(line for line in running.log if READ in line))
    assert (told["level"], told["program"]) == ("info", name) and told["msg"].startswith(READ)
    assert running.end() == 0


def test_a_collector_takes_rights_and_tells_the_rest(start, tmp_path, config):
    papers = Papers(str(tmp_path / "ca"))

    def text(reader, more=""):
        return (f"listen: 'unix:{tmp_path}/s'\ndata: {tmp_path}/d\nallow: [sensor.taffrail]\n{reader}{more}"
                f"tls: {{ca: {papers.folder}/ca.pem, cert: {papers.folder}/collector.pem, key: {papers.folder}/collector.key}}\n")

    def reads():
        return run("taffrail", "status", "--data", f"unix:{tmp_path}/s", "--tls-ca", f"{papers.folder}/ca.pem", "--tls-cert", f"{papers.folder}/reader.pem",
                   "--tls-key", f"{papers.folder}/reader.key", "--tls-name", "localhost")

    config.write(text(""))
    collector = start("taffrail-collector", "--config", config.path)
    collector.ready()
    done = reads()
    assert done.returncode == 3 and "may read here" in done.stderr, done
    again(collector, config, text("allow_reader: [reader.taffrail]\n", f"output: ['ecs-json:{tmp_path}/out']\n"))
    assert [line for line in collector.log if "restart" in line] == ["taffrail-collector: warning: output has changed: that takes a restart"]
    assert reads().returncode == 0
    again(collector, config, "listen: nowhere\n", "the new configuration is refused")
    assert reads().returncode == 0
    again(collector, config, text("allow_reader: [nobody]\n"))
    assert reads().returncode == 3
    assert collector.end() == 0


def test_a_sensor_without_a_file_lives_through_a_hangup(start):
    running = start("taffrail-sensor", "--stdout", "--no-rules", "--set", "coverage.interval=0")
    running.ready()
    running.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert running.end() == 0
    assert not any(re.search("configuration", line) for line in running.log)
