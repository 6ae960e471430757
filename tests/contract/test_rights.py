# SPDX-License-Identifier: Apache-2.0
"""What the machine does not give: exit 1 and one sentence that says what is missing and what to do."""
import os
import re
import subprocess

from conftest import SLOW, program, run


def one_sentence(done):
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("taffrail-sensor: ")
    return lines[0]


def sensor(*command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * SLOW, **more)


def test_sensor_without_root(public):
    line = one_sentence(sensor(os.path.join(public, "taffrail-sensor"), "--stdout", user=65534, group=65534, extra_groups=[]))
    assert re.search(r"\broot\b|CAP_BPF", line)


def test_sensor_as_root_without_the_right_to_bpf():
    line = one_sentence(sensor("setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin,-net_admin", program("taffrail-sensor"), "--stdout"))
    assert "CAP_BPF" in line


def test_sensor_without_btf():
    """A mount namespace of its own in which the kernel's type information is hidden."""
    line = one_sentence(sensor("unshare", "--mount", "sh", "-c",
                               'mount -t tmpfs none /sys/kernel/btf && exec "$0" --stdout', program("taffrail-sensor")))
    assert "BTF" in line


def test_collector_with_a_file_where_its_data_should_be(tmp_path):
    (tmp_path / "data").write_text("in the way")
    done = run("taffrail-collector", "--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"))
    assert done.returncode == 1 and done.stdout == ""
    assert str(tmp_path / "data") in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_collector_that_may_not_write_its_data(public):
    done = subprocess.run([os.path.join(public, "taffrail-collector"), "--listen", "127.0.0.1:0", "--data", "/proc/self/nowhere"],
                          capture_output=True, text=True, timeout=20 * SLOW, user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1 and "/proc/self/nowhere" in done.stderr and len(done.stderr.splitlines()) == 1


def test_collector_whose_address_is_taken(start, tmp_path):
    address = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "a")).ready()
    done = run("taffrail-collector", "--listen", address, "--data", str(tmp_path / "b"))
    assert done.returncode == 1 and address in done.stderr


def test_watch_without_a_collector(tmp_path):
    done = run("taffrail", "watch", "--collector", f"unix:{tmp_path}/nobody")
    assert done.returncode == 1 and done.stdout == ""
    assert f"{tmp_path}/nobody" in done.stderr and len(done.stderr.splitlines()) == 1
