# SPDX-License-Identifier: Apache-2.0
"""A sensor that judges: what a finding says, how often it is told, and rules that change while it runs."""
import json
import os
import signal
import time

import pytest
from conftest import run
from programs import loader_of
from test_http import Pages, eventually

LOADED = "rules loaded"


def rule(name, nonce, output="ran %proc.cmdline"):
    return f"""- rule: {name}
  desc: somebody runs {nonce}
  condition: evt.type in (execve, execveat) and evt.res=SUCCESS and proc.args contains {nonce}
  output: "{output}"
  priority: WARNING
  tags: [container, mitre_execution, T1059]
"""


def has_loaded_programs(pid):
    try:
        folder = f"/proc/{loader_of(pid)}/fd"
        return any("bpf" in os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder))
    except (FileNotFoundError, ValueError):
        return False  # it is not there yet, or one was closed meanwhile


@pytest.fixture
def sensor(start, tmp_path):
    def starter(text, *options):
        path = tmp_path / "rules.yaml"
        path.write_text(text)
        running = start("taffrail-sensor", "--stdout", "--set", "coverage.interval=0", "--rules", str(path), *options)
        running.ready()
        return running, path

    return starter


def findings(running, name=None):
    return [one for one in running.documents()
            if one["event"]["kind"] == "alert" and "priority" in one.get("taffrail", {}).get("rule", {})
            and one["event"]["action"] == "exec" and name in (None, one["rule"]["name"])]


def test_what_a_finding_says(sensor, container, tmp_path):
    running, path = sensor(rule("A nonce", "nonce-1", "pid %proc.pid ran %proc.cmdline as %user.name, %fd.name"), "--http", f"unix:{tmp_path}/http")
    pid = container.run("/bin/true", "nonce-1")
    finding = running.wait_for(lambda: findings(running))[0]
    own = finding["taffrail"]["rule"]
    assert finding["rule"] == {"name": "A nonce", "description": "somebody runs nonce-1", "ruleset": str(path)}
    assert finding["message"] == f"pid {pid} ran true nonce-1 as 0, <NA>"
    assert finding["event"]["severity"] == 4 and own["priority"] == "Warning"
    assert own["output_fields"] == {"proc.pid": pid, "proc.cmdline": "true nonce-1", "user.name": "0", "fd.name": None}
    assert finding["tags"] == ["container", "mitre_execution", "T1059"] and finding["threat"]["technique"]["id"] == ["T1059"]
    assert finding["container"]["id"] == container.id and finding["process"]["args"] == ["/bin/true", "nonce-1"]
    cause = next(one for one in running.documents() if one["event"]["kind"] == "event" and one["event"]["action"] == "exec"
                 and one["process"]["pid"] == pid)
    assert finding["taffrail"]["evidence"][:2] == [cause["event"]["id"], cause["taffrail"]["process"]["exec_id"]]
    assert finding["event"]["sequence"] == cause["event"]["sequence"] + 1
    pages = Pages(running)  # others on this machine may be found something of, too
    eventually(lambda: pages.metric("taffrail_sensor_findings_total") == sum("rule" in one for one in running.documents()))
    assert running.end() == 0 and len(findings(running)) == 1


def test_only_findings_as_falco_prints_them(sensor, container):
    running, _ = sensor(rule("A nonce", "nonce-2"), "--falco-json")
    container.run("/bin/true", "nonce-2")
    container.run("/bin/true", "another")
    running.wait_for(lambda: running.lines)
    assert running.end() == 0
    (line,) = running.lines
    finding = json.loads(line)
    assert set(finding) == {"hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"}
    assert (finding["rule"], finding["priority"], finding["output"]) == ("A nonce", "Warning", "ran true nonce-2")
    assert finding["time"].endswith("Z") and len(finding["time"]) == len("2026-01-02T03:04:05.123456789Z")


def test_expressions_that_are_given_up_are_told_once_and_of_whom(sensor, container):
    text = rule("Costly", "nonce-9").replace("proc.args contains nonce-9", "proc.args regex '(a|aa)+[bc]'")
    running, _ = sensor(text)
    for _ in range(5):
        container.run("/bin/true", "a" * 200)
        time.sleep(0.2)
    assert running.end() == 0
    told = [one for one in running.documents() if one.get("rule", {}).get("name") == "A rule's regular expression is too costly"]
    assert [one["container"]["id"] for one in told] == [container.id] * 2  # the first at once, the others at the end
    assert [one["message"].split()[0] for one in told] == ["1", "4"]
    assert all(one["message"].endswith('for the rule "Costly"') for one in told)


