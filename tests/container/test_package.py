# SPDX-License-Identifier: Apache-2.0
"""The Debian package and its systemd units: made, installed, run by a real systemd (systemd.sh), removed."""
import ctypes
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, HERE, once
from programs import BIN, ROOT

pytestmark = once
PROGRAMS = ("taffrail", "taffrail-collector", "taffrail-sensor")
UNITS = ("taffrail-collector.service", "taffrail-sensor.service")


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(folder, **more):
    run(os.path.join(ROOT, "scripts/deb.sh"), BIN, str(folder), **more)
    (package,) = folder.glob("*.deb")
    return package


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "-x", str(package), str(folder))
    return folder


def test_the_same_programs_give_the_same_package(package, tmp_path):
    again = build(tmp_path / "out", env={**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}, cwd="/", preexec_fn=lambda: os.umask(0o077))
    assert again.read_bytes() == package.read_bytes() and again.name == package.name


def test_what_is_in_the_package(package, unpacked):
    listed = run("dpkg-deb", "-c", str(package)).splitlines()
    assert all(line.split()[1] == "root/root" for line in listed)
    assert not [line for line in listed if re.match(r"-..s|-.....s|-.......w", line)]
    fields = run("dpkg-deb", "-f", str(package))
    assert re.search(r"^Depends: .*\blibbpf1\b.*\blibssl3\b", fields, re.M)
    for name in PROGRAMS:
        done = run(str(unpacked / "usr/bin" / name), "--version")
        assert done.startswith(f"{name} {re.search('^Version: (.*)$', fields, re.M)[1]}"), done
    for name in ("sensor", "collector"):
        run(str(unpacked / f"usr/bin/taffrail-{name}"), "--check-config", "--config", str(unpacked / f"etc/taffrail/{name}.yaml"))


@pytest.mark.skipif(not shutil.which("man"), reason="Debian's man-db is not installed")
@pytest.mark.parametrize("page", ["man1/taffrail.1", "man8/taffrail-sensor.8", "man8/taffrail-collector.8"])
def test_a_manual_page(unpacked, page):
    text = run("man", "--warnings", "-l", str(unpacked / f"usr/share/man/{page}.gz"), env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C"})
    program = os.path.basename(page).rsplit(".", maxsplit=1)[0]
    assert "warning" not in text and f"Usage: {program}" in text and program.upper() in text


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() and not path.is_symlink() else None for path in folder.rglob("*")}


def test_installed_and_purged_nothing_is_left(package, tmp_path):
    """In a root of its own, from which the machine's own dpkg is kept away; users stay, as Debian wants it."""
    for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in (("var/lib/dpkg/status", ""), ("var/lib/dpkg/available", ""), ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n")):
        (tmp_path / name).write_text(text)
    before = everything(tmp_path)
    dpkg = ("dpkg", "--root", str(tmp_path), "--force-depends", "--force-script-chrootless", "--log=/dev/null")
    run(*dpkg, "--install", str(package))
    assert "taffrail" in (tmp_path / "etc/passwd").read_text() and "taffrail" in (tmp_path / "etc/group").read_text()
    assert (tmp_path / "etc/taffrail/sensor.yaml").exists() and (tmp_path / "lib/systemd/system/taffrail-sensor.service").exists()
    assert not list((tmp_path / "etc/systemd").rglob("*taffrail*") if (tmp_path / "etc/systemd").exists() else []), "nothing is enabled"
    run(*dpkg, "--purge", "taffrail")
    left = {path for path in set(everything(tmp_path)) - set(before) if "var/lib/dpkg" not in str(path)}
    assert {str(path) for path in left} <= {"etc/shadow", "etc/gshadow", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock",
                                            "etc/systemd", "etc/systemd/system", "var", "var/lib", "var/lib/systemd"}, left


@pytest.mark.parametrize("unit, exposure", [("taffrail-collector.service", 1.5), ("taffrail-sensor.service", 4.0)])
def test_a_unit_by_systemds_own_judgement(unpacked, tmp_path, unit, exposure):
    """verify finds nothing, and what is open to the service (0 to 10) is little: less than half of what the usual one has."""
    root = tmp_path / "root"  # the units of systemd that these speak of, beside the package
    shutil.copytree(unpacked, root, symlinks=True)
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system", symlinks=True, dirs_exist_ok=True)
    (root / "bin").mkdir()
    shutil.copy("/bin/kill", root / "bin/kill")
    said = run("systemd-analyze", "verify", "--root", str(root), "--man=no", unit)
    assert unit.removesuffix(".service") not in said, said
    said = run("systemd-analyze", "security", "--offline=yes", str(unpacked / "lib/systemd/system" / unit))
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1]) <= exposure, said


