# SPDX-License-Identifier: Apache-2.0
"""The images: what is in them, that they come out the same again, and that they run."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import spdx
from conftest import Documents, get, once
from oci import NAMES, Image, pack
from programs import BIN, ROOT, version

pytestmark = once


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pack(folder)
    return folder


@pytest.fixture(scope="module")
def images(archives):
    return {name: Image(archives / f"{name}.tar") for name in NAMES}


def test_the_same_programs_give_the_same_images(archives, tmp_path):
    """In another folder, of files of other times and modes, with another umask and time zone."""
    shutil.copytree(BIN, tmp_path / "bin", copy_function=shutil.copyfile, ignore=lambda _, names: [each for each in names if not each.startswith("taffrail")])
    for name in os.listdir(tmp_path / "bin"):
        os.chmod(tmp_path / "bin" / name, 0o700)
    pack(tmp_path / "out", tmp_path / "bin", cwd="/", env={**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C"}, preexec_fn=lambda: os.umask(0o077))
    for name in NAMES:
        for kind in ("tar", "spdx.json"):
            assert (tmp_path / "out" / f"{name}.{kind}").read_bytes() == (archives / f"{name}.{kind}").read_bytes(), name


@pytest.mark.skipif(os.path.realpath(BIN) != os.path.realpath(os.path.join(ROOT, "build", "bin")), reason="the programs are not the checkout's own")
def test_a_checkout_elsewhere_gives_the_same_images(archives, tmp_path):
    """All is built once more, of the same commit and the same changes to it, in a folder with a name of another length."""
    elsewhere, trusting = tmp_path / "another" / "checkout", tmp_path / "gitconfig"
    trusting.write_text("[safe]\n\tdirectory = *\n")  # the checkout may be another one's than root's
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(trusting)}
    subprocess.run(["git", "clone", "-q", ROOT, str(elsewhere)], check=True, env=environment)
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True, env=environment).stdout
    for name in filter(None, listed.split("\0")):
        here, there = os.path.join(ROOT, name), elsewhere / name
        if not os.path.lexists(here):
            there.unlink(missing_ok=True)
        elif os.path.islink(here) or not there.exists() or (there.read_bytes(), os.stat(there).st_mode) != (Path(here).read_bytes(), os.stat(here).st_mode):
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            shutil.copy2(here, there, follow_symlinks=False)
    subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "images"], cwd=elsewhere, check=True)
    for name in NAMES:
        assert Image(elsewhere / f"build/images/{name}.tar").entry == Image(archives / f"{name}.tar").entry
    shutil.rmtree(elsewhere)


@pytest.mark.parametrize("name, user, programs", [("sensor", "0:0", ["taffrail-sensor"]), ("collector", "65532:65532", ["taffrail", "taffrail-collector"])])
def test_what_is_in_an_image(images, name, user, programs):
    image = images[name]
    config = image.config["config"]
    assert image.name == f"docker.io/taffrail/{name}:{version()}"
    assert config["User"] == user and config["Entrypoint"] == [f"/usr/bin/taffrail-{name}"]
    assert config["Labels"]["org.opencontainers.image.version"] == version()
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", config["Labels"]["org.opencontainers.image.revision"])
    executables = [path for path, (member, _) in image.files.items() if path.startswith("/usr/bin/") and not member.isdir()]
    assert sorted(executables) == [f"/usr/bin/{program}" for program in programs], "no shell, nothing else"
    times = {member.mtime for member, _ in image.files.values()}
    assert len(times) == 1
    for path, (member, _) in image.files.items():
        assert member.issym() or not member.mode & 0o7022, f"{path}: {member.mode:o}"
        owner = int(user.split(":", maxsplit=1)[0]) if path == "/var/lib/taffrail" else 0
        assert (member.uid, member.gid) == (owner, owner), path
        assert not member.issym() or resolved(image, path) in image.files, f"{path} leads nowhere"
    for program in programs:
        data = image.files[f"/usr/bin/{program}"][1]
        assert b".debug_info" not in data and b".note.gnu.build-id" in data
        assert ROOT.encode() not in data, "the checkout's folder is in the program"
    assert sum(len(blob) for blob in image.blobs.values()) < 8 << 20, "small"


def resolved(image, path):
    for _ in range(10):
        parts = path.split("/")
        for number in range(2, len(parts) + 1):
            start = "/".join(parts[:number])
            if start in image.files and image.files[start][0].issym():
                path = os.path.normpath(os.path.join(os.path.dirname(start), image.files[start][0].linkname, *parts[number:]))
                break
        else:
            return path
    return path


@pytest.mark.parametrize("name", NAMES)
def test_bill_of_materials(archives, images, name):
    """Valid, the same in the image and beside it, and each file of the image belongs to something in it, with its licence."""
    text = (archives / f"{name}.spdx.json").read_bytes()
    image = images[name]
    assert image.files[f"/usr/share/doc/taffrail/{name}.spdx.json"][1] == text
    document = json.loads(text)
    spdx.validate(document)
    packages = {package["name"]: package for package in document["packages"]}
    assert packages["libc6"]["versionInfo"] == subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libc6"], capture_output=True, text=True, check=True).stdout
    assert packages["libssl3"]["licenseDeclared"].endswith(" AND Apache-2.0")
    debian = [package for package in packages.values() if package["supplier"] == "Organization: Debian"]
    for package in debian:
        assert image.files[f"/usr/share/doc/{package['name']}/copyright"][1]
        assert f"Version: {package['versionInfo']}\n" in image.files[f"/var/lib/dpkg/status.d/{package['name']}"][1].decode()
    owned = set()
    for package in debian:
        listed = subprocess.run(["dpkg", "-L", package["name"]], capture_output=True, text=True, check=True).stdout.splitlines()
        owned |= {path if path.startswith("/usr/") else "/usr" + path for path in listed}
    for path in image.files:
        if "/lib/" in path and ".so" in path:
            assert path in owned, f"{path} is of no package in the bill"


def test_a_bill_that_is_wrong_is_found(archives):
    """The validator's own test: each of these is against SPDX."""
    text = (archives / "sensor.spdx.json").read_text()
    for change in (lambda d: d.pop("documentNamespace"), lambda d: d["packages"][1].pop("downloadLocation"),
                   lambda d: d["packages"][1].update(licenseDeclared="GPL-2+"), lambda d: d["packages"][1].update(licenseDeclared="MIT AND"),
                   lambda d: d["relationships"][1].update(relatedSpdxElement="SPDXRef-nobody"), lambda d: d["creationInfo"].update(created="today"),
                   lambda d: d["packages"][2].update(SPDXID=d["packages"][1]["SPDXID"])):
        document = json.loads(text)
        change(document)
        with pytest.raises((AssertionError, KeyError)):
            spdx.validate(document)


