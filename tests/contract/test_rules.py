# SPDX-License-Identifier: Apache-2.0
"""taffrail rules: what is wrong with files of rules, as text and as JSON, and what a rule compiles to."""
import json
import os
import re

import pytest
from conftest import run

GOOD = """- list: tools
  items: [nc, ncat]
- macro: spawned
  condition: (evt.type in (execve, execveat))
- rule: A tool
  desc: somebody runs a tool
  condition: spawned and proc.name in (tools)
  output: tool %proc.name of %user.name
  priority: WARNING
  tags: [container, T1059]
- rule: Off
  desc: it is off
  condition: evt.type=ptrace
  output: x
  priority: info
  enabled: false
"""
BAD = """- rule: B
  desc: d
  condition: >
    evt.type=open and
      proc.nosuch=3
  output: "%nothing.here"
  priority: loud
- macro: m
  condition: (proc.name=x
- rule: C
  desc: d
  condition: evt.type=open and nomacro
  output: o
  priority: info
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def check(*words):
    done = run("taffrail", "rules", "check", *map(str, words))
    assert done.stderr == ""
    return done


def test_what_loads_exits_0(files):
    done = check(files / "good.yaml")
    assert done.returncode == 0
    assert "2 rules, 1 macros, 1 lists" in done.stdout
    assert "error:" not in done.stdout


def test_json_counts_also_what_is_disabled(files):
    done = check("--json", files / "good.yaml")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"rules": 2, "macros": 1, "lists": 1, "errors": [], "warnings": []}


def test_all_problems_of_all_files_at_once(files):
    done = check(files / "bad.yaml", files / "good.yaml")
    assert done.returncode == 1
    name = files / "bad.yaml"
    for line in [f"{name}:7:13: error: ", f"{name}:9:26: error: ", f"{name}:12:32: error: there is no macro nomacro"]:
        assert line in done.stdout
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if ":12:32:" in line)
    assert lines[at + 1].strip() == "condition: evt.type=open and nomacro"
    assert lines[at + 2].index("^") == lines[at + 1].index("nomacro")


@pytest.mark.parametrize("before", ["", "\t", "äöü €😀 ", "x" * 200, "ä" * 300, "x, " * 2000])
@pytest.mark.parametrize("behind", ["", " or proc.name=ß", " or proc.name=€" * 300])
def test_the_caret_is_below_the_place(files, before, behind):
    condition = f"proc.name in ('{before}') or nomacro{behind}"
    line = f"  condition: {condition}"
    (files / "long.yaml").write_text(f"- rule: r\n  desc: d\n  output: o\n  priority: info\n{line}\n")
    lines = check(files / "long.yaml").stdout.splitlines()
    assert lines[0].split(": ")[0] == f"{files / 'long.yaml'}:5:{line.index('nomacro') + 1}"
    assert lines[1][lines[2].index("^"):].startswith("nomacro"), lines[:3]
    assert len(lines[1].encode()) < 270


def test_json_has_each_problem_with_its_place(files):
    done = check("--json", files / "bad.yaml")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert set(document) == {"rules", "macros", "lists", "errors", "warnings"}
    assert document["rules"] == 2 and document["macros"] == 1
    for problem in document["errors"] + document["warnings"]:
        assert set(problem) == {"file", "line", "column", "message"}
        assert problem["file"] == str(files / "bad.yaml")
    assert [12, 32] in [[problem["line"], problem["column"]] for problem in document["errors"]]


def test_files_are_one_set_in_order(files):
    (files / "more.yaml").write_text("- rule: A tool\n  append: true\n  condition: and proc.pname=bash\n")
    assert check(files / "good.yaml", files / "more.yaml").returncode == 0
    done = check(files / "more.yaml", files / "good.yaml")
    assert done.returncode == 1 and "there is no rule A tool before this" in done.stdout


def test_a_directory_is_its_files_in_the_order_of_their_names(files):
    folder = files / "rules.d"
    folder.mkdir()
    (folder / "20-more.yaml").write_text("- rule: A tool\n  append: true\n  condition: and proc.pname=bash\n")
    (folder / "10-good.yaml").write_text(GOOD)
    (folder / "README").write_text("no: rules")
    (folder / ".hidden.yaml").write_text("no: rules")
    assert check(folder).returncode == 0


def test_a_file_that_is_not_there_is_an_error(files):
    done = check(files / "none.yaml")
    assert done.returncode == 1
    assert done.stdout.startswith(f"{files / 'none.yaml'}:1:1: error: cannot be read: No such file")


def test_what_is_no_file_is_an_error_and_not_waited_for(files):
    folder = files / "rules.d"
    folder.mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    (folder / "folder.yaml").mkdir()
    done = check(folder)
    assert done.returncode == 1
    assert [line.split(": ")[1:] for line in done.stdout.splitlines()[:3]] == [["error", "is no file"]] * 3


def test_control_characters_do_not_reach_the_terminal(files):
    (files / "evil.yaml").write_bytes(b'- rule: "a\\x1b[31mb"\n  nosuch: 1\n')
    done = check(files / "evil.yaml")
    assert done.returncode == 1 and "\x1b" not in done.stdout


def test_explain_tells_calls_and_checks(files):
    done = run("taffrail", "rules", "explain", "A tool", str(files / "good.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "events: execve, execveat\n" in done.stdout
    assert 'proc.name in ("nc", "ncat")' in done.stdout
    assert "priority: Warning" in done.stdout


def test_explain_of_no_rule_exits_1(files):
    done = run("taffrail", "rules", "explain", "Nothing", str(files / "good.yaml"))
    assert done.returncode == 1 and "Nothing" in done.stderr
    assert run("taffrail", "rules", "explain", "B", str(files / "bad.yaml")).returncode == 1


@pytest.mark.parametrize("words", [[], ["check"], ["explain"], ["explain", "x"], ["nosuch", "x"], ["check", "--nosuch", "x"],
                                   ["explain", "--json", "x", "y"]], ids=" ".join)
def test_wrong_usage_exits_2(words):
    done = run("taffrail", "rules", *words)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


def test_help_fits_a_terminal():
    done = run("taffrail", "rules", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80


@pytest.mark.skipif(not os.environ.get("TAFFRAIL_FALCO_RULES"), reason="TAFFRAIL_FALCO_RULES says no folder of Falco's rules")
@pytest.mark.parametrize("name, rules", [("falco_rules.yaml", 25), ("falco-incubating_rules.yaml", 31)])
def test_upstream_files_load(name, rules):
    done = check("--json", os.path.join(os.environ["TAFFRAIL_FALCO_RULES"], name))
    document = json.loads(done.stdout)
    assert (done.returncode, document["errors"], document["rules"]) == (0, [], rules)


RULE = """
- rule: A file is made
  desc: whoever makes one
  condition: evt.type in (open, openat, openat2, creat) and evt.arg.flags contains O_CREAT and fd.name contains taffrail-nonce
  output: "made %fd.name"
  priority: NOTICE
