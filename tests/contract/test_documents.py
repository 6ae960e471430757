# SPDX-License-Identifier: Apache-2.0
"""The documents' words: for each action what was done, then exactly what is said about it.

One sensor serves all tests of this file; each test's container has an id of its own.
"""
import base64
import hashlib
import ipaddress
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time

import pytest
from conftest import Running

PYTHON = os.path.realpath("/usr/bin/python3")
TEXT, NUMBER, TEXTS, FLAG, TRUTH, SET = "text", "number", "texts", "flag", "truth", "set"

# Every field that a document of this version may have, with its type in JSON.
FIELDS = {
    TEXT: """@timestamp event.id event.kind event.action event.outcome event.module event.dataset event.start event.end event.reason host.id host.name
        host.boot.id host.os.type container.id container.name container.image.name orchestrator.type orchestrator.cluster.name
        orchestrator.namespace orchestrator.resource.name orchestrator.resource.id orchestrator.resource.type process.entity_id
        process.name process.executable process.command_line process.working_directory process.user.id process.group.id process.start
        process.parent.entity_id process.parent.name process.parent.executable process.parent.command_line
        process.entry_leader.entity_id process.entry_leader.name process.entry_leader.entry_meta.type file.path file.name
        file.directory file.extension file.inode file.mode file.type source.ip destination.ip source.address destination.address
        network.transport network.type network.direction network.community_id network.protocol error.code
        destination.domain tls.client.server_name dns.type dns.question.name dns.question.type dns.response_code taffrail.flow.state taffrail.file.argument
        taffrail.process.exec_id taffrail.process.script taffrail.process.tty process.real_user.id process.real_group.id
        taffrail.process.login_uid taffrail.process.session_id taffrail.process.executable_ctime taffrail.process.executable_mtime
        taffrail.process.namespace_start
        taffrail.lost.stage taffrail.lost.first taffrail.lost.last
        container.runtime taffrail.container.sandbox_id taffrail.container.qos taffrail.container.type taffrail.container.source
        taffrail.container.nested_id taffrail.container.user.id taffrail.container.user.group.id taffrail.container.exit_reason
        taffrail.workload.kind taffrail.workload.name taffrail.cgroup.path taffrail.cgroup.actor.name taffrail.cgroup.other_id taffrail.call taffrail.file.named""",
    NUMBER: """event.sequence event.duration process.pid process.vpid process.args_count process.exit_code process.parent.pid
        process.entry_leader.pid process.tty.char_device.major process.tty.char_device.minor source.port destination.port source.bytes
        destination.bytes network.bytes source.packets destination.packets network.packets taffrail.count taffrail.process.exit_signal taffrail.lost.count taffrail.lost.cpu
        taffrail.container.attempt taffrail.container.exit_code taffrail.cgroup.actor.pid taffrail.attribution.pending
        taffrail.attribution.completed_late taffrail.attribution.never taffrail.attribution.unnamed""",
    TEXTS: """event.category event.type container.image.tag container.image.hash.all orchestrator.resource.ip process.args
        taffrail.file.flags taffrail.truncated taffrail.escaped taffrail.process.descriptors taffrail.lost.kinds process.env_vars
        process.thread.capabilities.effective process.thread.capabilities.permitted
        orchestrator.resource.annotation dns.resolved_ip taffrail.container.args taffrail.container.capabilities""",
    FLAG: """taffrail.pending taffrail.file.foreign taffrail.file.deleted taffrail.file.upper_layer taffrail.file.copied_up
        taffrail.file.unsure taffrail.process.deleted taffrail.process.memfd taffrail.process.upper_layer taffrail.process.copied_up
        taffrail.process.foreign taffrail.runtime_setup taffrail.left_cgroup taffrail.container.mounts_cut""",
    TRUTH: "taffrail.container.privileged taffrail.container.read_only_root container.security_context.privileged",
    SET: "taffrail.container.host_namespaces",
}
TYPES = {path: kind for kind, paths in FIELDS.items() for path in paths.split()}
ALWAYS = """@timestamp event.id event.kind event.category event.type event.action event.outcome event.sequence event.module
    event.dataset host.id host.name host.boot.id host.os.type""".split()