def test_no_rules_no_findings(start, container):
    running = start("taffrail-sensor", "--stdout", "--no-rules", "--set", "coverage.interval=0")
    running.ready()
    container.run("/bin/true", "nonce-3")
    running.wait_for(lambda: any(one["event"]["action"] == "exec" for one in running.documents()))
    assert running.end() == 0 and not any("rule" in one for one in running.documents())


@pytest.mark.parametrize("matching, wanted", [("first", ["One"]), ("all", ["One", "Two"])])
def test_first_match_or_all(sensor, container, matching, wanted):
    running, _ = sensor(rule("One", "nonce-4") + rule("Two", "nonce-4"), "--set", f"rule_matching={matching}")
    container.run("/bin/true", "nonce-4")
    running.wait_for(lambda: findings(running))
    assert running.end() == 0
    assert [one["rule"]["name"] for one in findings(running)] == wanted


def test_what_is_held_back_is_counted(sensor, container):
    running, _ = sensor(rule("Often", "nonce-5"), "--set", "findings.limit=3", "--set", "findings.window=1h")
    container.run("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true nonce-5; done")
    running.wait_for(lambda: len(findings(running)) >= 3)
    assert running.end() == 0
    held = [one for one in running.documents() if one["event"]["action"] == "findings_suppressed"]
    # The shell's own arguments hold the word too: eleven.
    assert len(findings(running)) == 3 and [one["taffrail"]["rule"]["suppressed"] for one in held] == [8]
    assert held[0]["rule"]["name"] == "Often" and held[0]["container"]["id"] == container.id