@pytest.fixture(scope="module")
def imported(archives, socket_path, runtime):
    """Both images in the laboratory's containerd, by the names that an import gives."""
    names = {}
    ctr = ["ctr", "--address", socket_path, "--namespace", "k8s.io", "images"]
    for name in NAMES:
        subprocess.run([*ctr, "import", str(archives / f"{name}.tar")], check=True, capture_output=True, timeout=60)
        names[name] = f"docker.io/taffrail/{name}:{version()}"
        assert runtime.image_id(names[name]), "the CRI does not know the image"
    yield names
    subprocess.run([*ctr, "rm", *names.values()], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_version_in_a_container(pods, imported, tmp_path, name):
    pod = pods(log_directory=str(tmp_path))
    container = pod.run("version", image=imported[name], args=["--version"], readonly=True)
    assert container.wait() == 0, (tmp_path / "version.log").read_text()
    assert f"taffrail-{name} {version()}" in (tmp_path / "version.log").read_text()


def test_time_zones_are_in_the_sensors_image(pods, imported, tmp_path):
    """A rule's hours are in a zone by its name; one that is not there is refused."""
    rule = "- rule: late\n  desc: d\n  condition: evt.type=execve\n  output: o\n  priority: NOTICE\n  hours: {outside: '08:00-18:00', zone: %s}\n"
    said = {}
    for zone in ("Europe/Berlin", "Europe/Nowhere"):
        folder = tmp_path / zone.rsplit("/", maxsplit=1)[-1]
        folder.mkdir()
        (folder / "rules.yaml").write_text(rule % zone)
        pod = pods(log_directory=str(folder))
        container = pod.run("zone", image=imported["sensor"], args=["--check-config", "--stdout", "--rules", "/rules/rules.yaml"], readonly=True, mounts=[(str(folder), "/rules")])
        said[zone] = container.wait(), (folder / "zone.log").read_text()
    assert said["Europe/Berlin"][0] == 0 and said["Europe/Nowhere"][0] == 2 and "Europe/Nowhere" in said["Europe/Nowhere"][1], said


def test_collector_in_its_container(pods, imported, start, socket_path, tmp_path):
    """As its own user, with a root that it may only read: takes a sensor's events, keeps them, and answers its own command line."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65532, 65532)
    pod = pods(log_directory=str(tmp_path))
    collector = pod.run("collector", image=imported["collector"], readonly=True, mounts=[(str(data), "/var/lib/taffrail", True)], args=[
        "--listen", "0.0.0.0:7443", "--insecure", "--data", "/var/lib/taffrail/store", "--output", "ecs-json:/var/lib/taffrail/events.ndjson"])
    sensor = start("taffrail-sensor", "--collector", f"{pod.ip}:7443", "--insecure", "--cri", socket_path)
    sensor.ready()
    work = pods().run("work", "/bin/true", "for-the-collector")

    def seen():
        path = data / "events.ndjson"
        found = [json.loads(line) for line in path.read_text().splitlines() if "for-the-collector" in line] if path.exists() else []
        return [document for document in found if get(document, "container.id") == work.id and get(document, "process.args") == ["/bin/true", "for-the-collector"]]

    sensor.wait_for(seen)
    assert os.stat(data / "events.ndjson").st_uid == 65532
    assert sensor.end() == 0, sensor.log
    code, output, error = collector.execute("/usr/bin/taffrail", "status", "--json", "--data", "127.0.0.1:7443")
    assert code == 0, (output, error, (tmp_path / "collector.log").read_text())
    books = json.loads(output.splitlines()[0])
    assert books, output


@pytest.mark.skipif(not shutil.which("qemu-aarch64-static") or not os.path.exists(os.path.join(ROOT, "build/arm64/images/sensor.tar")),
                    reason="wants make images ARCH=arm64, and Debian's qemu-user-static")
def test_the_programs_of_the_other_architecture(tmp_path):
    for name, programs in (("sensor", ["taffrail-sensor"]), ("collector", ["taffrail-collector", "taffrail"])):
        image = Image(os.path.join(ROOT, f"build/arm64/images/{name}.tar"))
        assert image.config["architecture"] == "arm64"
        with open(os.path.join(ROOT, f"build/arm64/images/{name}.spdx.json"), encoding="utf-8") as file:
            spdx.validate(json.load(file))
        root = tmp_path / name
        root.mkdir()
        image.unpack(root)
        for program in programs:
            done = subprocess.run(["qemu-aarch64-static", "-L", str(root), str(root / "usr/bin" / program), "--version"], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and version() in done.stdout, done.stderr


__all__ = ["Documents"]
