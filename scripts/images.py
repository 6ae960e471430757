#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the images of sensor and collector as OCI archives: the programs, what they need of Debian's libraries, no shell.

No engine, no root, no network. The same programs and packages give the same digest: files sorted, of one time (the
commit's, or SOURCE_DATE_EPOCH), with owners that are written and not taken from the disk.
"""
import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile

import sbom
from dpkg_data import TRIPLETS, Missing, Packages, interpreter, needs, release

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGISTRY = "docker.io/taffrail"
IMAGES = {
    # glibc loads libgcc_s when a thread is cancelled: no program names it.
    "sensor": {"programs": ["taffrail-sensor"], "user": 0, "libraries": ["libgcc_s.so.1"], "zones": True, "ports": []},
    "collector": {"programs": ["taffrail-collector", "taffrail"], "user": 65532, "libraries": [], "zones": False, "ports": ["7443/tcp"]},
}
PASSWD = "root:x:0:0:root:/:/nonexistent\ntaffrail:x:65532:65532:taffrail:/var/lib/taffrail:/nonexistent\n"
GROUP = "root:x:0:\ntaffrail:x:65532:\n"
TYPES = "application/vnd.oci.image"


class Tree:
    """Files of a layer: what they hold, and mode and owner as they are to be, whatever the disk says."""

    def __init__(self):
        self.entries = {}

    def folder(self, name, mode=0o755, owner=0):
        name = name.strip("/")
        if name and name not in self.entries:
            self.folder(os.path.dirname(name))
            self.entries[name] = (tarfile.DIRTYPE, mode, owner, b"", "")

    def file(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name))
        self.entries[name.strip("/")] = (tarfile.REGTYPE, mode, 0, data if isinstance(data, bytes) else data.encode(), "")

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entries[name.strip("/")] = (tarfile.SYMTYPE, 0o777, 0, b"", target)

    def tar(self, epoch):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(self.entries):
                kind, mode, owner, data, target = self.entries[name]
                info = tarfile.TarInfo(name)
                info.type, info.mode, info.uid, info.gid, info.size, info.linkname, info.mtime = kind, mode, owner, owner, len(data), target, epoch
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()


def merged(name):
    """Where a file is once / and /usr are one, as they are in the images."""
    return name if name.startswith("/usr/") else "/usr" + name


def stripped(path, strip):
    """A program without what only a debugger reads. Its build id stays, by which that can be found."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([strip, "--strip-unneeded", "-o", out.name, path], check=True)
        with open(out.name, "rb") as file:
            return file.read()


def control(fields):
    """As scanners of images without dpkg look for it, in status.d."""
    kept = ("Package", "Status", "Architecture", "Source", "Version", "Maintainer", "Homepage", "Description")
    return "".join(f"{key}: {fields[key].splitlines()[0]}\n" for key in kept if key in fields)


class Image:
    def __init__(self, name, options, packages, host):
        self.name, self.options, self.packages, self.host = name, options, packages, host
        self.about = IMAGES[name]
        self.programs = {program: os.path.join(options.bin, program) for program in self.about["programs"]}
        self.used = {}  # package: whose database knows it

    def uses(self, package, packages):
        self.used[package] = packages

    def add_libraries(self, tree):
        wanted = [soname for path in self.programs.values() for soname in needs(path)] + self.about["libraries"]
        loader = interpreter(next(iter(self.programs.values())))
        for folder in {"/lib", os.path.dirname(loader)}:
            tree.link(folder, "usr" + folder)
        loaded = self.packages.closure(*wanted, os.path.basename(loader))
        for soname, name in loaded.items():
            target = self.packages.target(name)
            self.uses(self.packages.owner(name if os.path.basename(name) == os.path.basename(target) else target), self.packages)
            with open(self.packages.path(target), "rb") as file:
                tree.file(merged(target), file.read(), 0o755)
            if os.path.basename(target) != soname:
                tree.link(os.path.join(os.path.dirname(merged(name)), soname), os.path.basename(target))
        at = merged(loader)
        if at.strip("/") not in tree.entries:
            tree.link(at, os.path.relpath(merged(loaded[os.path.basename(loader)]), os.path.dirname(at)))

    def add_zones(self, tree):
        """Rules name time zones. The copies for other uses (posix, right) and the tables stay away."""
        top = "/usr/share/zoneinfo"
        for name in self.host.files("tzdata"):
            if name.startswith(top + "/") and not name.startswith((top + "/posix/", top + "/right/")):
                path = self.host.path(name)
                if os.path.islink(path):
                    if not os.path.isabs(os.readlink(path)):
                        tree.link(name, os.readlink(path))
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        data = file.read()
                    if data.startswith(b"TZif"):
                        tree.file(name, data)
        self.uses("tzdata", self.host)

    def add_words(self, tree):
        """What the packages' licences ask to go with them, and what scanners read."""
        texts = set()
        for package, packages in self.used.items():
            words = packages.copyright(package)
            tree.file(f"/usr/share/doc/{package}/copyright", words)
            tree.file(f"/var/lib/dpkg/status.d/{package}", control(packages[package]))
            texts |= {name.rstrip(b".") for name in re.findall(rb"/usr/share/common-licenses/([A-Za-z0-9.-]+)", words)}
        for name in sorted(name.decode() for name in texts):
            path = self.host.path(f"/usr/share/common-licenses/{name}")
            if os.path.exists(path):
                with open(path, "rb") as file:
                    tree.file(f"/usr/share/common-licenses/{name}", file.read())
        tree.file("/usr/lib/os-release", release(self.host.root)[1])
        tree.link("/etc/os-release", "../usr/lib/os-release")

    def layers(self):
        """What changes seldom, and what each build changes."""
        below, above = Tree(), Tree()
        self.add_libraries(below)
        if self.about["zones"]:
            self.add_zones(below)
        self.uses("base-files", self.host)
        self.add_words(below)
        below.file("/etc/passwd", PASSWD)
        below.file("/etc/group", GROUP)
        below.file("/etc/nsswitch.conf", "hosts: files dns\n")
        below.folder("/var/lib/taffrail", 0o700, self.about["user"])
        for folder in ("/etc/taffrail", "/host", "/proc", "/sys", "/dev", "/run", "/tmp"):
            below.folder(folder)
        data = {program: stripped(path, self.options.strip) for program, path in self.programs.items()}
        for program in data:
            above.file(f"/usr/bin/{program}", data[program], 0o755)
        with open(os.path.join(ROOT, "LICENSE"), "rb") as file:
            above.file("/usr/share/doc/taffrail/copyright", file.read())
        bill = self.bill(data)
        above.file(f"/usr/share/doc/taffrail/{self.name}.spdx.json", bill)
        return [below, above], bill

    def bill(self, data):
        options, references, number = self.options, {}, release(self.host.root)[0]
        programs = [sbom.own_program(name, options.version, options.commit, data[name]) for name in sorted(data)]
        libraries = [sbom.debian_package(self.used[name], name, number, references) for name in sorted(self.used)]
        subject = {**sbom.own_program(f"{REGISTRY}/{self.name}", options.version, options.commit, b""), "primaryPackagePurpose": "CONTAINER"}
        subject["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                    "referenceLocator": f"pkg:oci/{self.name}?repository_url={REGISTRY}/{self.name}&tag={options.version}&arch={options.arch}"}]
        del subject["checksums"]
        return sbom.document(subject, programs, libraries, options.created, references)

    def config(self, layers):
        user, options = self.about["user"], self.options
        config = {
            "User": f"{user}:{user}", "Entrypoint": [f"/usr/bin/{self.about['programs'][0]}"], "Env": ["PATH=/usr/bin"], "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": f"taffrail {self.name}", "org.opencontainers.image.version": options.version,
                "org.opencontainers.image.revision": options.commit, "org.opencontainers.image.created": options.created,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        }
        if self.about["ports"]:
            config["ExposedPorts"] = {port: {} for port in self.about["ports"]}
        system = {"architecture": options.arch, "os": "linux", **({"variant": "v8"} if options.arch == "arm64" else {})}
        return {
            "created": options.created, **system, "config": config,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
            "history": [{"created": options.created, "created_by": "scripts/images.py: " + what} for what in ("libraries", "programs")],
        }, system

    def archive(self, layers):
        """The OCI layout as a tar file's bytes, and the manifest's digest."""
        blobs = Tree()

        def blob(data, kind, **more):
            digest = hashlib.sha256(data).hexdigest()
            blobs.file(f"blobs/sha256/{digest}", data)
            return {"mediaType": f"{TYPES}.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}

        layers = [layer.tar(self.options.epoch) for layer in layers]
        config, system = self.config(layers)
        manifest = blob(as_json({
            "schemaVersion": 2, "mediaType": f"{TYPES}.manifest.v1+json", "config": blob(as_json(config), "config.v1+json"),
            "layers": [blob(gzip.compress(layer, 9, mtime=0), "layer.v1.tar+gzip") for layer in layers],
        }), "manifest.v1+json", platform=system, annotations={
            # containerd and podman read the first, skopeo the second.
            "io.containerd.image.name": f"{REGISTRY}/{self.name}:{self.options.version}",
            "org.opencontainers.image.ref.name": self.options.version,
        })
        blobs.file("index.json", as_json({"schemaVersion": 2, "mediaType": f"{TYPES}.index.v1+json", "manifests": [manifest]}))
        blobs.file("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
        return blobs.tar(self.options.epoch), manifest["digest"]


def as_json(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def place(folder, name, data):
    """Written under another name first: whoever reads the file never sees half of it."""
    path = os.path.join(folder, name)
    with open(f"{path}.new", "wb") as file:
        file.write(data)
    os.replace(f"{path}.new", path)


def git(*words):
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def archived():
    """The commit that git notes in an archive that it makes."""
    with open(os.path.join(ROOT, "scripts/archive-commit"), encoding="ascii") as file:
        match = re.search(r"^[0-9a-f]{40}$", file.read(), re.M)
    return match and match[0]


def origin(options):
    """Version, commit and time, of the checkout; without git of SOURCE_DATE_EPOCH."""
    with open(os.path.join(ROOT, "user/base/version.h"), encoding="ascii") as file:
        options.version = re.search(r'TAFFRAIL_VERSION "([^"]+)"', file.read())[1]
    options.commit = git("rev-parse", "HEAD") or archived() or "unknown"
    if git("status", "--porcelain", "--untracked-files=no"):
        options.commit += "-dirty"
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct")
    if not epoch or not epoch.isdigit():
        raise Missing("of which time are the images? This is no git checkout: set SOURCE_DATE_EPOCH to seconds since 1970")
    options.epoch = int(epoch)
    options.created = datetime.datetime.fromtimestamp(options.epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="amd64", choices=sorted(TRIPLETS))
    parser.add_argument("--root", default="/", help="where Debian's libraries of that architecture are (/)")
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--out", required=True, help="folder for NAME.tar and NAME.spdx.json")
    parser.add_argument("--strip", default="strip", help="strip of that architecture")
    options = parser.parse_args()
    try:
        origin(options)
        packages, here = Packages(options.root, options.arch), Packages("/", host_architecture())
        os.makedirs(options.out, exist_ok=True)
        for name in IMAGES:
            image = Image(name, options, packages, here)
            layers, bill = image.layers()
            archive, digest = image.archive(layers)
            place(options.out, f"{name}.tar", archive)
            place(options.out, f"{name}.spdx.json", bill)
            print(f"{REGISTRY}/{name}:{options.version} {digest} {len(archive)} bytes")
    except (Missing, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"images.py: {error}")


def host_architecture():
    return subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