def test_rules_are_read_again_on_hangup_and_no_event_is_lost(sensor, container):
    running, path = sensor(rule("Before", "nonce-6"))
    work = container.start("/bin/sh", "-c", "i=0; while [ $i -lt 400 ]; do /bin/true nonce-6; i=$((i + 1)); done")
    running.wait_for(lambda: len(findings(running, "Before")) > 3)
    path.write_text(rule("After", "nonce-6"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(lambda: findings(running, "After"))
    assert work.wait(60) == 0 and running.end() == 0
    ran = [one for one in running.documents() if one["event"]["kind"] == "event" and one["event"]["action"] == "exec"
           and one["process"].get("args") == ["/bin/true", "nonce-6"]]
    assert len(ran) == 400
    assert not any(one["event"]["action"] == "events_lost" for one in running.documents())


def test_a_swapped_link_is_another_set(start, container, tmp_path):
    """As a ConfigMap's directory changes."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(rule(name, "nonce-7"))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "rules.yaml").symlink_to("../..data/rules.yaml")
    running = start("taffrail-sensor", "--stdout", "--set", "coverage.interval=0", "--rules", str(tmp_path / "mounted"))
    running.ready()
    container.run("/bin/true", "nonce-7")
    running.wait_for(lambda: findings(running, "one"))
    (tmp_path / "..new").symlink_to("two")
    os.rename(tmp_path / "..new", tmp_path / "..data")
    running.wait_for(lambda: any(LOADED in line for line in running.log))
    container.run("/bin/true", "nonce-7")
    running.wait_for(lambda: findings(running, "two"))


def test_what_changes_while_the_sensor_starts_is_loaded(start, container, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(rule("Before", "nonce-10"))
    running = start("taffrail-sensor", "--stdout", "--set", "coverage.interval=0", "--rules", str(path))
    running.wait_for(lambda: has_loaded_programs(running.process.pid))  # which comes after the rules
    path.write_text(rule("After", "nonce-10"))
    assert not any(": ready" in line for line in running.log)
    running.wait_for(lambda: any(LOADED in line for line in running.log))
    container.run("/bin/true", "nonce-10")
    running.wait_for(lambda: findings(running, "After"))


def test_a_file_with_errors_keeps_the_rules_and_is_an_alarm(sensor, container):
    running, path = sensor(rule("Old", "nonce-8"))
    path.write_text(rule("New", "nonce-8").replace("proc.args", "proc.nosuch"))
    alarm = running.wait_for(lambda: [one for one in running.documents() if one["event"]["action"] == "rules_refused"])[0]
    assert alarm["rule"]["name"] == "Rules cannot be loaded" and alarm["event"]["kind"] == "alert"
    assert f"{path}:" in alarm["message"] and "proc.nosuch" in alarm["message"]
    container.run("/bin/true", "nonce-8")
    running.wait_for(lambda: findings(running, "Old"))


def test_an_empty_folder_is_no_set_of_rules(start, container, tmp_path):
    folder = tmp_path / "rules.d"
    folder.mkdir()
    for how in ("--stdout", "--check"):
        done = run("taffrail-sensor", how, "--rules", str(folder))
        assert done.returncode == 1 and "not one rule" in done.stderr, done.stderr
    (folder / "rules.yaml").write_text(rule("Old", "nonce-11"))
    running = start("taffrail-sensor", "--stdout", "--set", "coverage.interval=0", "--rules", str(folder))
    running.ready()
    (folder / "rules.yaml").unlink()
    running.wait_for(lambda: [one for one in running.documents() if one["event"]["action"] == "rules_refused"])
    container.run("/bin/true", "nonce-11")
    running.wait_for(lambda: findings(running, "Old"))


def test_rules_with_errors_at_the_start(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(rule("New", "nonce").replace("proc.args", "proc.nosuch"))
    done = run("taffrail-sensor", "--stdout", "--rules", str(path))
    assert done.returncode == 1 and f"{path}:3:" in done.stderr and "proc.nosuch" in done.stderr and not done.stdout


@pytest.mark.parametrize("options, word", [(("--rules", "/x", "--no-rules"), "exclude"), (("--falco-json",), "--stdout"),
                                           (("--set", "rule_matching=some"), "first or all")])
def test_wrong_options(options, word):
    done = run("taffrail-sensor", "--collector", "unix:/x", *options)
    assert done.returncode == 2 and word in done.stderr


def test_check_says_which_calls_are_watched_and_for_whom(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(rule("Renames", "x").replace("evt.type in (execve, execveat)", "evt.type in (rename, renameat2)"))
    done = run("taffrail-sensor", "--check", "--json", "--rules", str(path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls"] == [{"call": name, "record": False, "rules": 1, "first": "Renames"}
                                                for name in ("rename", "renameat2")]
    done = run("taffrail-sensor", "--check", "--rules", str(path))
    assert "  rename        1 rule: Renames\n" in done.stdout
    assert "by need, and who needs them:\n  none\n" in run("taffrail-sensor", "--check", "--no-rules").stdout


RECEIVE = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer = server.accept()[0]
for word in sys.argv[1:]:
    client.sendall(bytes.fromhex(word))
    peer.recv(4096)
"""
DATA_RULES = """- rule: Class file
  desc: as Falco's rule has it
  condition: evt.type in (recvfrom, recvmsg) and fd.type in (ipv4, ipv6) and proc.exepath contains python and evt.buffer bcontains cafebabe
  output: "from %fd.rip by %fd.l4proto"
  priority: WARNING
- rule: Quoted
  desc: its output names the bytes
  condition: evt.type=recvfrom and evt.buffer startswith QUOTED
  output: "got %evt.buffer"
  priority: WARNING
"""


def test_what_is_received_is_judged_where_a_rule_asks_and_kept_nowhere(sensor, container):
    running, path = sensor(rule("A nonce", "nonce-0"))

    def received():
        return [one for one in running.documents() if one["event"]["action"] == "receive"]

    def receive(*words):
        container.run("/usr/bin/python3", "-c", RECEIVE, *words)

    def reload(text, number):
        path.write_text(text)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(lambda: f"{number} {LOADED}" in "".join([line for line in running.log if LOADED in line][-1:]))

    class_file = "534543524554cafebabe00"  # SECRET, and what a class file begins with
    receive(class_file)
    reload(DATA_RULES, 2)
    receive(class_file, "534543524554cafebabf00", "51554f54454420ff00")
    running.wait_for(lambda: len(received()) == 2)
    reload(rule("A nonce", "nonce-0"), 1)
    receive(class_file)
    container.run("/bin/true", "nonce-0")
    running.wait_for(lambda: findings(running, "A nonce"))
    assert running.end() == 0
    found = {one["rule"]["name"]: one for one in received()}
    assert len(received()) == 2 and found["Class file"]["message"] == "from 127.0.0.1 by tcp"
    assert found["Quoted"]["taffrail"]["rule"]["output_fields"] == {"evt.buffer": "QUOTED \\xff\0"}
    assert not any("SECRET" in json.dumps(one) for one in running.documents())


def test_check_says_where_data_is_watched(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(rule("Words", "x").replace("evt.type in (execve, execveat)", "evt.type = recvfrom and evt.buffer contains secret"))
    done = run("taffrail-sensor", "--check", "--json", "--rules", str(path))
    assert json.loads(done.stdout)["calls"] == [{"call": "recvfrom", "record": False, "rules": 1, "data": True, "first": "Words"}]
    assert "  recvfrom      with its data 1 rule: Words\n" in run("taffrail-sensor", "--check", "--rules", str(path)).stdout
