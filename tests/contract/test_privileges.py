# SPDX-License-Identifier: Apache-2.0
"""Who may do what: the worker, which reads strangers' bytes, has no rights; the loader has one, and ends with it."""
import os
import signal
import subprocess
import time

import pytest

from conftest import SLOW, once, program
from programs import children, loader_of

NET_RAW, DAC_READ_SEARCH, SYS_ADMIN, BPF = 13, 2, 21, 39


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


def capabilities(pid):
    return {name: int(status(pid)[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")}


def sensor(start, *more, **how):
    running = start("taffrail-sensor", "--stdout", "--cri", "/nonexistent/taffrail-test.sock", *more, **how)
    running.ready()
    return running


def is_there(pid):
    return os.path.exists(f"/proc/{pid}") and status(pid)["State"][0] != "Z"


def execs(running):
    return [document for document in running.documents() if document["event"]["action"] == "exec"]


@once
def test_the_worker_has_no_capability_and_the_loader_one(start):
    running = sensor(start)
    worker, loader = running.process.pid, loader_of(running.process.pid)
    assert set(capabilities(worker).values()) == {0}
    assert (status(worker)["NoNewPrivs"], status(worker)["Seccomp"]) == ("1", "2")
    of_loader = capabilities(loader)
    assert of_loader["CapEff"] == of_loader["CapPrm"] and of_loader["CapInh"] == of_loader["CapAmb"] == 0
    # What this test was started with beside it is for the canary alone.
    assert of_loader["CapEff"] & 1 << BPF and not of_loader["CapEff"] & ~(1 << BPF | 1 << NET_RAW | 1 << DAC_READ_SEARCH)
    assert (status(loader)["NoNewPrivs"], status(loader)["Seccomp"]) == ("1", "2")
    assert status(loader)["Name"] == "taffrail-loader"
    assert any("no capabilities" in line for line in running.log), running.log


@once
def test_it_runs_with_three_capabilities(start):
    """As a container gives them: after the start one of them is left, and it sees as much."""
    running = sensor(start, "--host", prefix=("setpriv", "--bounding-set", "-all,+bpf,+perfmon,+net_admin", "--inh-caps", "-all"))
    assert capabilities(loader_of(running.process.pid))["CapPrm"] == 1 << BPF
    coverage = running.wait_for(lambda: [document for document in running.documents() if document["event"]["action"] == "coverage"])
    states = {promise["promise"]: promise["state"] for promise in coverage[0]["taffrail"]["coverage"]}
    assert "missed" not in states.values() and states["TCP connect over IPv4"] == states["openat"] == "seen"
    subprocess.run(["/bin/true", "three-capabilities"], check=True)
    running.wait_for(lambda: [one for one in execs(running) if one["process"]["args"][1:] == ["three-capabilities"]])
    assert running.end() == 0


@pytest.mark.parametrize("name", ["bpf", "perfmon", "net_admin"])
def test_what_is_missing_is_named(name):
    """One sentence, with that one and how to give it; nothing else was tried."""
    has = ",".join(f"+{other}" for other in ("bpf", "perfmon", "net_admin") if other != name)
    done = subprocess.run(["setpriv", "--bounding-set", f"-all,{has}", program("taffrail-sensor"), "--stdout"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * SLOW)
    assert done.returncode == 1 and done.stdout == ""
    line, = done.stderr.splitlines()
    assert f"lacks CAP_{name.upper()}, without" in line and "securityContext.capabilities.add" in line


@once
def test_the_loader_ends_with_its_worker_whatever_ends_it(start):
    running = sensor(start)
    loader = loader_of(running.process.pid)
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 5
    while is_there(loader):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@once
def test_without_its_loader_the_sensor_tells_what_it_has_and_fails(start):
    running = sensor(start, "--host")
    subprocess.run(["/bin/true", "before-the-end"], check=True)
    os.kill(loader_of(running.process.pid), signal.SIGKILL)
    assert running.process.wait(20 * SLOW) == 1
    running.end()
    assert [one for one in execs(running) if one["process"]["args"][1:] == ["before-the-end"]]
    assert sum("taffrail-loader) has ended" in line for line in running.log) == 1, running.log


@once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_to_all_of_them_loses_nothing(start, number):
    """Ctrl-C on a terminal, and a unit's stop, go to every process: the loader stays till the rings are read."""
    running = sensor(start, "--host", start_new_session=True)
    for i in range(200):
        subprocess.run(["/bin/true", f"of-all-{i}"], check=True)
    os.killpg(running.process.pid, number)
    assert running.process.wait(20 * SLOW) == 0
    running.end()
    seen = {one["process"]["args"][1] for one in execs(running) if len(one["process"]["args"]) == 2}
    assert {f"of-all-{i}" for i in range(200)} <= seen


@once
def test_the_loaders_memory_is_shut_to_the_same_user(start):
    """And so to the worker, which is that user without rights."""
    loader = loader_of(sensor(start).process.pid)
    for name in ("environ", "mem", "maps", f"fd/{os.listdir(f'/proc/{loader}/fd')[-1]}"):
        done = subprocess.run(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "cat", f"/proc/{loader}/{name}"],
                              capture_output=True, text=True)
        assert done.returncode != 0 and "ermission denied" in done.stderr, name


@once
def test_a_tracer_of_the_loader_is_told(start):
    running = sensor(start)
    tracer = subprocess.Popen(["/usr/bin/python3", "-c", f"""
import ctypes, time
assert ctypes.CDLL(None).ptrace(0x4206, {loader_of(running.process.pid)}, None, None) == 0  # PTRACE_SEIZE
time.sleep(60)
"""])
    try:
        alert = running.wait_for(lambda: [one for one in running.documents() if one["event"]["action"] == "tamper"])[0]
        assert alert["message"] == f"The sensor is traced (ptrace) by python3[{tracer.pid}]"
    finally:
        tracer.kill()
        tracer.wait()


@once
def test_a_replay_has_no_rights_either(start, tmp_path):
    """A recording is somebody's bytes; what reads it is confined like the sensor at work, and needs no loader."""
    os.mkfifo(tmp_path / "recording")  # it waits there for the first byte
    running = start("taffrail-sensor", "--stdout", "--replay", str(tmp_path / "recording"))
    deadline = time.monotonic() + 10 * SLOW
    while status(running.process.pid)["Seccomp"] != "2":
        assert running.process.poll() is None and time.monotonic() < deadline, running.log
        time.sleep(0.01)
    assert set(capabilities(running.process.pid).values()) == {0} and children(running.process.pid) == []
    with open(tmp_path / "recording", "wb") as writer:
        writer.write(b"no recording")
    assert running.process.wait(10 * SLOW) == 1