OF_PROCESS = """container.id process.entity_id process.pid process.vpid process.name process.executable process.args process.args_count
    process.command_line process.working_directory process.user.id process.group.id process.start taffrail.process.exec_id""".split()
WORDS = {  # event.action: event.category, the possible event.types, dataset
    "exec": ("process", [["start"]]),
    "fork": ("process", [["start"]]),
    "end": ("process", [["end"]]),
    "open": ("file", [["access"], ["change"], ["creation"]]),
    "connection_attempted": ("network", [["connection", "start"]]),
    "connection_accepted": ("network", [["connection", "start"]]),
    "listen": ("network", [["info"]]),
    "send": ("network", [["connection", "start"]]),
    "disconnect_received": ("network", [["connection", "end"]]),
    "flow": ("network", [["connection", "end"], ["connection", "info"]]),
    "dns": ("network", [["protocol", "info"]]),
}
OF_CONTAINERS = {  # event.action: event.category, event.type
    "container_started": (["host"], ["start"]),
    "container_stopped": (["host"], ["end"]),
    "container_named": (["host"], ["info"]),
    "cgroup_left": (["host", "intrusion_detection"], ["info"]),
}
PAIRS = ("kubernetes.labels", "kubernetes.annotations")  # their keys are somebody else's


def get(document, path):
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def flatten(value, path=""):
    if isinstance(value, dict) and path not in PAIRS:
        assert value, f"{path} is empty"
        for key, inner in value.items():
            yield from flatten(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def check(document):
    """What holds for every document."""
    for path, value in flatten(document):
        if path in PAIRS or path.startswith("taffrail.process."):
            continue
        if path == "taffrail.container.mounts":
            assert value and all(set(mount) <= {"source", "destination", "type", "options"} for mount in value), value
            continue
        kind = TYPES.get(path)
        assert kind, f"{path} is no field of the contract"
        assert {TEXT: lambda v: isinstance(v, str), NUMBER: lambda v: type(v) is int, FLAG: lambda v: v is True,
                TRUTH: lambda v: isinstance(v, bool), SET: lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v),
                TEXTS: lambda v: isinstance(v, list) and v and all(isinstance(one, str) for one in v)}[kind](value), f"{path}: {value!r}"
        assert kind != TEXT or value, f"{path} is empty"
    for path in ALWAYS:
        assert get(document, path) is not None, f"{path} is missing in {document}"
    event = document["event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", document["@timestamp"])
    assert event["module"] == "taffrail" and document["host"]["os"]["type"] == "linux"
    assert re.fullmatch(rf"{re.escape(document['host']['id'])}-[0-9a-f]{{32}}-{event['sequence']}", event["id"])
    assert event["outcome"] in ("success", "failure", "unknown")
    assert (event["outcome"] == "failure") == ("error" in document), document
    if event["action"] in WORDS:
        category, types = WORDS[event["action"]]
        assert event["kind"] == "event" and event["category"] == [category] and event["type"] in types
        assert event["dataset"] == f"taffrail.{category}"
    if event["action"] in OF_CONTAINERS:
        assert (event["category"], event["type"]) == OF_CONTAINERS[event["action"]]
        assert event["kind"] == ("alert" if "rule" in document else "event") and event["dataset"] == "taffrail.container"
    if "process" in document:
        process = document["process"]
        assert re.fullmatch(r"[A-Za-z0-9_-]{16}", process["entity_id"])
        exec_id = get(document, "taffrail.process.exec_id")
        assert exec_id is None or re.fullmatch(rf"{re.escape(process['entity_id'])}\.\d+", exec_id)
    if "file" in document:
        file = document["file"]
        assert os.path.join(file["directory"], file["name"]) == file["path"] or file["path"] == "/" or "taffrail" in document
        assert "mode" not in file or re.fullmatch(r"[0-7]{4}", file["mode"])
        assert "inode" not in file or re.fullmatch(r"\d+", file["inode"])


@pytest.fixture(scope="module")
def sensor():
    sensor = Running("taffrail-sensor", "--stdout")
    sensor.ready()
    yield sensor
    status = sensor.end()
    assert status == 0, sensor.log
    lost = [document for document in sensor.documents() if document["event"]["action"] == "events_lost"]
    assert lost == []


