# SPDX-License-Identifier: Apache-2.0
"""What dpkg knows of files and packages, below a root: this machine's, or the folder of a cross build (scripts/sysroot.sh)."""
import glob
import os
import re
import subprocess

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


class Missing(Exception):
    """Something that is needed and not there; its words are for a person."""


def stanzas(text):
    """The paragraphs of a control file, each a dictionary; a field's further lines keep their line breaks."""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields, key = {}, None
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                if key:
                    fields[key] += "\n" + line.strip()
            elif ":" in line and not line.startswith("#"):
                key, value = line.split(":", 1)
                fields[key] = value.strip()
        if fields:
            yield fields


class Packages:
    """The packages of one architecture below a root."""

    def __init__(self, root, arch):
        self.root, self.arch, self.found, self.owners = root, arch, {}, None
        with open(self.path("/var/lib/dpkg/status"), encoding="utf-8") as file:
            for fields in stanzas(file.read()):
                if fields.get("Architecture") in (arch, "all") and fields.get("Status", "").endswith(" installed"):
                    self.found[fields["Package"]] = fields

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def __getitem__(self, package):
        if package not in self.found:
            raise Missing(f"Debian's package {package} ({self.arch}) is not there: scripts/deps.sh installs what is needed")
        return self.found[package]

    def files(self, package):
        for name in (package, f"{package}:{self.arch}"):
            listed = self.path(f"/var/lib/dpkg/info/{name}.list")
            if os.path.exists(listed):
                with open(listed, encoding="utf-8") as file:
                    return file.read().splitlines()
        raise Missing(f"dpkg has no list of the files of {package}")

    def owner(self, name):
        """The package of a file. Since / and /usr were merged, a file may be listed under either."""
        if self.owners is None:
            self.owners = {path: package for package in self.found for path in self.files(package)}
        for path in (name, name.removeprefix("/usr"), "/usr" + name):
            if path in self.owners:
                return self.owners[path]
        raise Missing(f"{name} is of no package: the images take their libraries from Debian's packages alone")

    def source(self, package):
        """Name and version of the source package."""
        fields = self[package]
        match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", package))
        return match[1], match[2] or fields["Version"]

    def copyright(self, package):
        """The text that Debian's policy wants of each package. Its folder may be another package's."""
        folder = self.path(f"/usr/share/doc/{package}")
        if os.path.islink(folder):
            folder = os.path.join(os.path.dirname(folder), os.path.basename(os.readlink(folder)))
        try:
            with open(os.path.join(folder, "copyright"), "rb") as file:
                return file.read()
        except OSError:
            raise Missing(f"{package} has no {folder}/copyright: was the machine installed without documentation?") from None

    def library(self, soname):
        """Where a shared library is, below the root."""
        triplet = TRIPLETS[self.arch]
        for folder in (f"/usr/lib/{triplet}", f"/lib/{triplet}"):
            if os.path.exists(self.path(f"{folder}/{soname}")):
                return f"{folder}/{soname}"
        raise Missing(f"{soname} is not in /usr/lib/{triplet}, where Debian's packages put it")

    def target(self, name):
        """The file that a library's name stands for, in the same folder."""
        path = self.path(name)
        return os.path.join(os.path.dirname(name), os.path.basename(os.readlink(path))) if os.path.islink(path) else name

    def closure(self, *sonames):
        """These libraries and all that they need, by name."""
        found, wanted = {}, list(sonames)
        while wanted:
            soname = wanted.pop()
            if soname not in found:
                found[soname] = self.library(soname)
                wanted += needs(self.path(found[soname]))
        return found


def readelf(option, path):
    done = subprocess.run(["readelf", "--wide", option, path], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"})
    return done.stdout


def needs(path):
    """The shared libraries that a program or library names."""
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", readelf("--dynamic", path))


def interpreter(path):
    """The loader that a program asks for."""
    return re.search(r"\[Requesting program interpreter: (.+)\]", readelf("--program-headers", path))[1]


def release(root):
    """Number of the Debian release, of the file that base-files brings."""
    path = next(iter(glob.glob(os.path.join(root, "usr/lib/os-release"))), "/usr/lib/os-release")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    match = re.search(r'^VERSION_ID="?([^"\n]+)"?$', text, re.M)
    return match[1] if match else "unknown", text.encode()
