# SPDX-License-Identifier: Apache-2.0
"""--record and --replay: the same documents, byte for byte, without a kernel; and what happens to a recording that is not whole."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from conftest import SLOW, judging, program, run
from disks import small_disk

# Another file each time: nothing to collapse.
FLOOD = """
import os
for number in range(int(os.sys.argv[1])):
    try:
        os.open(f"/no/such/folder/{'x' * 200}/{number}", os.O_RDONLY)
    except FileNotFoundError:
        pass
"""
HOST, RECORD, TICK, END = 1, 3, 5, 8


def frames(path):
    """(offset, type, size of content) of each whole frame."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"taffrec\n"
    at, found = 16, []
    while at + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        if at + 16 + size > len(data):
            break
        found.append((at, kind, size))
        at += 16 + size + -size % 8
    return found


def output(running):
    return "".join(line + "\n" for line in running.lines).encode(errors="surrogateescape")


def replay(path, *more):
    arguments = judging("taffrail-sensor", ("--replay", str(path), "--stdout", *more))
    return subprocess.run([program("taffrail-sensor"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * SLOW)


def actions(lines):
    return {json.loads(line)["event"]["action"] for line in lines}


@pytest.fixture
def hanging(tmp_path):
    """A runtime's socket that takes every connection and never says a word: names are waited for in vain."""
    path = str(tmp_path / "cri.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    held = []

    def take():
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield path
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for one in held:
        one.close()


@pytest.fixture
def recording(start, container, tmp_path):
    """A recording of some work, whole, and the lines that the sensor wrote meanwhile."""
    path = tmp_path / "recording"
    sensor = start("taffrail-sensor", "--stdout", "--record", str(path))
    sensor.ready()
    for number in range(20):
        container.run("/bin/sh", "-c", f"/bin/true {number}; : </etc/passwd")
    assert sensor.end() == 0
    return path, output(sensor)


@pytest.mark.parametrize("rules", ["true", "false"], ids=["events", "findings"])
def test_replay_is_the_live_run_byte_for_byte(start, container, tmp_path, hanging, rules):
    """Processes that were there before, all kinds of work, names that never come, losses."""
    path = tmp_path / "recording"
    before = container.start("/bin/sleep", "1000")
    sensor = start("taffrail-sensor", "--stdout", "--record", str(path), "--cri", hanging, "--set", "rings.bulk=1M",
                   "--set", f"no_rules={rules}")
    sensor.ready()
    sink = socket.create_server(("127.0.0.1", 0))
    port = sink.getsockname()[1]
    container.run("/bin/bash", "-c", f"""
        for n in 1 2 3; do /bin/true $n; : </etc/passwd; : 2>/dev/null </no/such/file; done
        echo x >/dev/tcp/127.0.0.1/{port}; (echo x >/dev/tcp/127.0.0.1/9) 2>/dev/null; exit 0""")
    container.run("/usr/bin/python3", "-c", "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))")
    sensor.process.send_signal(signal.SIGSTOP)  # so that the ring overflows, whatever the machine
    container.run("/usr/bin/python3", "-c", FLOOD, "20000")
    sensor.process.send_signal(signal.SIGCONT)
    sensor.wait_for(lambda: any('"events_lost"' in line for line in sensor.lines), 10)
    container.run("/bin/true", "after")
    sink.close()
    before.kill()
    before.wait()
    assert sensor.end() == 0
    live = output(sensor)
    done = replay(path, "--set", f"no_rules={rules}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == live
    assert {"exec", "fork", "end", "open", "connection_attempted", "send", "events_lost"} <= actions(sensor.lines)
    assert any('"pending":true' in line for line in sensor.lines)
    kinds = {kind for _, kind, _ in frames(path)}
    assert {HOST, RECORD, TICK, END} <= kinds


def test_replay_leaves_out_what_the_live_run_left_out(start, container, tmp_path):
    """What the kernel did not let through is not in the recording, but its count is."""
    path, rules = tmp_path / "recording", tmp_path / "rules.yaml"
    rules.write_text("record:\n  leave_out:\n    - {paths: [/etc/passwd], modes: read}\n    - kinds: [fork]\n")
    sensor = start("taffrail-sensor", "--stdout", "--record", str(path), "--config", str(rules))
    sensor.ready()
    for number in range(20):
        container.run("/bin/bash", "-c", f"/bin/true {number}; : </etc/passwd; : </etc/group")
    assert sensor.end() == 0
    live = [json.loads(line) for line in sensor.lines]
    assert not [one for one in live if one["event"]["action"] == "fork" or one.get("file", {}).get("path") == "/etc/passwd"]
    told = [one["taffrail"]["filtered"] for one in live if one["event"]["action"] == "events_filtered"]
    assert len(told) == 1 and told[0]["counts"]["fork"] >= 20 and told[0]["counts"]["open"] >= 20
    assert told[0]["in_kernel"] == told[0]["counts"]["open"] and told[0]["count"] == sum(told[0]["counts"].values())
    done = replay(path, "--config", str(rules))
    assert done.returncode == 0 and done.stdout == output(sensor), done.stderr
    bare = [json.loads(line) for line in replay(path).stdout.splitlines()]
    assert len([one for one in bare if one["event"]["action"] == "fork"]) >= 20
    assert [one["taffrail"]["filtered"]["counts"] for one in bare if one["event"]["action"] == "events_filtered"] \
        == [{"open": told[0]["counts"]["open"]}]


def test_rules_of_a_replay_leave_out_too(recording, tmp_path):
    path, live = recording
    rules = tmp_path / "rules.yaml"
    rules.write_text("record: {kinds: [exec]}\n")
    done = replay(path, "--config", str(rules))
    assert done.returncode == 0, done.stderr
    always = {"coverage", "container_started", "container_stopped"}
    assert actions(done.stdout.splitlines()) - always == {"exec", "events_filtered"}
    counts = json.loads(done.stdout.splitlines()[-1])["taffrail"]["filtered"]
    assert counts["in_kernel"] == 0
    assert counts["count"] == sum(json.loads(line).get("taffrail", {}).get("count", 1) for line in live.splitlines()
                                  if json.loads(line)["event"]["action"] not in always | {"exec"})


def test_replay_needs_no_root(public, recording):
    path, live = recording
    copy = os.path.join(public, "recording")
    with open(path, "rb") as source, open(copy, "wb") as target:
        target.write(source.read())
    os.chmod(copy, 0o644)
    done = subprocess.run([os.path.join(public, "taffrail-sensor"), "--no-rules", "--replay", copy, "--stdout"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60 * SLOW, user=65534, group=65534, extra_groups=[])
    assert (done.returncode, done.stdout) == (0, live), done.stderr


def test_replay_to_a_collector(start, recording, tmp_path):
    """The same documents with the same ids; a second time the collector knows that it has them."""
    path, live = recording
    filed = tmp_path / "events.ndjson"
    collector = start("taffrail-collector", "--listen", f"unix:{tmp_path}/c", "--data", str(tmp_path / "data"), "--output", f"ecs-json:{filed}")
    collector.ready()
    for _ in range(2):
        done = run("taffrail-sensor", "--no-rules", "--replay", str(path), "--collector", f"unix:{tmp_path}/c")
        assert done.returncode == 0, done.stderr
    assert collector.end() == 0
    assert filed.read_bytes() == live


def test_record_alone(start, container, tmp_path):
    """Neither stdout nor a collector: a sensor that only records. Only its owner may read what it wrote."""
    path = tmp_path / "recording"
    sensor = start("taffrail-sensor", "--record", str(path))
    sensor.ready()
    pid = container.run("/bin/true", "recorded")
    assert sensor.end() == 0 and sensor.lines == []
    assert path.stat().st_mode & 0o777 == 0o600
    documents = [json.loads(line) for line in replay(path).stdout.splitlines()]
    assert any(document["process"]["pid"] == pid and document["process"].get("args") == ["/bin/true", "recorded"] for document in documents)


def test_sensor_that_was_killed_leaves_a_recording(start, container, tmp_path):
    path = tmp_path / "recording"
    sensor = start("taffrail-sensor", "--stdout", "--record", str(path))
    sensor.ready()
    container.run("/bin/true", "killed")
    sensor.wait_for(lambda: any('"killed"' in line for line in sensor.lines))
    time.sleep(0.5)
    sensor.kill()
    done = replay(path)
    assert done.returncode == 0 and b"ends here without an end" in done.stderr, done.stderr
    assert b'"killed"' in done.stdout


def test_torn_recording_gives_what_it_has(recording, tmp_path):
    path, live = recording
    data, found = path.read_bytes(), frames(path)
    torn = tmp_path / "torn"
    for offset, _, size in [found[1], found[len(found) // 2], found[-1]]:
        for cut in {offset, offset + 1, offset + 15, offset + 16 + size // 2, offset + 16 + size - 1} - {offset + 16 + size}:
            torn.write_bytes(data[:cut])
            done = replay(torn)
            assert done.returncode == 0, done.stderr
            warnings = [line for line in done.stderr.decode().splitlines() if "offset" in line]
            assert len(warnings) == 1 and f"{torn}: offset {offset if cut < offset + 16 + size else cut}: " in warnings[0]
            assert "warning" in warnings[0]
            # What came out may end with what waited for something, but what was whole is the live run's.
            assert set(done.stdout.splitlines()[:-20]) <= set(live.splitlines())


@pytest.mark.parametrize("where, what, reason", [
    (4, b"\xee\xee", "type"), (0, b"\xff\xff\xff\xff", "longer"), (6, b"\1\0", "type"),
    (16, b"\xee\xee", "kind"), (20, b"\xff\xff\0\0", "size"),
])
def test_corrupt_recording_exits_1_and_says_where(recording, tmp_path, where, what, reason):
    path, live = recording
    data, corrupt = bytearray(path.read_bytes()), tmp_path / "corrupt"
    records = [offset for offset, kind, _ in frames(path) if kind == RECORD]
    offset = records[len(records) // 2]
    data[offset + where:offset + where + len(what)] = what
    corrupt.write_bytes(data)
    done = replay(corrupt)
    assert done.returncode == 1
    errors = [line for line in done.stderr.decode().splitlines() if "error" in line]
    assert len(errors) == 1 and re.search(rf"{corrupt}: offset {offset}: .*{reason}", errors[0]), done.stderr
    assert done.stdout and len(done.stdout) < len(live)


@pytest.mark.parametrize("content", [b"", b"taffrec\n", b"not a recording at all", b"taffrec\n\xff\0\0\0\0\0\0\0", b"taffrec\n\1\0\0\0\0\0\0\0"])
def test_what_is_no_recording(tmp_path, content):
    path = tmp_path / "none"
    path.write_bytes(content)
    done = replay(path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rf"taffrail-sensor: error: {path}: offset \d+: .+\n", done.stderr.decode())


@pytest.mark.parametrize("option", ["--replay", "--record"])
@pytest.mark.parametrize("path", ["/no/such/folder/file", "/"])
def test_file_that_cannot_be_opened(option, path):
    done = run("taffrail-sensor", option, path, "--stdout")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1 and f"{path}: " in done.stderr


def test_full_disk_ends_the_recording_not_the_sensor(start, container, tmp_path):
    """Said once; the documents go on, and what the disk has can be replayed."""
    with small_disk(tmp_path / "small", "256k") as small:
        sensor = start("taffrail-sensor", "--stdout", "--record", str(small / "recording"))
        sensor.ready()
        container.run("/usr/bin/python3", "-c", FLOOD, "5000")
        sensor.wait_for(lambda: any("the recording ends here" in line for line in sensor.log))
        container.run("/bin/true", "after")
        assert sensor.end() == 0
        assert any('"after"' in line for line in sensor.lines)
        said = [line for line in sensor.log if "recording" in line]
        assert len(said) == 1 and "No space left" in said[0] and "error" in said[0]
        done = replay(small / "recording")
        assert done.returncode == 0 and done.stdout and b"ends here without an end" in done.stderr