class Happening:
    """What a workload in a container led to."""

    def __init__(self, sensor, container, *command, status=0, settle=0.0, **more):
        self.began = time.time()
        self.pid = container.run(*command, status=status, **more)
        time.sleep(settle)

        def over():
            # The event of the first process's end is the last of its container, but for what is still on another CPU's way.
            mine = [line for line in sensor.lines if container.id in line]
            return any('"action":"end"' in line and f'"pid":{self.pid},' in line for line in mine) and mine

        sensor.wait_for(over)
        time.sleep(0.3)
        self.documents = [json.loads(line) for line in sensor.lines if container.id in line]
        for document in self.documents:
            check(document)

    def of(self, action, **where):
        """Documents of an action whose fields, written with two underscores for a dot, have these values."""
        return [document for document in self.documents if document["event"]["action"] == action and
                all(get(document, path.replace("__", ".")) == value for path, value in where.items())]

    def one(self, action, **where):
        found = self.of(action, **where)
        assert len(found) == 1, f"{len(found)} of {action} {where}:\n" + "\n".join(
            json.dumps(document) for document in (found or self.of(action))[:20])
        return found[0]


@pytest.fixture
def happen(sensor, container):
    return lambda *command, **more: Happening(sensor, container, *command, **more)


@pytest.fixture
def python(happen):
    """Runs lines of Python in the container."""
    imports = "import os, socket, sys, time, signal, threading, ctypes, mmap, struct\n"
    return lambda code, *arguments, **more: happen(PYTHON, "-I", "-S", "-c", imports + code, *arguments, **more)


# --- processes -------------------------------------------------------------------------------------------------------

def test_exec_says_all_of_the_process(happen, container):
    happening = happen("/bin/sh", "-c", "/bin/true 'a b' \"it's\" ''; exit 3", status=3, cwd="/usr")
    first, second = happening.one("exec", process__pid=happening.pid), happening.one("exec", process__name="true")
    for document in (first, second):
        for path in OF_PROCESS:
            assert get(document, path) is not None, path
        assert document["event"]["outcome"] == "success" and document["container"]["id"] == container.id
        assert document["process"]["working_directory"] == "/usr"
        assert document["process"]["user"]["id"] == "0" and document["process"]["group"]["id"] == "0"
        assert document["process"]["entry_leader"]["entity_id"] == first["process"]["entity_id"]
        assert document["process"]["entry_leader"]["pid"] == happening.pid
    assert first["process"]["executable"] == os.path.realpath("/bin/sh")
    assert first["process"]["name"] == "sh"
    process = second["process"]
    assert process["executable"] == os.path.realpath("/bin/true")
    assert process["args"] == ["/bin/true", "a b", "it's", ""] and process["args_count"] == 4
    assert process["command_line"].startswith("/bin/true 'a b' ") and process["command_line"].endswith(" ''")
    assert process["parent"]["pid"] == happening.pid
    assert process["parent"]["entity_id"] == first["process"]["entity_id"]
    assert process["parent"]["name"] == "sh" and process["parent"]["executable"] == first["process"]["executable"]
    assert process["parent"]["command_line"] == first["process"]["command_line"]


def test_times_are_those_of_the_clock(happen):
    happening = happen("/bin/true")
    document = happening.one("exec")

    def seconds(text):
        import calendar
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + int(text[20:29]) / 1e9

    assert happening.began - 0.1 < seconds(document["process"]["start"]) <= seconds(document["@timestamp"]) < happening.began + 5


def test_ids_are_unique_and_sequences_rise(sensor, happen):
    happen("/bin/sh", "-c", "for i in 1 2 3 4 5; do /bin/true; done")
    events = [document["event"] for document in sensor.documents()]
    assert len({event["id"] for event in events}) == len(events)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))


def test_host_is_this_one(happen):
    host = happen("/bin/true").one("exec")["host"]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert host["boot"]["id"] == file.read().strip()
    assert host["name"] == os.uname().nodename


