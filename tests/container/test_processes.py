# SPDX-License-Identifier: Apache-2.0
"""What containers execute."""
import pytest

from conftest import get, named


def marked(sensor, container, mark, **where):
    """The exec whose last argument is the mark."""
    sensor.running.wait_for(lambda: [1 for document in sensor.of(container, "exec") if mark in document["process"]["args"]])
    found = [document for document in sensor.of(container, "exec", **where) if mark in document["process"]["args"]]
    assert len(found) == 1, found
    return found[0]


def test_exec_of_the_runtime_is_told_from_the_containers_own(sensor, pods):
    """What `kubectl exec` starts is an entry of its own; its children belong to it."""
    pod = pods()
    container = pod.run("main", "/bin/sh", "-c", "/bin/true own; exec /bin/sleep 1000000")
    assert container.execute("/bin/sh", "-c", "/bin/true child; exit 3")[0] == 3
    own = marked(sensor, container, "own")
    child = marked(sensor, container, "child")
    shells = sensor.wait(container, "exec", 2, process__name="sh")
    first, entered = sorted(shells, key=lambda document: document["process"]["vpid"])
    for document in (own, child, first, entered):
        named(document, pod, "main")
    assert first["process"]["vpid"] == 1
    for document, leader, kind in ((own, first, "container"), (first, first, "container"), (child, entered, "runtime-exec"),
                                   (entered, entered, "runtime-exec")):
        said = document["process"]["entry_leader"]
        assert said["entity_id"] == leader["process"]["entity_id"] and said["pid"] == leader["process"]["pid"]
        assert said["entry_meta"]["type"] == kind
    assert child["process"]["parent"]["entity_id"] == entered["process"]["entity_id"]
    ended = sensor.one(container, "end", process__entity_id=entered["process"]["entity_id"])
    assert ended["process"]["exit_code"] == 3
    assert ended["process"]["entry_leader"]["entry_meta"]["type"] == "runtime-exec"


def test_entry_lasts_over_execs(sensor, idle):
    """A process that executes a second and a third program is still what it was: the same entity, the same entry."""
    for number in range(10):
        mark = f"end-{number}"
        assert idle.execute("/bin/sh", "-c", f"exec /bin/sh -c 'exec /bin/true {mark}'")[0] == 0
        last = marked(sensor, idle, mark)
        images = sensor.wait(idle, "exec", 3, process__entity_id=last["process"]["entity_id"])
        assert len({get(document, "taffrail.process.exec_id") for document in images}) == 3
        assert [get(document, "process.entry_leader.entry_meta.type") for document in images] == ["runtime-exec"] * 3
        assert {get(document, "process.entry_leader.entity_id") for document in images} == {last["process"]["entity_id"]}


def test_program_called_runc_is_as_visible_as_any(sensor, pods):
    """What the real runc does on its way in is marked; a name does not make a program the runtime."""
    pod = pods()
    container = pod.run("main", "/bin/sh", "-c", "/bin/cp /bin/busybox /tmp/runc && /tmp/runc init own; exec /tmp/runc init first")
    container.wait()
    assert marked(sensor, container, "own")["process"]["executable"] == "/tmp/runc"
    assert marked(sensor, container, "first")["process"]["vpid"] == 1
    other = pod.run("other", "/bin/sh", "-c", "/bin/cp /bin/busybox /tmp/runc && exec /bin/sleep 1000000")
    sensor.one(other, "exec", process__name="sleep")
    other.execute("/bin/sh", "-c", "exec /tmp/runc init entered")
    other.execute("/tmp/runc", "init", "at-once")
    assert marked(sensor, other, "entered")["process"]["entry_leader"]["entry_meta"]["type"] == "runtime-exec"
    assert marked(sensor, other, "at-once")["process"]["executable"] == "/tmp/runc"
    for document in sensor.of(container) + sensor.of(other):
        if get(document, "process.executable") == "/tmp/runc":
            assert get(document, "taffrail.runtime_setup") is None


def test_parent_of_an_entry_is_the_runtimes(sensor, idle):
    """The ancestors outside the container, as they were at the exec, though runc has gone since."""
    assert idle.execute("/bin/true", "parent")[0] == 0
    parent = marked(sensor, idle, "parent")["process"]["parent"]
    assert parent["name"].startswith(("runc", "containerd-shim")) and parent["pid"] > 0


def test_user_of_the_container(sensor, pods):
    pod = pods()
    container = pod.run("main", "/bin/true", user=1000)
    document = sensor.one(container, "exec", process__name="true")
    assert document["process"]["user"]["id"] == "1000" and document["process"]["group"]["id"] == "1000"


