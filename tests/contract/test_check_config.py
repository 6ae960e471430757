# SPDX-License-Identifier: Apache-2.0
"""--check-config: everything is judged, nothing is touched; and the log as logfmt and JSON."""
import json
import os
import re
import subprocess

import pytest
from conftest import run

RULE = """
- rule: A shell
  desc: a shell
  condition: evt.type = execve and proc.name = sh
  output: shell
  priority: NOTICE
"""


@pytest.fixture
def write(tmp_path):
    def make(text, name="taffrail.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)
    return make


def test_a_sensor_says_what_it_found(write, tmp_path):
    rules = write(RULE, "rules.yaml")
    path = write(f"collector: [127.0.0.1:7443]\nspool: {{dir: {tmp_path}/spool}}\nrules: [{rules}]\nrecord: {{leave_out: [{{kinds: [open]}}]}}\n")
    done = run("taffrail-sensor", "--check-config", "--config", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"taffrail-sensor: the configuration is right \(sha256:[0-9a-f]{{64}}\): collectors: 1, by plain text, "
                        rf"spool {re.escape(str(tmp_path))}/spool, rules: 1 \(sha256:[0-9a-f]{{64}}\), record: 1 rules\n", done.stdout)
    assert sorted(os.listdir(tmp_path)) == ["rules.yaml", "taffrail.yaml"], "it made something"


def test_a_collector_says_what_it_found_and_makes_nothing(tmp_path):
    done = run("taffrail-collector", "--check-config", "--listen", f"unix:{tmp_path}/socket", "--data", str(tmp_path / "data"),
               "--output", f"ecs-json:{tmp_path}/out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("taffrail-collector: the configuration is right (none): listens on unix:") and done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_it_needs_no_rights(public):
    for name, arguments in {"taffrail-sensor": ["--stdout"], "taffrail-collector": ["--listen", "127.0.0.1:0", "--data", "/absent/data"]}.items():
        done = subprocess.run([os.path.join(public, name), "--check-config", *arguments], capture_output=True, text=True, timeout=20,
                              user=65534, group=65534, extra_groups=[])
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name, text, line, words", [
    ("taffrail-sensor", "stdout: true\n\nhooks: best\n", 3, 'hooks "best"'),
    ("taffrail-sensor", "collector: ['10.1.2.3:7443']\n", 1, "plain text is for loopback"),
    ("taffrail-sensor", "spool:\n  fsync: often\n  dir: /x\ncollector: unix:/x\n", 2, 'spool.fsync "often"'),
    ("taffrail-sensor", "stdout: true\nsamples:\n  leave_out: [here]\n", 3, "samples.leave_out"),
    ("taffrail-sensor", "stdout: true\nlog: {level: loud}\n", 2, 'log.level "loud"'),
    ("taffrail-sensor", "stdout: true\noutbound:\n  scan: {hosts: 1}\n", 3, "hosts"),
    ("taffrail-collector", "data: /x\nlisten: nowhere\n", 2, '--listen "nowhere"'),
    ("taffrail-collector", "data: /x\nlisten: unix:/x\n# so\noutput: [fax:1]\n", 4, "fax"),
    ("taffrail-collector", "data: /x\nlisten: unix:/x\nallow: ['*']\n", 3, "--allow is about names in certificates"),
    ("taffrail-collector", "data: /x\nlisten: unix:/x\ntls: {ca: /x}\n", 3, "--tls-cert is missing"),
    ("taffrail-collector", "data: /x\nlisten: unix:/x\nlog: {format: xml}\n", 3, 'log.format "xml"'),
])
def test_what_is_wrong_is_told_with_file_and_line(name, text, line, words, write):
    path = write(text)
    done = run(name, "--check-config", "--config", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path}:{line}: ") and words in done.stderr and done.stderr.count("\n") == 1


def test_rules_are_judged_too(write, tmp_path):
    rules = write(RULE + "- rule: Another\n  desc: x\n  condition: proc.nmae = sh\n  output: x\n  priority: NOTICE\n", "rules.yaml")
    done = run("taffrail-sensor", "--check-config", "--stdout", "--rules", rules)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(rf"{re.escape(rules)}:9:\d+: .*proc\.nmae", done.stderr), done.stderr
    done = run("taffrail-sensor", "--check-config", "--stdout", "--rules", str(tmp_path / "absent"))
    assert done.returncode == 2 and done.stderr.startswith(f"{tmp_path}/absent:1:")


def test_tls_files_are_judged_too(tmp_path):
    words = [word for option in ("ca", "cert", "key") for word in (f"--tls-{option}", str(tmp_path / option))]
    done = run("taffrail-sensor", "--check-config", "--collector", "127.0.0.1:1", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/ca: No such file" in done.stderr


# --- the log ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["taffrail-sensor", "taffrail-collector"])
def test_errors_are_json_where_that_is_asked_for(name, write):
    path = write("log:\n  format: json\nno_such_key: 1\n")
    done = run(name, "--log-format", "json", "--config", path)
    told = json.loads(done.stderr)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert (told["level"], told["program"], told["file"], told["line"]) == ("error", name, path, 3) and "no_such_key" in told["msg"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["ts"])


def test_a_collector_logs_json(start, tmp_path, write):
    path = write(f"listen: unix:{tmp_path}/socket\nlog: {{format: json}}\n")
    collector = start("taffrail-collector", "--config", path, "--data", str(tmp_path / "data"))
    collector.wait_for(lambda: collector.log)
    assert collector.end() == 0
    lines = [json.loads(line) for line in collector.log]
    assert lines[-1]["msg"] == f"ready unix:{tmp_path}/socket"
    assert all(line["program"] == "taffrail-collector" and line["level"] in ("info", "warning", "error") for line in lines)


def test_logfmt_and_the_level(start, tmp_path):
    done = run("taffrail-collector", "--log-format", "logfmt")
    assert re.fullmatch(r'ts=\S+Z level=error program=taffrail-collector msg="it needs --listen ADDR and --data DIR; try --help"\n', done.stderr)
    collector = start("taffrail-collector", "--listen", f"unix:{tmp_path}/socket", "--data", str(tmp_path / "data"), "--set", "log.level=error")
    collector.wait_for(lambda: os.path.exists(tmp_path / "socket"))
    assert collector.end() == 0
    assert collector.log == []