@pytest.mark.parametrize("path,error", [("/nonexistent/program", "ENOENT"), ("/etc/passwd", "EACCES"), ("/etc", "EACCES")])
def test_failed_exec(python, path, error):
    happening = python("""
try:
    os.execv(sys.argv[1], [sys.argv[1], "x"])
except OSError:
    pass
""", path)
    document = happening.one("exec", event__outcome="failure")
    assert document["error"] == {"code": error}
    assert document["taffrail"]["file"] == {"argument": path}
    assert document["process"]["pid"] == happening.pid
    assert document["process"]["executable"] == PYTHON, "it is still the program that it was"


def test_fork_and_end_are_of_processes_not_threads(python):
    happening = python("""
threads = [threading.Thread(target=time.sleep, args=(0.05,)) for i in range(5)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
child = os.fork()
if child == 0:
    os._exit(7)
os.waitpid(child, 0)
""")
    fork = happening.one("fork", process__parent__pid=happening.pid)
    child = fork["process"]
    assert child["pid"] != happening.pid and child["executable"] == PYTHON
    end = happening.one("end", process__pid=child["pid"])
    assert end["process"]["exit_code"] == 7 and "exit_signal" not in end["taffrail"]["process"]
    assert end["process"]["entity_id"] == child["entity_id"]
    assert len(happening.of("end")) == 2


def test_exit_code_of_a_signal(python):
    happening = python("""
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
""")
    end = happening.one("end", process__exit_code=137)
    assert end["taffrail"]["process"]["exit_signal"] == 9


def test_entity_lasts_and_exec_id_changes(happen):
    happening = happen("/bin/sh", "-c", "exec /bin/sh -c 'exec /bin/true'")
    execs, end = happening.of("exec", process__pid=happening.pid), happening.one("end")
    assert len(execs) == 3
    assert {document["process"]["entity_id"] for document in execs + [end]} == {end["process"]["entity_id"]}
    assert len({document["taffrail"]["process"]["exec_id"] for document in execs}) == 3
    assert [document["process"]["name"] for document in execs] == ["sh", "sh", "true"]


def test_open_belongs_to_the_image_that_made_it(happen, tmp_path):
    """The rings arrive out of order; a process that executes anew is another image."""
    for name in "ab":
        (tmp_path / name).touch()
    happening = happen("/bin/sh", "-c", f"read x <{tmp_path}/a; exec /bin/cat {tmp_path}/b")
    first, second = happening.of("exec", process__pid=happening.pid)
    by_shell, by_cat = (happening.one("open", file__path=str(tmp_path / name)) for name in "ab")
    assert by_shell["process"]["name"] == "sh" and by_cat["process"]["name"] == "cat"
    assert by_shell["taffrail"]["process"]["exec_id"] == first["taffrail"]["process"]["exec_id"]
    assert by_cat["taffrail"]["process"]["exec_id"] == second["taffrail"]["process"]["exec_id"]