JOB = r"""
exec >/mnt/log 2>&1
set -x
say() { echo "$2" >/mnt/said-"$1"; }
until_true() { set +x; for _ in $(seq 300); do "$@" >/dev/null 2>&1 && break; sleep 0.1; done; set -x; }
dpkg --no-triggers --install /mnt/*.deb
say enabled "$(systemctl is-enabled taffrail-sensor taffrail-collector)"
say active "$(systemctl is-active taffrail-sensor taffrail-collector)"
sed -i 's/^log: .*/log: {format: logfmt, level: debug}/' /etc/taffrail/sensor.yaml
systemctl start taffrail-collector taffrail-sensor
events=/var/lib/taffrail/collector/events.ndjson
until_true grep -q '"action":"coverage"' $events
say running "$(systemctl is-active taffrail-sensor taffrail-collector)"
grep '"action":"coverage"' $events >/mnt/said-coverage
pid=$(systemctl show -P MainPID taffrail-sensor)
cat /proc/$pid/status >/mnt/said-sensor
grep -E ' /(usr|etc|proc/sys|sys|sys/fs/bpf|var/lib/taffrail/sensor|) ' /proc/$pid/mountinfo >/mnt/said-mounts
grep -h . /proc/$(systemctl show -P MainPID taffrail-collector)/status >/mnt/said-collector
[ "$pid" = 0 ] || kill -KILL $pid
until_true sh -c '[ "$(systemctl show -P NRestarts taffrail-sensor)" = 1 ] && taffrail status --data unix:/run/taffrail/collector.socket | grep -c connected'
say restarted "$(systemctl show -P NRestarts taffrail-sensor)"
kill -TERM $(systemctl show -P MainPID taffrail-collector) $(systemctl show -P MainPID taffrail-sensor)
until_true sh -c '[ "$(systemctl show -P NRestarts taffrail-sensor taffrail-collector | xargs)" = "2 1" ] && taffrail status --data unix:/run/taffrail/collector.socket | grep -c connected'
say ordered "$(systemctl show -P NRestarts taffrail-sensor taffrail-collector | xargs)"
systemctl reload taffrail-sensor
sleep 1
taffrail status --json --data unix:/run/taffrail/collector.socket >/mnt/said-books
systemctl stop taffrail-sensor taffrail-collector
say result "$(systemctl show -P Result -P ExecMainStatus taffrail-sensor taffrail-collector | xargs)"
sleep 3 # more than RestartSec
say stopped "$(systemctl is-active taffrail-sensor taffrail-collector)"
say pinned "$(ls /sys/fs/bpf/taffrail 2>/dev/null)"
set +x
journalctl --no-pager -o cat -u taffrail-sensor -u taffrail-collector
dpkg --no-triggers --purge taffrail
say purged "$(ls -d /etc/taffrail /lib/systemd/system/taffrail* /usr/bin/taffrail* /etc/systemd/system/taffrail* 2>/dev/null)"
say kept "$(ls /var/lib/taffrail)"
"""


@pytest.mark.skipif(not os.path.exists("/lib/systemd/systemd"), reason="systemd is not installed")
def test_the_units_under_a_real_systemd(package):
    """Installed and not started; started they see everything that is allowed to be tried; killed they come back, also by who
    only asks them to end; ended by systemd nothing is left but what was stored."""
    folder = os.path.join(BUILD, "test", "systemd")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    shutil.copy(package, folder)
    with open(os.path.join(folder, "job"), "w", encoding="ascii") as file:
        file.write(JOB)
    # By a signal, so that the script takes down what it set up.
    done = subprocess.run(["timeout", "-k", "30", "180", os.path.join(HERE, "systemd.sh"), folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"this machine's root takes no overlay: {done.stdout}")

    def text(name):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    log = done.stdout + text("console")[-2000:] + text("log")
    assert text("said-enabled").split() == ["disabled", "disabled"] and text("said-active").split() == ["inactive", "inactive"], log
    assert text("said-running").split() == ["active", "active"], log
    coverage = json.loads(text("said-coverage").splitlines()[0])["taffrail"]["coverage"]
    assert not [one for one in coverage if one["state"] == "missed"]
    # The canary may not open raw and packet sockets, since the unit has no CAP_NET_RAW; and its temporary folder is an overlay.
    assert {one["promise"] for one in coverage if one["state"] == "unsupported"} <= {
        "raw socket", "raw send", "packet socket", "packet send", "open by handle"}, coverage
    sensor, collector = (dict(line.split(":\t", 1) for line in text(f"said-{name}").splitlines() if ":\t" in line) for name in ("sensor", "collector"))
    allowed = 1 << 39 | 1 << 38 | 1 << 12  # BPF, PERFMON, NET_ADMIN
    assert int(sensor["CapBnd"], 16) == allowed and not int(sensor["CapPrm"], 16) & ~allowed
    assert sensor["NoNewPrivs"] == collector["NoNewPrivs"] == "1" and sensor["Seccomp"] == collector["Seccomp"] == "2"
    # The unit's filter lets it have Landlock where the kernel does.
    landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0  # landlock_create_ruleset, LANDLOCK_CREATE_RULESET_VERSION
    assert "the loader (process" in text("log") and ("no Landlock" in text("log")) != landlock, log
    assert int(collector["CapBnd"], 16) == 0 and collector["Uid"].split()[0] != "0"
    mounts = {line.split()[4]: line.split()[5].split(",") for line in text("said-mounts").splitlines()}
    assert "ro" in mounts["/"] and "ro" in mounts["/proc/sys"] and "ro" in mounts["/sys"] and "rw" in mounts["/sys/fs/bpf"], mounts
    assert text("said-restarted").strip() == "1" and text("said-ordered").split() == ["2", "1"], log
    books = json.loads(text("said-books"))
    assert len(books["sensors"]) == 3 and books["difference"] == 0, books
    assert text("said-result").split() == ["success", "0", "success", "0"] and text("said-stopped").split() == ["inactive", "inactive"], log
    assert text("said-pinned").strip() == "" and text("said-purged").strip() == "", log
    assert "collector" in text("said-kept").split(), "what was recorded is nobody's to destroy but the administrator's"
