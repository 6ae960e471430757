# SPDX-License-Identifier: Apache-2.0
"""Options and exit codes: wrong usage or a wrong option value exits 2, --help exits 0, and all of it is readable."""
import os
import re

import pytest
from conftest import program, run

PROGRAMS = ["taffrail-sensor", "taffrail-collector", "taffrail"]

# What the contract promises by name.
OPTIONS = {
    "taffrail-sensor": ["--stdout", "--config", "--set", "--cri", "--collector", "--host", "--record", "--replay", "--tls-ca", "--tls-cert", "--tls-key",
                        "--insecure"],
    "taffrail-collector": ["--listen", "--data", "--output", "--config", "--set", "--tls-ca", "--tls-cert", "--tls-key", "--insecure", "--allow",
                           "--allow-reader"],
    "taffrail": ["watch", "status", "rules"],
}


def one_sentence(done, status):
    """Nothing on stdout, one line on stderr; the line."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) > 10
    return lines[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_exits_0_on_stdout(name):
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in OPTIONS[name]:
        assert re.search(rf"(^|\s){re.escape(option)}\b", done.stdout), f"{option} is not in --help"


@pytest.mark.parametrize("command", [["taffrail-sensor"], ["taffrail-collector"], ["taffrail"], ["taffrail", "watch"], ["taffrail", "status"],
                                     ["taffrail", "rules"]], ids=" ".join)
def test_help_fits_a_terminal_of_80_by_24(command):
    done = run(*command, "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 3 < len(lines) <= 23, f"{len(lines)} lines, and the prompt needs one"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout and "\t" not in done.stdout


def test_help_of_watch_names_its_options():
    text = run("taffrail", "watch", "--help").stdout
    for option in ["--pod", "--namespace", "--kind", "--json", "--collector", "--tls-ca", "--tls-cert", "--tls-key", "--insecure"]:
        assert option in text


def test_help_of_status_names_its_options_and_exit_codes():
    text = run("taffrail", "status", "--help").stdout
    for word in ["--data", "--host", "--json", "--tls-ca", "--tls-cert", "--tls-key", "--tls-name", "--insecure", "0 all", "1 one", "2 wrong", "3 DIR"]:
        assert word in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_version_is_one_line(name):
    done = run(name, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+ \(commit ([0-9a-f]{{12}}(-dirty)?|unknown)(, rules sha256:[0-9a-f]{{64}})?\)\n", done.stdout)
    assert ("rules" in done.stdout) == (name == "taffrail-sensor")


@pytest.mark.parametrize("command", [["taffrail-sensor"], ["taffrail-collector"], ["taffrail"], ["taffrail", "watch"], ["taffrail", "status"]],
                         ids=" ".join)
@pytest.mark.parametrize("option", ["--no-such-option", "-Z"])
def test_unknown_option_exits_2_and_is_named(command, option):
    line = one_sentence(run(*command, option), 2)
    assert line.startswith(command[0] + ": ")
    assert option.lstrip("-") in line and "--help" in line


@pytest.mark.parametrize("command", [
    ["taffrail-sensor", "--config"],
    ["taffrail-sensor", "--set"],
    ["taffrail-sensor", "--cri"],
    ["taffrail-sensor", "--collector"],
    ["taffrail-sensor", "--record"],
    ["taffrail-sensor", "--replay"],
    ["taffrail-collector", "--listen"],
    ["taffrail-collector", "--data"],
    ["taffrail-collector", "--output"],
    ["taffrail", "watch", "--pod"],
    ["taffrail", "status", "--data"],
], ids=" ".join)
def test_option_without_its_value_exits_2(command):
    line = one_sentence(run(*command), 2)
    assert command[-1].lstrip("-") in line


@pytest.mark.parametrize("command", [
    ["taffrail-sensor", "surplus"],
    ["taffrail-collector", "surplus"],
    ["taffrail", "watch", "surplus"],
    ["taffrail", "status", "--data", "/tmp", "surplus"],
    ["taffrail", "surplus"],
], ids=" ".join)
def test_surplus_word_exits_2_and_is_named(command):
    assert "surplus" in one_sentence(run(*command), 2)


@pytest.mark.parametrize("value", ["nonsense", "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", ":1", "[::1:5", "unix:"])
@pytest.mark.parametrize("where", ["sensor", "listen", "watch"])
def test_wrong_address_exits_2(where, value, tmp_path):
    command = {
        "sensor": ["taffrail-sensor", "--collector", value],
        "listen": ["taffrail-collector", "--listen", value, "--data", str(tmp_path / "data")],
        "watch": ["taffrail", "watch", "--collector", value],
    }[where]
    line = one_sentence(run(*command), 2)
    assert value in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value", ["192.0.2.1:7443", "0.0.0.0:0", "[::]:0"])
def test_plain_text_is_for_loopback_only(value, tmp_path):
    """Another machine could read along, or speak for a sensor: refused before anything is opened."""
    line = one_sentence(run("taffrail-collector", "--listen", value, "--data", str(tmp_path / "data")), 2)
    assert value in line and re.search(r"loopback|unix", line)


@pytest.mark.parametrize("value", ["nonsense", "nonsense:/x", "ecs-json", "ecs-json:"])
def test_wrong_output_exits_2(value, tmp_path):
    line = one_sentence(run("taffrail-collector", "--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"), "--output", value), 2)
    assert value in line


@pytest.mark.parametrize("value", ["127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", ":1", "[::1:5", "unix:"])
def test_status_of_a_wrong_address_exits_2(value):
    assert value in one_sentence(run("taffrail", "status", "--data", value), 2)


def test_status_needs_to_know_of_what():
    assert "--data" in one_sentence(run("taffrail", "status"), 2)
    assert "192.0.2.1:7443" in one_sentence(run("taffrail", "status", "--data", "192.0.2.1:7443"), 2), "plain text to another machine"


def test_wrong_kind_exits_2():
    assert "nonsense" in one_sentence(run("taffrail", "watch", "--kind", "nonsense"), 2)


def test_stdout_and_collector_exclude_each_other():
    one_sentence(run("taffrail-sensor", "--stdout", "--collector", "127.0.0.1:1"), 2)


@pytest.mark.parametrize("options", [
    ["--record", "/tmp/x", "--replay", "/tmp/y", "--stdout"],
    ["--record", "/tmp/x", "--stdout", "--collector", "127.0.0.1:1"],
    ["--replay", "/tmp/x", "--stdout", "--collector", "127.0.0.1:1"],
    ["--replay", "/tmp/x"],
], ids=" ".join)
def test_recordings_options_exclude_each_other(options):
    one_sentence(run("taffrail-sensor", *options), 2)


def test_hooks_are_one_of_three():
    assert '"kprobe"' in one_sentence(run("taffrail-sensor", "--stdout", "--set", "hooks=kprobe"), 2)


def test_command_is_needed():
    assert "--help" in one_sentence(run("taffrail"), 2)


def test_collector_needs_to_know_where():
    assert "--listen" in one_sentence(run("taffrail-collector"), 2)


def test_help_survives_a_closed_pipe():
    """`--help | head -1` is no crash."""
    read, write = os.pipe()
    os.close(read)
    import subprocess
    done = subprocess.run([program("taffrail-sensor"), "--help"], stdout=write, stderr=subprocess.PIPE, timeout=20)
    os.close(write)
    assert done.returncode in (0, 1, -13) and b"Sanitizer" not in done.stderr
