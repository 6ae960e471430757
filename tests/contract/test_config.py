# SPDX-License-Identifier: Apache-2.0
"""The configuration: YAML, --set and options; what is wrong is said as FILE:LINE: REASON, with exit code 2."""
import os
import re
import subprocess

import pytest
from conftest import run

PROGRAMS = ["taffrail-sensor", "taffrail-collector"]


def refused(name, path, *arguments):
    """Runs with a configuration that must be refused; the line number and the reason that were given."""
    done = run(name, "--config", str(path), *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    first = done.stderr.splitlines()[0]
    match = re.fullmatch(rf"{re.escape(str(path))}:(\d+): (.+)", first)
    assert match, first
    return int(match.group(1)), match.group(2)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "taffrail.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path
    return write


@pytest.mark.parametrize("name", PROGRAMS)
def test_unknown_key_is_named_with_its_line(name, config):
    line, reason = refused(name, config("# a comment\n\nno_such_key: 1\n"))
    assert line == 3 and "no_such_key" in reason


def test_unknown_nested_key_is_named_with_its_line(config):
    line, reason = refused("taffrail-sensor", config("host:\n  name: here\n  nmae: there\n"))
    assert line == 3 and "nmae" in reason


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("text", ["a: [1,\n", "a:\n\t- b\n", "'", "{", "a: b: c\n", b"\xff\xfe\x00", "- a\n- b\n", "just words\n"])
def test_what_is_no_mapping_in_yaml_is_refused(name, text, config):
    line, _ = refused(name, config(text))
    assert line <= 3


def test_key_given_twice_is_refused(config):
    line, reason = refused("taffrail-sensor", config("host:\n  name: a\n  name: b\n"))
    assert line == 3 and "name" in reason


@pytest.mark.parametrize("text", ["rings:\n  critical: many\n", "rings:\n  critical: -1\n", "rings:\n  critical: [1, 2]\n", "rings:\n  critical:\n    a: 1\n"])
def test_wrong_type_is_refused(text, config):
    line, reason = refused("taffrail-sensor", config(text))
    assert line in (2, 3) and "critical" in reason


@pytest.mark.parametrize("text, line, words", [
    ("record: exec\n", 1, "record takes keys of its own"),
    ("record:\n  kinds: [exec]\n  leave_in: []\n", 3, "there is no key record.leave_in"),
    ("record:\n  kinds:\n    - exec\n    - opne\n", 4, "opne"),
    ("record:\n  leave_out:\n    - kinds: [open]\n      nmaespaces: [shop]\n", 4, "there is no key record.leave_out.nmaespaces"),
    ("record:\n  leave_out:\n    - kinds: [events_lost]\n", 3, "events_lost"),
    ("record:\n  leave_out:\n    - {}\n", 3, "of one at least"),
    ("record:\n  leave_out:\n    - paths:\n        - /proc/\n        - sys/\n", 5, "absolute paths"),
    ("record:\n  leave_out:\n    - modes: [reed]\n", 3, "read, write and create"),
    ("record:\n  leave_out:\n    - labels:\n        app: [[a]]\n", 4, "a label"),
])
def test_what_is_recorded_is_checked_before_anything_starts(text, line, words, config):
    said, reason = refused("taffrail-sensor", config(text), "--stdout")
    assert said == line and words in reason


def test_what_is_recorded_is_said_in_a_file_alone():
    done = run("taffrail-sensor", "--stdout", "--set", "record={kinds: [exec]}")
    assert done.returncode == 2 and "only a configuration file can say" in done.stderr and len(done.stderr.splitlines()) == 1


def test_aliases_do_not_explode(config):
    text = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi"))
    refused("taffrail-sensor", config(text))


@pytest.mark.parametrize("name", PROGRAMS)
def test_file_that_is_not_there(name, tmp_path):
    _, reason = refused(name, tmp_path / "absent.yaml")
    assert "No such file" in reason


@pytest.mark.parametrize("name", PROGRAMS)
def test_directory_is_no_file(name, tmp_path):
    refused(name, tmp_path)


def test_file_without_end(config):
    refused("taffrail-sensor", "/dev/zero")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("value", ["no_such_key=1", "no-equals-sign", "=1", ""])
def test_wrong_set_exits_2(name, value):
    done = run(name, "--set", value)
    assert done.returncode == 2 and done.stdout == ""
    assert value in done.stderr and len(done.stderr.splitlines()) == 1


def test_set_with_a_wrong_value_exits_2():
    done = run("taffrail-sensor", "--set", "rings.critical=many")
    assert done.returncode == 2 and "rings.critical" in done.stderr and "many" in done.stderr


def listens(start, tmp_path, *arguments):
    """The address a collector got ready with."""
    collector = start("taffrail-collector", "--data", str(tmp_path / "data"), *arguments)
    address = collector.ready()
    assert collector.end() == 0
    return address


def test_option_beats_set_beats_file(start, tmp_path, config):
    path = str(config(f"listen: unix:{tmp_path}/file\n"))
    by_set, by_option = f"listen=unix:{tmp_path}/set", f"unix:{tmp_path}/option"
    assert listens(start, tmp_path, "--config", path) == f"unix:{tmp_path}/file"
    assert listens(start, tmp_path, "--config", path, "--set", by_set) == f"unix:{tmp_path}/set"
    assert listens(start, tmp_path, "--set", by_set, "--config", path) == f"unix:{tmp_path}/set"
    assert listens(start, tmp_path, "--listen", by_option, "--set", by_set, "--config", path) == by_option


def test_file_that_may_not_be_read(public):
    path = os.path.join(public, "taffrail.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write("host: {}\n")
    os.chmod(path, 0)
    done = subprocess.run([os.path.join(public, "taffrail-sensor"), "--config", path], capture_output=True, text=True, timeout=20,
                          user=65534, group=65534, extra_groups=[])
    assert done.returncode == 2, done.stderr
    assert re.match(rf"{re.escape(path)}:\d+: .*[Pp]ermission denied", done.stderr), done.stderr