"""


def finding_lines(tmp_path, events, *options):
    path = tmp_path / "r.yaml"
    path.write_text(RULE)
    return run("taffrail", "rules", "test", *options, "--events", str(events), str(path))


@pytest.mark.parametrize("events", ["/nonexistent", "/dev/null", "/tmp"])
def test_events_that_cannot_be_read(tmp_path, events):
    done = finding_lines(tmp_path, events)
    assert done.returncode == 1 and events in done.stderr, done.stderr


def test_rules_over_a_recording(tmp_path, start, container):
    recording = tmp_path / "recording"
    running = start("taffrail-sensor", "--record", str(recording), "--set", "coverage.interval=0")
    running.ready()
    made = tmp_path / "taffrail-nonce"
    container.run("/usr/bin/touch", str(made))
    assert running.end() == 0
    done = finding_lines(tmp_path, recording)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "Notice made" in line]
    assert len(lines) == 1 and lines[0].endswith(f"Notice made {made}"), done.stdout
    done = finding_lines(tmp_path, recording, "--json")
    finding = json.loads(done.stdout.splitlines()[0])
    assert finding["rule"] == "A file is made" and finding["priority"] == "Notice" and finding["source"] == "syscall"
    assert finding["output_fields"]["fd.name"] == str(made)


def test_rules_over_what_a_collector_has(tmp_path, start, container):
    data = tmp_path / "data"
    address = f"unix:{tmp_path}/socket"
    collector = start("taffrail-collector", "--listen", address, "--data", str(data))
    collector.ready()
    sensor = start("taffrail-sensor", "--collector", address, "--set", "coverage.interval=0")
    sensor.ready()
    made = tmp_path / "taffrail-nonce"
    container.run("/usr/bin/touch", str(made))
    assert sensor.end() == 0
    done = finding_lines(tmp_path, data)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.endswith(f"Notice made {made}")]) == 1, done.stdout
    finding = json.loads(finding_lines(tmp_path, data, "--json").stdout)
    assert finding["output_fields"] == {"fd.name": str(made)}
    assert re.search(r"^1 findings in \d+ events$", done.stderr, re.M)
