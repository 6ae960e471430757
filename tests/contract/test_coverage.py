# SPDX-License-Identifier: Apache-2.0
"""Does the sensor know what it sees? --check, the coverage record, and what it says when somebody takes its eyes away."""
import ctypes
import errno
import json
import os
import re
import socket
import struct
import subprocess
import time

import pytest

from conftest import SLOW, once, program, run, terminal_output
from programs import children, loader_of

NOBODY = ["--cri", "/nonexistent/taffrail-test.sock"]


def check(*prefix, status=0, arguments=(), timeout=40, **more):
    """What `--check --json` says, run by `prefix`."""
    done = subprocess.run([*prefix, program("taffrail-sensor"), "--check", "--json", *(arguments or NOBODY)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout * SLOW, **more)
    assert done.returncode == status, (done.returncode, done.stderr, done.stdout)
    said = json.loads(done.stdout)
    assert set(said) == {"hooks", "runtimes", "cgroup", "calls"}
    return said


def states(said):
    return {hook["promise"]: hook["state"] for hook in said["hooks"]}


def missed(said):
    return [hook for hook in said["hooks"] if hook["state"] == "missed"]


# --- --check ---------------------------------------------------------------------------------------------------------

def test_check_sees_everything_here():
    said = check()
    assert len(said["hooks"]) >= 20
    for hook in said["hooks"]:
        assert hook["hook"], hook
        assert hook["state"] == "seen" or (hook["state"] == "unsupported" and hook["reason"]), hook
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        kinds = {line.split()[2] for line in mounts}
    assert said["cgroup"] == ("hybrid" if "cgroup" in kinds else "v2")


def test_check_for_people():
    done = run("taffrail-sensor", "--check", *NOBODY, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
    assert re.search(r"^  seen +exec +tp_btf/sched_process_exec$", done.stdout, re.M) or "fexit" in done.stdout
    assert re.search(r"^\d+ seen, 0 missed, \d+ unsupported$", done.stdout, re.M)
    assert "/nonexistent/taffrail-test.sock" in done.stdout


def test_check_is_in_colour_on_a_terminal():
    text, status = terminal_output([program("taffrail-sensor"), "--check", *NOBODY], 40 * SLOW)
    assert status == 0 and "\x1b[32mseen" in text


@once
def test_check_in_a_pid_namespace_of_its_own():
    """The sensor does not know its own number there, the programs do."""
    assert not missed(check("unshare", "--pid", "--fork", "--mount-proc"))


@once
def test_check_with_a_root_that_is_read_only():
    said = check("unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / && ! touch /etc/taffrail-test && exec "$0" "$@"')
    assert states(said) == states(check())


def test_check_says_what_is_refused():
    """Without loopback, and without the right to open by handle: that is not missed, it cannot be done."""
    said = check("unshare", "--net")
    assert not missed(said)
    assert states(said)["TCP accept"] == states(said)["UDP send over IPv4"] == "unsupported"
    said = check("setpriv", "--bounding-set", "-dac_read_search")
    handle = next(hook for hook in said["hooks"] if hook["promise"] == "open by handle")
    assert handle["state"] == "unsupported" and "EPERM" in handle["reason"]
    assert not missed(said)


def reasons(said):
    return {hook["promise"]: hook.get("reason") for hook in said["hooks"] if hook["state"] == "unsupported"}


@once
def test_check_without_the_right_to_raw_sockets():
    """Not missed, though the socket that was refused is a record as well."""
    everything, said = check(), check("setpriv", "--bounding-set", "-net_raw")
    refused = {promise: reason for promise, reason in reasons(said).items() if promise not in reasons(everything)}
    assert refused == {promise: "not allowed here: EPERM" for promise in refused}
    assert {"raw socket", "raw send"} <= set(refused) <= {"raw socket", "raw send", "packet socket", "packet send"}
    assert not missed(said)


IO_URING_SETUP = 425


def refuse(call, error):
    """Run in a child: a filter of system calls like a container runtime's."""
    load, equal, done = 0x20, 0x15, 0x06
    program = b"".join(struct.pack("HBBI", *line) for line in [
        (load, 0, 0, 0), (equal, 0, 1, call), (done, 0, 0, 0x00050000 | error), (done, 0, 0, 0x7fff0000)])
    room = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(room))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, head, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
@once
def test_check_where_io_uring_is_refused(error):
    said = check(preexec_fn=lambda: refuse(IO_URING_SETUP, error))
    told = reasons(said)
    for promise in ("open by io_uring", "open by io_uring, its queue full", "connect by io_uring", "accept by io_uring"):
        assert told[promise] == f"not allowed here: {errno.errorcode[error]}"
    assert not missed(said)


@once
def test_check_inside_a_container(container):
    """A sensor is often in a container itself."""
    process = container.start(program("taffrail-sensor"), "--check", "--json", *NOBODY, stdout=subprocess.PIPE)
    said = json.loads(process.communicate(timeout=40 * SLOW)[0])
    assert process.returncode == 0 and not missed(said)


def test_check_without_rights_exits_1_with_one_sentence():
    done = subprocess.run(["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin,-net_admin", program("taffrail-sensor"), "--check"],
                          capture_output=True, text=True, timeout=30 * SLOW)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1 and "CAP_BPF" in done.stderr


@pytest.mark.parametrize("options", [["--json", "--stdout"], ["--json"], ["--check", "--stdout"],
                                     ["--check", "--collector", "127.0.0.1:1"]], ids=" ".join)
def test_check_with_wrong_options_exits_2(options):
    done = run("taffrail-sensor", *options)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


def test_check_tells_runtimes_that_are_absent_or_do_not_answer(tmp_path):
    silent = str(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(silent)
        server.listen()
        said = check(arguments=["--cri", silent, "--cri", str(tmp_path / "absent.sock")])
    assert {runtime["socket"]: runtime["state"] for runtime in said["runtimes"]} == {
        silent: "unreachable", str(tmp_path / "absent.sock"): "absent"}


def test_check_leaves_nothing_behind():
    check()
    with open("/proc/net/unix", encoding="utf-8") as sockets:
        assert "@tf-" not in sockets.read()


# --- the record ------------------------------------------------------------------------------------------------------

def sensor(start, *more):
    running = start("taffrail-sensor", "--stdout", *NOBODY, *more)
    running.ready()
    return running


def of(running, action, rule=None):
    return [document for document in running.documents()
            if document["event"]["action"] == action and document.get("rule", {}).get("name") == rule]


def test_coverage_is_a_record_at_start(start):
    running = sensor(start)
    record = running.wait_for(lambda: of(running, "coverage"))[0]
    assert record["event"]["kind"] == "metric" and record["event"]["category"] == ["host"]
    assert record["event"]["dataset"] == "taffrail.health" and "container" not in record and "process" not in record
    assert record["taffrail"]["kernel"]["release"] == os.uname().release
    assert record["taffrail"]["kernel"]["mode"] in ("tracepoint", "function")
    promises = {promise["promise"]: promise for promise in record["taffrail"]["coverage"]}
    assert promises["openat"]["state"] == "seen" and promises["openat"]["hook"]
    assert "missed" not in {promise["state"] for promise in promises.values()}
    assert not of(running, "coverage", "Sensor coverage is incomplete")


@once
def test_canaries_are_no_events_and_leave_no_zombie(start):
    """Whatever the canary does: with --host its processes would be events like any other."""
    running = sensor(start, "--host", "--set", "coverage.interval=1s")
    time.sleep(3.5)
    pid = loader_of(running.process.pid)
    running.wait_for(lambda: not children(pid))
    assert running.end() == 0
    assert len(of(running, "coverage")) == 1, "only a new result is told"
    mine = [document for document in running.documents() if document.get("process", {}).get("parent", {}).get("pid") == pid
            or document.get("process", {}).get("name", "").startswith("tf-")]
    assert mine == []


@once
def test_a_sensor_in_a_container_does_not_record_its_canary(container, tmp_path):
    with open(tmp_path / "out", "w", encoding="utf-8") as output:
        process = container.start(program("taffrail-sensor"), "--stdout", *NOBODY, stdout=output, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30 * SLOW
        while '"coverage"' not in (tmp_path / "out").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(30 * SLOW) == 0
    documents = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    mine = [document for document in documents if document.get("container", {}).get("id") == container.id]
    if SLOW > 1:  # the leak checker of the program that the canary executes is a process in the container, which opens files
        checkers = {document["process"]["pid"] for document in mine
                    if re.fullmatch(r"/proc/\d+/task", document.get("file", {}).get("path", ""))}
        assert len(checkers) <= 1
        mine = [document for document in mine if document["process"]["pid"] not in checkers]
    assert [document["event"]["action"] for document in mine] == []
    assert any(document["event"]["action"] == "coverage" for document in documents)


def link_of(pid, attach_type):
    """The id of a sensor's cgroup link of this type (enum bpf_attach_type)."""
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as info:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in info if ":\t" in line)
        except OSError:
            continue
        if lines.get("link_type") == "cgroup" and lines.get("attach_type") == str(attach_type):
            return lines["link_id"]
    return None


BPF_CGROUP_INET4_CONNECT = 10


@once
def test_a_detached_program_is_an_alarm_and_what_it_served_is_missed(start):
    running = sensor(start, "--set", "coverage.interval=1s")
    running.wait_for(lambda: of(running, "coverage"))
    link = link_of(loader_of(running.process.pid), BPF_CGROUP_INET4_CONNECT)
    subprocess.run(["bpftool", "link", "detach", "id", link], check=True, env={**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ["PATH"]})
    tamper = running.wait_for(lambda: of(running, "tamper", "Attack on the sensor"))[0]
    assert tamper["event"]["kind"] == "alert" and "cgroup/connect4" in tamper["message"]
    alert = running.wait_for(lambda: of(running, "coverage", "Sensor coverage is incomplete"))[0]
    assert alert["event"]["kind"] == "alert" and alert["event"]["severity"] == 2
    assert "TCP connect over IPv4 (no record came)" in alert["message"]
    record = of(running, "coverage")[-1]
    missing = {promise["promise"] for promise in record["taffrail"]["coverage"] if promise["state"] == "missed"}
    assert "TCP connect over IPv4" in missing and "TCP connect over IPv6" not in missing
    assert any("error: The sensor does not see" in line for line in running.log)
    # Told once; what is missed is told again at every canary.
    running.wait_for(lambda: len(of(running, "coverage", "Sensor coverage is incomplete")) >= 2)
    assert len(of(running, "tamper", "Attack on the sensor")) == 1


@pytest.mark.parametrize("attach_type, lost", [
    (0, {"flow", "flow over IPv6", "dns"}),  # BPF_CGROUP_INET_INGRESS
    (1, {"source of a UDP send", "UDP send over IPv4", "UDP send over IPv6", "raw send", "first bytes over TCP", "flow",
         "flow over IPv6"}),  # BPF_CGROUP_INET_EGRESS
    (34, {"UDP send without a packet", "flow", "flow over IPv6"}),  # BPF_CGROUP_INET_SOCK_RELEASE
    (50, {"unix send"}),  # BPF_CGROUP_UNIX_SENDMSG
], ids=["ingress", "egress", "release", "unix"])
@once
def test_what_a_detached_program_served_is_missed(start, attach_type, lost):
    running = sensor(start, "--set", "coverage.interval=1s")
    running.wait_for(lambda: of(running, "coverage"))
    link = link_of(loader_of(running.process.pid), attach_type)
    if link is None:
        pytest.skip("this kernel has no such hook")
    subprocess.run(["/usr/sbin/bpftool", "link", "detach", "id", link], check=True)
    running.wait_for(lambda: of(running, "coverage", "Sensor coverage is incomplete"))
    assert {promise["promise"] for promise in of(running, "coverage")[-1]["taffrail"]["coverage"]
            if promise["state"] == "missed"} == lost


# --- attacks ---------------------------------------------------------------------------------------------------------

def test_sigterm_from_a_container_is_told_and_still_drains(start, container):
    running = sensor(start)
    container.run("/bin/sh", "-c", f"kill -TERM {running.process.pid}")
    assert running.process.wait(20 * SLOW) == 0
    running.end()
    alert = of(running, "tamper", "Attack on the sensor")[0]
    assert alert["container"]["id"] == container.id and alert["process"]["name"] == "sh"
    assert alert["message"].startswith("SIGTERM was sent to the sensor from a container, by sh[")


def test_a_code_of_the_senders_own_choice_hides_no_signal(start, container):
    """rt_sigqueueinfo with the si_code of a message queue."""
    running = sensor(start)
    container.run("/usr/bin/python3", "-c", f"""
import ctypes, struct
info = struct.pack('iiiiii', 28, 0, -3, 0, 0, 0) + bytes(104)
assert ctypes.CDLL(None, use_errno=True).syscall(129, {running.process.pid}, 28, info) == 0, ctypes.get_errno()
""")
    alert = running.wait_for(lambda: of(running, "tamper", "Attack on the sensor"))[0]
    assert "SIGWINCH" in alert["message"]


@once
def test_a_tracer_is_told(start):
    running = sensor(start)
    tracer = subprocess.Popen(["/usr/bin/python3", "-c", f"""
import ctypes, time
assert ctypes.CDLL(None).ptrace(0x4206, {running.process.pid}, None, None) == 0  # PTRACE_SEIZE
time.sleep(60)
"""])
    try:
        alert = running.wait_for(lambda: of(running, "tamper", "Attack on the sensor"))[0]
        assert alert["message"] == f"The sensor is traced (ptrace) by python3[{tracer.pid}]"
        time.sleep(2.5)
        assert len(of(running, "tamper", "Attack on the sensor")) == 1, "one tracer is told once"
    finally:
        tracer.kill()
        tracer.wait()


def test_its_memory_is_shut_to_the_same_user(start):
    running = sensor(start)
    pid = running.process.pid
    # CAP_PERFMON may read other processes too.
    done = subprocess.run(["setpriv", "--bounding-set", "-sys_ptrace,-perfmon,-sys_admin", "cat", f"/proc/{pid}/environ"],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "ermission denied" in done.stderr
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        assert re.search(r"Max core file size +0 +0 ", limits.read())


def test_maps_of_read_only_data_are_frozen_and_nothing_is_pinned(start):
    running = sensor(start)
    maps = []
    pid = loader_of(running.process.pid)
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as info:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in info if ":\t" in line)
        if "map_id" in lines:
            maps.append(lines)
    assert maps
    listed = json.loads(subprocess.run(["/usr/sbin/bpftool", "--json", "--bpffs", "map", "show"], capture_output=True, check=True).stdout)
    mine = [entry for entry in listed if str(entry["id"]) in {lines["map_id"] for lines in maps}]
    assert len(mine) == len(maps)
    assert [entry["frozen"] for entry in mine if entry["name"].endswith(".rodata")] == [1]
    assert not any(entry.get("pinned") for entry in mine)


def bss_of(pid):
    """The id and size of the map that holds the sensor's shared memory."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as info:
            mine |= {line.split(":\t")[1].strip() for line in info if line.startswith("map_id")}
    listed = json.loads(subprocess.run(["/usr/sbin/bpftool", "--json", "map", "show"], capture_output=True, check=True).stdout)
    return next(entry for entry in listed if str(entry["id"]) in mine and entry["name"].endswith(".bss"))


def write_map(number, value):
    """Writes a map's only element by bpf(2): it is more than bpftool's command line holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    key, room = ctypes.c_uint(0), ctypes.create_string_buffer(bytes(value), len(value))

    def bpf(command, attributes):
        result = libc.syscall(321, command, attributes, len(attributes))
        assert result >= 0, os.strerror(ctypes.get_errno())
        return result
    fd = bpf(14, struct.pack("IIII", number, 0, 0, 0))  # BPF_MAP_GET_FD_BY_ID
    try:
        bpf(2, struct.pack("IxxxxPPQ", fd, ctypes.addressof(key), ctypes.addressof(room), 0))  # BPF_MAP_UPDATE_ELEM
    finally:
        os.close(fd)


def shared_memory(pid):
    dump = json.loads(subprocess.run(["/usr/sbin/bpftool", "--json", "map", "dump", "id", str(bss_of(pid)["id"])],
                                     capture_output=True, check=True).stdout)
    return {name: value for section in dump[0]["formatted"]["value"].values() for variable in section
            for name, value in variable.items()}


@once
def test_the_canary_makes_no_call_dearer_for_long(start):
    """What packet sockets and io_uring switch on for everybody stays off after a canary used them."""
    running = sensor(start)
    promises = {promise["promise"]: promise["state"] for promise in
                running.wait_for(lambda: of(running, "coverage"))[0]["taffrail"]["coverage"]}
    assert promises["packet socket"] == promises["connect by io_uring"] == "seen"
    memory = shared_memory(loader_of(running.process.pid))
    assert memory["packet_socket_seen"] == memory["uring_socket_seen"] == memory["canary_tgid"] == 0


@once
def test_a_forged_canary_hides_nothing_and_is_an_alarm(start, container):
    """Somebody with rights over BPF tells the programs that a container's process is the sensor's canary."""
    running = sensor(start)
    running.wait_for(lambda: of(running, "coverage"))
    entry = bss_of(loader_of(running.process.pid))
    process = container.start("/bin/sh", "-c", "while :; do cat /etc/hostname >/dev/null; sleep 0.01; done")
    dump = json.loads(subprocess.run(["/usr/sbin/bpftool", "--json", "map", "dump", "id", str(entry["id"])],
                                     capture_output=True, check=True).stdout)
    value = bytearray(int(byte, 16) for byte in dump[0]["value"])
    variables = {}
    for section in dump[0]["formatted"]["value"].values():
        for variable in section:
            variables.update(variable)
    assert variables["sensor_tgid"] == running.process.pid and variables["canary_tgid"] == 0
    assert variables["loader_tgid"] == loader_of(running.process.pid)
    where = {value.index(struct.pack("I", variables[name])) for name in ("sensor_tgid", "loader_tgid")}
    beside = {at + step for at in where for step in (-4, 4) if value[at + step:at + step + 4] == bytes(4)}
    for at in beside:  # the canary's stands beside them
        value[at:at + 4] = struct.pack("I", process.pid)
    write_map(entry["id"], value)
    alert = running.wait_for(lambda: of(running, "tamper", "Attack on the sensor"))[0]
    assert "memory" in alert["message"]
    before = len(of(running, "exec"))
    running.wait_for(lambda: len(of(running, "exec")) > before)
    process.kill()
    process.wait()


@once
def test_a_replay_tells_the_same_of_the_sensor_itself(start, tmp_path):
    """Its own events and its canaries' records are in a recording, so that all ids and losses come out the same."""
    running = sensor(start, "--record", str(tmp_path / "recording"), "--set", "coverage.interval=1s")
    link = link_of(loader_of(running.process.pid), BPF_CGROUP_INET4_CONNECT)
    subprocess.run(["/usr/sbin/bpftool", "link", "detach", "id", link], check=True)
    running.wait_for(lambda: len(of(running, "coverage", "Sensor coverage is incomplete")) >= 2)
    assert running.end() == 0
    again = run("taffrail-sensor", "--no-rules", "--replay", str(tmp_path / "recording"), "--stdout")
    assert again.returncode == 0 and again.stdout.splitlines() == running.lines
    assert not of(running, "events_lost") and len(of(running, "tamper", "Attack on the sensor")) == 1


def test_what_the_configuration_leaves_out_is_not_missed(start, tmp_path):
    config = tmp_path / "sensor.yaml"
    config.write_text("record:\n  leave_out:\n    - {kinds: [exec, open, connection_attempted, connection_accepted, listen, send]}\n")
    running = sensor(start, "--config", str(config))
    record = running.wait_for(lambda: of(running, "coverage"))[0]
    assert [promise for promise in record["taffrail"]["coverage"] if promise["state"] == "missed"] == []
