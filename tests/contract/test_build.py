# SPDX-License-Identifier: Apache-2.0
"""Which program speaks: version, commit, and the hashes of its rules and its configuration, as taffrail status and /metrics tell them."""
import hashlib
import json
import os
import re
import signal

from conftest import run
from test_http import Pages, eventually

RULE = "- rule: {0}\n  desc: x\n  condition: evt.type = execve and proc.name = {0}\n  output: x\n  priority: NOTICE\n"


def digest(*paths):
    """As docs/stream.md says it."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        total.update(len(data).to_bytes(8, "little") + data)
    return "sha256:" + total.hexdigest()


def programs(where):
    """Those that speak; without a host and an epoch."""
    told = json.loads(run("taffrail", "status", "--data", where, "--json").stdout).get("programs")
    return told and [{key: value for key, value in one.items() if key not in ("host", "epoch")} for one in told]


def info(pages, name):
    """The labels of a metric whose value is 1: it is there once."""
    (labels, number), = [(dict(labels), number) for (one, labels), number in pages.metrics().items() if one == name]
    assert number == 1
    return labels


def test_status_tells_what_speaks_and_with_which_rules(start, tmp_path):
    address, config, rules = f"unix:{tmp_path}/s", tmp_path / "taffrail.yaml", tmp_path / "rules"
    rules.mkdir()
    (rules / "b.yaml").write_text(RULE.format("b"))
    (rules / "a.yaml").write_text(RULE.format("a"))
    config.write_text(f"collector: ['{address}']\nrules: [{rules}]\n")

    def collect():
        collector = start("taffrail-collector", "--listen", address, "--data", str(tmp_path / "data"), "--set", "log.level=debug", "--http", f"unix:{tmp_path}/ch")
        collector.ready()
        return collector

    collector = collect()
    sensor = start("taffrail-sensor", "--config", str(config), "--set", "coverage.interval=0", "--set", "rule_matching=first", "--set", "drain=0s",
                   "--http", f"unix:{tmp_path}/sh")
    sensor.ready()
    built = re.fullmatch(r"taffrail-sensor (\S+) \(commit (\S+), rules .*\)\n", run("taffrail-sensor", "--version").stdout)
    expected = {"version": built.group(1), "commit": built.group(2), "rules": digest(rules / "a.yaml", rules / "b.yaml"), "configuration": digest(config)}
    sensor.wait_for(lambda: programs(address))
    assert programs(address) == [expected]
    table = run("taffrail", "status", "--data", address).stdout
    assert f"sensor {built.group(1)}, commit {built.group(2)}, rules {expected['rules'][:19]}\n" in table
    assert any(f"version {built.group(1)}, commit {built.group(2)}, rules {expected['rules']}, configuration {expected['configuration']}" in line
               for line in collector.log)
    pages = Pages(sensor)
    for one, name in ((pages, "taffrail_sensor_build_info"), (Pages(collector), "taffrail_collector_build_info")):
        assert info(one, name) == {"version": built.group(1), "commit": built.group(2)}
    assert info(pages, "taffrail_sensor_ruleset_info") == {"hash": expected["rules"]} and pages.metric("taffrail_sensor_rules") == 2
    # Other rules: with the next hello.
    (rules / "b.yaml").write_text(RULE.format("c"))
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait_for(lambda: any("rules loaded" in line for line in sensor.log))
    expected["rules"] = digest(rules / "a.yaml", rules / "b.yaml")
    assert any(f"2 rules loaded ({expected['rules']})" in line for line in sensor.log)
    eventually(lambda: info(pages, "taffrail_sensor_ruleset_info") == {"hash": expected["rules"]})
    assert collector.end() == 0
    collect()
    sensor.wait_for(lambda: programs(address))
    assert programs(address) == [expected]
    assert sensor.end() == 0
    assert programs(address) == [], "nobody speaks"
    assert programs(str(tmp_path / "data")) is None, "a directory does not tell"


def test_the_own_rules_have_the_hash_that_the_version_names(start, tmp_path):
    collector = start("taffrail-collector", "--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"))
    collector.ready()
    sensor = start("taffrail-sensor", "--collector", f"unix:{tmp_path}/s", "--set", "coverage.interval=0", "--set", "rule_matching=first",
                   "--http", f"unix:{tmp_path}/h")
    sensor.ready()
    own = re.search(r"rules (sha256:[0-9a-f]{64})\)", run("taffrail-sensor", "--version").stdout).group(1)
    sensor.wait_for(lambda: programs(f"unix:{tmp_path}/s"))
    told, = programs(f"unix:{tmp_path}/s")
    assert (told["rules"], told["configuration"]) == (own, "none")
    assert info(Pages(sensor), "taffrail_sensor_ruleset_info") == {"hash": own}
    packs = sorted(os.path.join("deploy/rules", name) for name in os.listdir(os.path.join(os.path.dirname(__file__), "../../deploy/rules")) if name.endswith(".yaml"))
    assert own == digest(*(os.path.join(os.path.dirname(__file__), "../..", path) for path in packs))
    assert sensor.end() == 0