def test_script_is_named_beside_its_interpreter(happen, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    happening = happen(str(script), "one")
    process = happening.one("exec")["process"]
    assert process["executable"] == os.path.realpath("/bin/sh") and process["name"] == "job.sh"
    assert happening.one("exec")["taffrail"]["process"]["script"] == str(script)
    assert process["args"] == ["/bin/sh", str(script), "one"]


def test_memfd_is_named(python):
    happening = python("""
fd = os.memfd_create("payload")
os.write(fd, open("/bin/true", "rb").read())
if os.fork() == 0:
    os.execve(fd, ["true", "m"], {})
os.wait()
""")
    document = happening.one("exec", process__args=["true", "m"])
    assert document["process"]["executable"] == "memfd:payload"


def test_deleted_file_by_its_path(python, tmp_path):
    happening = python("""
path = sys.argv[1]
open(path, "wb").write(open("/bin/true", "rb").read())
os.chmod(path, 0o755)
fd = os.open(path, os.O_RDONLY)
os.unlink(path)
if os.fork() == 0:
    os.execve(fd, ["true", "d"], {})
os.wait()
""", str(tmp_path / "gone"))
    document = happening.one("exec", process__args=["true", "d"])
    assert document["process"]["executable"] == str(tmp_path / "gone")
    assert document["taffrail"]["process"]["deleted"] is True


def test_ids_are_the_effective_ones(python):
    happening = python("""
if os.fork() == 0:
    os.setresgid(0, 1234, 0); os.setresuid(0, 4321, 0)
    os.execv("/bin/true", ["true", "other"])
os.wait()
""")
    process = happening.one("exec", process__args=["true", "other"])["process"]
    assert process["user"] == {"id": "4321"} and process["group"] == {"id": "1234"}


def test_name_is_what_exec_gave(python):
    """A process that calls itself something else does not change what its exec said."""
    happening = python("""
ctypes.CDLL(None).prctl(15, b"kworker/0:1", 0, 0, 0)
if os.fork() == 0:
    os._exit(0)
os.wait()
open("/etc/hostname").close()
""")
    assert happening.one("exec")["process"]["name"] == os.path.basename(PYTHON)[:15]
    assert happening.one("end", process__pid=happening.pid)["process"]["name"] == os.path.basename(PYTHON)[:15]


def test_arguments_that_are_hostile(happen):
    nasty = [b"new\nline", b'"quotes"', b"\xff\xfe\x80", b"back\\slash", "ünï".encode(), b"\x1b[2J", b"\xed\xa0\x80"]
    happening = happen("/bin/true", *nasty)
    document = happening.one("exec")
    assert document["process"]["args"] == ["/bin/true", "new\nline", '"quotes"', "\\xff\\xfe\\x80", "back\\slash", "ünï", "\x1b[2J",
                                           "\\xed\\xa0\\x80"]
    assert "process.args" in document["taffrail"]["escaped"] and "process.command_line" in document["taffrail"]["escaped"]


def test_four_thousand_arguments(happen):
    """All that fit are there; that some do not is said."""
    arguments = [f"argument-{number}-" + "x" * 20 for number in range(4000)]
    document = happen("/bin/true", *arguments).one("exec")
    args = document["process"]["args"]
    assert document["process"]["args_count"] == 4001
    if len(args) < 4001:
        assert "process.args" in document["taffrail"]["truncated"]
    assert len(args) > 500
    assert args[1:-1] == arguments[:len(args) - 2] and arguments[len(args) - 2].startswith(args[-1])


def test_no_environment_by_default(happen, container, sensor):
    happen("/bin/true", env={"SECRET_OF_THE_TEST": "4711"})
    assert not [line for line in sensor.lines if "SECRET_OF_THE_TEST" in line]


# --- files -----------------------------------------------------------------------------------------------------------

def test_open_for_reading_writing_and_creation(python, tmp_path):
    (tmp_path / "old.txt").write_text("x")
    (tmp_path / "old.txt").chmod(0o640)
    happening = python("""
folder = sys.argv[1]
os.open(folder + "/old.txt", os.O_RDONLY | os.O_CLOEXEC)
os.open(folder + "/old.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o777)
os.open(folder + "/new.tar.gz", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o604)
""", str(tmp_path))
    read = happening.one("open", file__path=str(tmp_path / "old.txt"), event__type=["access"])
    write = happening.one("open", file__path=str(tmp_path / "old.txt"), event__type=["change"])
    new = happening.one("open", file__path=str(tmp_path / "new.tar.gz"))
    assert new["event"]["type"] == ["creation"]
    assert read["file"] == {"path": str(tmp_path / "old.txt"), "name": "old.txt", "directory": str(tmp_path), "extension": "txt",
                            "inode": str((tmp_path / "old.txt").stat().st_ino), "mode": "0640", "type": "file"}
    assert read["taffrail"]["file"]["argument"] == str(tmp_path / "old.txt")
    assert read["taffrail"]["file"]["flags"] == ["O_RDONLY", "O_CLOEXEC"]
    assert write["taffrail"]["file"]["flags"][0] == "O_WRONLY"
    assert sorted(write["taffrail"]["file"]["flags"][1:]) == ["O_APPEND", "O_CLOEXEC", "O_CREAT"]
    assert sorted(new["taffrail"]["file"]["flags"]) == ["O_CLOEXEC", "O_CREAT", "O_EXCL", "O_RDWR"]
    assert new["file"]["extension"] == "gz" and new["file"]["mode"] == "0604"


@pytest.mark.parametrize("how", ["open", "openat", "openat2", "creat"])
def test_every_system_call_that_opens(python, tmp_path, how):
    (tmp_path / "f").touch()
    happening = python("""
folder, how = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
name = (folder + "/f").encode()
fd = {"open": lambda: libc.syscall(2, name, 0, 0), "openat": lambda: libc.syscall(257, -100, name, 0, 0), "creat": lambda: libc.syscall(85, name, 0o600),
      "openat2": lambda: libc.syscall(437, -100, name, struct.pack("QQQ", 0, 0, 0), 24)}[how]()
assert fd >= 0
""", str(tmp_path), how)
    document = happening.one("open", file__path=str(tmp_path / "f"))
    assert document["event"]["type"] == (["change"] if how == "creat" else ["access"])
    if how == "creat":
        assert document["taffrail"]["file"]["flags"] == ["O_WRONLY", "O_CREAT", "O_TRUNC"]


def test_path_is_the_kernels_and_argument_the_programs(python, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").touch()
    (tmp_path / "link").symlink_to("real")
    happening = python("os.chdir(sys.argv[1]); os.open('link/..//link/./f', os.O_RDONLY)", str(tmp_path))
    document = happening.one("open", file__path=str(tmp_path / "real" / "f"))
    assert document["taffrail"]["file"]["argument"] == "link/..//link/./f"


def test_path_is_seen_from_outside_a_chroot(python, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").touch()
    happening = python("os.chroot(sys.argv[1] + '/in'); os.chdir('/'); os.open('/f', os.O_RDONLY)", str(tmp_path))
    document = happening.one("open", file__path=str(tmp_path / "in" / "f"))
    assert document["taffrail"]["file"]["argument"] == "/f"


def test_failed_open_has_the_normalised_argument(python, tmp_path):
    happening = python("""
os.chdir(sys.argv[1])
for path in ("./no//such/../file", "/nope"):
    try:
        os.open(path, os.O_RDONLY)
    except OSError:
        pass
""", str(tmp_path))
    relative = happening.one("open", taffrail__file__argument="./no//such/../file")
    assert relative["event"]["outcome"] == "failure" and relative["error"] == {"code": "ENOENT"}
    assert relative["file"] == {"path": str(tmp_path / "no" / "file"), "name": "file", "directory": str(tmp_path / "no")}
    absolute = happening.one("open", taffrail__file__argument="/nope")
    assert absolute["file"] == {"path": "/nope", "name": "nope", "directory": "/"}
    assert absolute["event"]["type"] == ["access"]


def test_failed_open_for_writing_is_no_creation(python, tmp_path):
    happening = python("""
try:
    os.open(sys.argv[1] + "/absent/f", os.O_WRONLY | os.O_CREAT, 0o600)
except OSError:
    pass
""", str(tmp_path))
    assert happening.one("open", file__path=str(tmp_path / "absent" / "f"))["event"]["type"] == ["change"]


def test_name_that_is_no_text(python, tmp_path):
    happening = python("os.open(os.fsencode(sys.argv[1]) + b'/q\\xffx\\\\y', os.O_WRONLY | os.O_CREAT, 0o600)", str(tmp_path))
    document = happening.one("open", file__directory=str(tmp_path))
    assert document["file"]["name"] == "q\\xffx\\\\y" and document["file"]["path"] == f"{tmp_path}/q\\xffx\\\\y"
    assert sorted(document["taffrail"]["escaped"]) == ["file.name", "file.path", "taffrail.file.argument"]


def test_over_long_path_keeps_its_tail(python, tmp_path):
    happening = python("""
os.chdir(sys.argv[1])
for i in range(25):
    os.mkdir("d" * 200); os.chdir("d" * 200)
os.close(os.open("the-end", os.O_WRONLY | os.O_CREAT, 0o600))
os.unlink("the-end")
for i in range(25):
    os.chdir(".."); os.rmdir("d" * 200)
""", str(tmp_path))
    document = happening.one("open", taffrail__file__argument="the-end")
    assert document["file"]["name"] == "the-end" and document["file"]["path"].endswith("d" * 200 + "/the-end")
    assert len(document["file"]["path"]) > 3800
    assert "file.path" in document["taffrail"]["truncated"]


def test_file_of_another_mount_namespace_is_foreign(python, tmp_path):
    (tmp_path / "f").touch()
    happening = python("""
folder = os.open(sys.argv[1], os.O_PATH)
libc = ctypes.CDLL(None)
assert libc.unshare(0x20000) == 0 and libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None) == 0
os.open("f", os.O_RDONLY, dir_fd=folder)
""", str(tmp_path))
    document = happening.one("open", taffrail__file__argument="f", event__outcome="success")
    assert document["taffrail"]["file"]["foreign"] is True and document["file"]["name"] == "f"


@pytest.mark.parametrize("path,kind", [("/dev/null", "char"), ("/etc", "dir"), ("/bin/true", "file")])
def test_types_of_files(python, path, kind):
    happening = python("os.open(sys.argv[1], os.O_RDONLY | os.O_NOCTTY)", path)
    found = happening.of("open", taffrail__file__argument=path)
    assert found and {document["file"]["type"] for document in found} == {kind}


def test_opens_are_counted_exactly(python, tmp_path):
    """Collapsed or not: the counts add up to the opens."""
    (tmp_path / "f").touch()
    happening = python("""
for i in range(1000):
    os.close(os.open(sys.argv[1], os.O_RDONLY))
""", str(tmp_path / "f"))
    assert sum(get(document, "taffrail.count") or 1 for document in happening.of("open", file__path=str(tmp_path / "f"))) == 1000


# --- network ---------------------------------------------------------------------------------------------------------

def community_id(source, source_port, destination, destination_port, protocol):
    """Community ID 1, seed 0, as its specification has it."""
    ends = sorted([(ipaddress.ip_address(source).packed, source_port), (ipaddress.ip_address(destination).packed, destination_port)])
    data = b"\0\0" + ends[0][0] + ends[1][0] + struct.pack(">BBHH", protocol, 0, ends[0][1], ends[1][1])
    return "1:" + base64.b64encode(hashlib.sha1(data).digest()).decode()


PAIR = """
family, address = getattr(socket, sys.argv[1]), sys.argv[2]
server = socket.socket(family, socket.SOCK_STREAM)
server.bind((address, 0)); server.listen(5)
client = socket.socket(family, socket.SOCK_STREAM)
client.connect(server.getsockname()[:2])
peer, _ = server.accept()
client.sendall(b"x" * 1000); got = 0
while got < 1000: got += len(peer.recv(4096))
peer.sendall(b"y" * 30000); got = 0
while got < 30000: got += len(client.recv(65536))
time.sleep(0.2)
print(client.getsockname()[1], server.getsockname()[1], flush=True)
client.close(); time.sleep(0.2); peer.close(); server.close(); time.sleep(0.3)
"""


@pytest.mark.parametrize("family,address,kind", [("AF_INET", "127.0.0.1", "ipv4"), ("AF_INET6", "::1", "ipv6")])
def test_tcp_from_listen_to_disconnect(python, family, address, kind):
    happening = python(PAIR, family, address)
    listen = happening.one("listen")
    port = listen["destination"]["port"]
    assert listen["destination"] == {"ip": address, "port": port}
    assert "source" not in listen and listen["event"]["outcome"] == "success"
    assert listen["network"] == {"transport": "tcp", "type": kind, "direction": "ingress"}
    connect, accept = happening.one("connection_attempted"), happening.one("connection_accepted")
    source = connect["source"]
    for document, direction in ((connect, "egress"), (accept, "ingress")):
        assert document["event"]["outcome"] == "success" and document["process"]["pid"] == happening.pid
        assert document["source"] == {"ip": address, "port": source["port"]}
        assert document["destination"] == {"ip": address, "port": port}
        assert document["network"] == {"transport": "tcp", "type": kind, "direction": direction,
                                       "community_id": community_id(address, source["port"], address, port, 6)}
    ends = happening.of("disconnect_received")
    assert sorted(document["network"]["direction"] for document in ends) == ["egress", "ingress"]
    for document in ends:
        packets = [document[end].pop("packets") for end in ("source", "destination")]
        assert document["source"] == {"ip": address, "port": source["port"], "bytes": 1000}
        assert document["destination"] == {"ip": address, "port": port, "bytes": 30000}
        assert min(packets) >= 2 and document["network"]["packets"] == sum(packets)
        assert document["taffrail"]["flow"]["state"] == "established"
        assert document["network"]["bytes"] == 31000
        assert document["event"]["duration"] >= 200_000_000


def test_refused_connect_has_no_disconnect(python):
    happening = python("""
probe = socket.socket(); probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]; probe.close()
client = socket.socket()
assert client.connect_ex(("127.0.0.1", port)) != 0
client.close()
""")
    document = happening.one("connection_attempted")
    assert document["event"]["outcome"] == "failure" and document["error"] == {"code": "ECONNREFUSED"}
    assert document["destination"]["ip"] == "127.0.0.1"
    assert happening.of("disconnect_received") == []


def test_connect_without_an_answer_is_unknown_after_5_seconds(python):
    """A listener whose queue is full: the kernel drops what would be the next."""
    happening = python("""
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(0)
clients = [socket.socket() for i in range(3)]
for client in clients:
    client.setblocking(False); client.connect_ex(server.getsockname())
time.sleep(6.5)
""")
    assert len(happening.of("connection_attempted")) == 3, "one document a connect"
    unknown = happening.of("connection_attempted", event__outcome="unknown")
    assert 1 <= len(unknown) <= 2
    assert all("error" not in document for document in unknown)


def test_mapped_address_is_ipv4(python):
    happening = python("""
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(1)
client = socket.socket(socket.AF_INET6); client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
""")
    document = happening.one("connection_attempted")
    assert document["destination"]["ip"] == "127.0.0.1" and document["network"]["type"] == "ipv4"


def test_unix_sockets_by_their_names(python, tmp_path):
    happening = python("""
for name in (sys.argv[1] + "/s", "\\0taffrail-abstract"):
    server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen(1)
    client = socket.socket(socket.AF_UNIX); client.connect(name); server.accept()
failing = socket.socket(socket.AF_UNIX)
assert failing.connect_ex(sys.argv[1] + "/absent") != 0
""", str(tmp_path))
    for name in (f"{tmp_path}/s", "@taffrail-abstract"):
        document = happening.one("connection_attempted", destination__address=name)
        assert document["network"]["transport"] == "unix" and document["event"]["outcome"] == "success"
        assert "ip" not in document["destination"] and "community_id" not in document["network"]
        assert happening.one("listen", destination__address=name)["network"]["transport"] == "unix"
    failed = happening.one("connection_attempted", event__outcome="failure")
    assert failed["error"] == {"code": "ENOENT"} and failed["destination"] == {"address": f"{tmp_path}/absent"}


def test_first_datagram_to_each_peer(python):
    happening = python("""
peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for i in range(3)]
for peer in peers: peer.bind(("127.0.0.1", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sender.bind(("127.0.0.1", 0))
for i in range(10):
    for peer in peers: sender.sendto(b"hello", peer.getsockname())
""")
    sent = happening.of("send")
    assert len(sent) == 3 and len({document["destination"]["port"] for document in sent}) == 3
    for document in sent:
        assert document["network"]["transport"] == "udp" and document["network"]["direction"] == "egress"
        assert document["event"]["outcome"] == "success" and document["destination"]["ip"] == "127.0.0.1"


def test_connected_datagram_socket_is_a_connection_attempted(python):
    happening = python("""
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); peer.bind(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.connect(peer.getsockname())
client.send(b"x")
""")
    document = happening.one("connection_attempted")
    assert document["network"]["transport"] == "udp" and document["event"]["outcome"] == "success"
    assert document["network"]["community_id"] == community_id("127.0.0.1", document["source"]["port"], "127.0.0.1",
                                                               document["destination"]["port"], 17)


def test_wait_for_names_is_not_needed_without_a_runtime(sensor, happen):
    """Nothing stays behind: after the end of a container's last process every event of it is out."""
    happening = happen("/bin/sh", "-c", "/bin/true; /bin/true; /bin/true")
    assert len(happening.of("exec")) == 4 and len(happening.of("fork")) == 3 and len(happening.of("end")) == 4
