# SPDX-License-Identifier: Apache-2.0
"""What containers open."""
import posixpath

import pytest

from conftest import get, named


def opened(sensor, container, path, **where):
    """The one open of that path, whose names and directory must agree with it."""
    document = sensor.one(container, "open", file__path=path, **where)
    assert document["file"]["name"] == posixpath.basename(path) and document["file"]["directory"] == posixpath.dirname(path)
    assert document["event"]["category"] == ["file"] and document["event"]["dataset"] == "taffrail.file"
    return document


def test_file_that_is_read(sensor, pods):
    pod = pods()
    container = pod.run("main", "/bin/cat", "/srv/www/index.html")
    assert container.wait() == 0
    document = opened(sensor, container, "/srv/www/index.html")
    named(document, pod, "main")
    assert document["event"]["type"] == ["access"] and document["event"]["outcome"] == "success"
    assert document["file"]["extension"] == "html" and document["file"]["type"] == "file" and document["file"]["mode"] == "0644"
    assert document["file"]["inode"].isdigit()
    assert document["taffrail"]["file"]["argument"] == "/srv/www/index.html"
    assert document["taffrail"]["file"]["flags"] == ["O_RDONLY"]
    assert document["process"]["name"] == "cat" and get(document, "taffrail.file.foreign") is None


def test_argument_and_the_kernels_path(sensor, idle):
    assert idle.execute("/bin/sh", "-c", "cd /srv; exec /bin/cat ../srv//www/./index.html")[0] == 0
    document = opened(sensor, idle, "/srv/www/index.html")
    assert document["taffrail"]["file"]["argument"] == "../srv//www/./index.html"


def test_file_that_is_created_written_and_appended_to(sensor, idle):
    script = "umask 027; echo one > /tmp/new.txt; echo two > /tmp/new.txt; echo three >> /tmp/new.txt; cat < /tmp/new.txt"
    assert idle.execute("/bin/sh", "-c", script) == (0, b"two\nthree\n", b"")
    documents = sensor.wait(idle, "open", 4, file__path="/tmp/new.txt")
    assert [document["event"]["type"] for document in documents] == [["creation"], ["change"], ["change"], ["access"]]
    assert len({document["file"]["inode"] for document in documents}) == 1
    assert {document["file"]["mode"] for document in documents} == {"0640"}
    flags = [document["taffrail"]["file"]["flags"] for document in documents]
    assert flags[0] == flags[1] == ["O_WRONLY", "O_CREAT", "O_TRUNC"]
    assert flags[2] == ["O_WRONLY", "O_CREAT", "O_APPEND"] and flags[3] == ["O_RDONLY"]


@pytest.mark.parametrize("user, path, code", [(None, "/tmp/none", "ENOENT"), (1000, "/etc/shadow", "EACCES"), (None, "/etc/passwd/x", "ENOTDIR")])
def test_open_that_fails(sensor, pods, user, path, code):
    pod = pods()
    container = pod.run("main", "/bin/cat", path, user=user)
    assert container.wait() == 1
    document = opened(sensor, container, path)
    named(document, pod, "main")
    assert document["event"]["outcome"] == "failure" and document["error"]["code"] == code
    assert document["taffrail"]["file"]["argument"] == path


def test_opens_are_counted(sensor, idle):
    """Repeats may be one document, but none is missing from its count."""
    assert idle.execute("/bin/sh", "-c", "n=0; while [ $n -lt 300 ]; do : < /srv/www/index.html; n=$((n+1)); done")[0] == 0
    assert idle.execute("/bin/cat", "/etc/hostname")[0] == 0
    sensor.one(idle, "open", file__path="/etc/hostname")
    documents = sensor.of(idle, "open", file__path="/srv/www/index.html")
    assert sum(get(document, "taffrail.count") or 1 for document in documents) == 300


def test_volume_is_seen_by_its_path_in_the_container(sensor, pods, tmp_path):
    (tmp_path / "page").write_text("x", encoding="ascii")
    container = pods().run("main", "/bin/cat", "/data/page", mounts=[(str(tmp_path), "/data")])
    assert container.wait() == 0
    opened(sensor, container, "/data/page")