def test_exit_code_and_signal(sensor, idle):
    for command, code, number in (("exit 7", 7, None), ("kill -9 $$", 137, 9), ("kill -15 $$", 143, 15)):
        assert idle.execute("/bin/sh", "-c", command)[0] == code
        started = sensor.one(idle, "exec", process__args=["/bin/sh", "-c", command])
        ended = sensor.one(idle, "end", process__entity_id=started["process"]["entity_id"])
        assert ended["process"]["exit_code"] == code and get(ended, "taffrail.process.exit_signal") == number


def test_forks_are_of_processes_and_each_once(sensor, idle):
    assert idle.execute("/bin/sh", "-c", "for n in 1 2 3 4 5; do (:); done; : five-forks")[0] == 0
    shell = sensor.one(idle, "exec", process__args=["/bin/sh", "-c", "for n in 1 2 3 4 5; do (:); done; : five-forks"])
    entity = shell["process"]["entity_id"]
    forks = sensor.wait(idle, "fork", 5, process__parent__entity_id=entity)
    ends = sensor.wait(idle, "end", 5, process__parent__entity_id=entity)
    assert {document["process"]["entity_id"] for document in forks} == {document["process"]["entity_id"] for document in ends}
    assert len({document["process"]["entity_id"] for document in forks}) == 5


def test_exec_that_fails(sensor, idle):
    assert idle.execute("/bin/sh", "-c", "/no/such/program; /etc/passwd; :")[0] == 0
    for path, code in (("/no/such/program", "ENOENT"), ("/etc/passwd", "EACCES")):
        document = sensor.one(idle, "exec", taffrail__file__argument=path)
        assert document["event"]["outcome"] == "failure" and document["error"]["code"] == code
        assert document["process"]["name"] == "sh"


def test_script_names_its_interpreter_and_itself(sensor, idle):
    assert idle.execute("/usr/bin/script", "a", "b") == (0, b"script a b\n", b"")
    document = sensor.one(idle, "exec", taffrail__process__script="/usr/bin/script")
    assert document["process"]["executable"] == "/bin/busybox" and document["process"]["name"] == "script"
    assert document["process"]["args"] == ["/bin/sh", "/usr/bin/script", "a", "b"]


def test_program_that_was_written_and_deleted(sensor, idle):
    name = "/tmp/busybox-dropped"  # busybox wants its name at the beginning, so the second exec is one without success
    assert idle.execute("/bin/sh", "-c", f"/bin/cp /bin/busybox {name} && exec {name} sh -c '/bin/rm {name}; exec /proc/self/exe'")[0] == 127
    dropped = sensor.wait(idle, "exec", 2, process__executable=name)
    assert [get(document, "taffrail.process.deleted") for document in dropped] == [None, True]


def test_hostile_arguments(sensor, idle):
    """Newlines, quotes and bytes that are no text arrive as they were, in documents that are still one line each."""
    plain = ["/bin/true", "a\nb", "\"'\\", "", " ", "\t\r\x1b[31m\x07", "größe", "{\"event\":1}", "\u2028", "$(id)", "-n"]
    assert idle.execute(*plain)[0] == 0
    document = sensor.one(idle, "exec", process__args_count=len(plain))
    assert document["process"]["args"] == plain
    assert get(document, "taffrail.escaped") is None and get(document, "taffrail.truncated") is None
    assert idle.execute("/bin/sh", "-c", "exec /bin/true invalid \"$(printf 'a\\377b\\200\\134')\" 'back\\slash'")[0] == 0
    document = marked(sensor, idle, "invalid", process__name="true")
    assert document["process"]["args"] == ["/bin/true", "invalid", "a\\xffb\\x80\\\\", "back\\slash"]
    assert "process.args" in document["taffrail"]["escaped"]


def test_4000_arguments(sensor, idle):
    """All counted; those that are carried are the first, in order, and what was cut is said."""
    wanted = [f"argument-{number}" for number in range(1, 4001)]
    assert idle.execute("/bin/sh", "-c", "exec /bin/true $(seq -f argument-%g 4000 2>/dev/null || seq 4000 | sed s/^/argument-/)")[0] == 0
    document = marked(sensor, idle, "argument-1")
    args = document["process"]["args"]
    assert document["process"]["args_count"] == 4001
    assert args[0] == "/bin/true" and len(args) > 1000
    assert args[1:-1] == wanted[:len(args) - 2]
    if args[1:] != wanted:
        assert wanted[len(args) - 2].startswith(args[-1])
        assert "process.args" in document["taffrail"]["truncated"]


@pytest.mark.parametrize("count", [1, 50, 500])
def test_execs_are_counted_exactly(sensor, idle, count):
    assert idle.execute("/bin/sh", "-c", f"n=0; while [ $n -lt {count} ]; do /bin/true $n; n=$((n+1)); done")[0] == 0
    execs = sensor.wait(idle, "exec", count, process__name="true")
    assert [document["process"]["args"][1] for document in execs] == [str(number) for number in range(count)]
    assert len(sensor.wait(idle, "end", count, process__name="true")) == count
