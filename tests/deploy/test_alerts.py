# SPDX-License-Identifier: Apache-2.0
"""Dashboard and alerts: they ask for what there is, and an alert comes when it is due."""
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from programs import ROOT, run

RULES = os.path.join(ROOT, "deploy", "prometheus", "taffrail.rules.yaml")
TESTS = os.path.join(ROOT, "tests", "deploy", "alerts.test.yaml")
DASHBOARD = os.path.join(ROOT, "deploy", "grafana", "taffrail.json")
# What Prometheus adds to every sample.
TARGET = {"instance", "job"}
WORDS = {"sum", "by", "rate", "increase", "count", "max", "max_over_time", "delta", "time", "and", "or", "offset", "vector", "s", "m", "h", "d"}
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool (Debian's prometheus)")


def metrics():
    """{name: labels}, of both programs."""
    found = {}
    for program in ("taffrail-sensor", "taffrail-collector"):
        done = run(program, "--help=metrics")
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines()[2:]:
            cells = [cell.strip() for cell in line.split(" | ")]
            found[re.search(r"`(\w+)`", cells[0]).group(1)] = set(re.findall(r"`(\w+)`", cells[2]))
    assert len(found) > 60
    return found


def rules():
    with open(RULES, encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def queries():
    """(where, expression, labels that are spoken of beside it)."""
    for rule in rules():
        said = " ".join(rule["annotations"].values())
        yield rule["alert"], rule["expr"], set(re.findall(r"\$labels\.(\w+)", said))
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            yield variable["name"], metric, {label}


QUERIES = list(queries())


@pytest.mark.parametrize("where, expression, spoken", QUERIES, ids=[f"{number}-{query[0]}" for number, query in enumerate(QUERIES)])
def test_what_is_asked_for_is_there(where, expression, spoken):
    there = metrics()
    asked = set(re.findall(r"\b(?:taffrail|process)_\w+", expression))
    assert asked and asked <= set(there), asked - set(there)
    labels = TARGET.union(*(there[name] for name in asked))
    for name, matchers in re.findall(r"\b((?:taffrail|process)_\w+)\{([^}]*)\}", expression):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= there[name] | TARGET, (name, used)
    for names in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {name.strip() for name in names.split(",")} <= labels, names
    assert spoken <= labels, spoken - labels
    # Nothing else is a name: a metric that is misspelt would be one.
    rest = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|\b(?:taffrail|process)_\w+', " ", expression)
    assert set(re.findall(r"[A-Za-z_]+", rest)) <= WORDS, expression


def test_each_alert_says_what_is_wrong_and_is_tested():
    with open(TESTS, encoding="utf-8") as file:
        tests = [test for one in yaml.safe_load(file)["tests"] for test in one["promql_expr_test"]]
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning") and rule["annotations"]["summary"]
        mine = [test for test in tests if f'alertname="{rule["alert"]}"' in test["expr"]]
        assert sorted(len(test["exp_samples"]) for test in mine) == [0, 1], rule["alert"]


def test_panels_have_places_of_their_own():
    with open(DASHBOARD, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@promtool
@pytest.mark.parametrize("arguments", [("check", "rules", RULES), ("test", "rules", TESTS)], ids=["check", "test"])
def test_promtool_agrees(arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0 and "SUCCESS" in done.stdout and "FAILED" not in done.stdout, done.stdout + done.stderr
