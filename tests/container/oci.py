# SPDX-License-Identifier: Apache-2.0
"""Images as scripts/images.py writes them: made for a test, and looked into."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

from programs import BIN, ROOT

NAMES = ("sensor", "collector")


def pack(folder, binaries=BIN, **more):
    """Both images of the programs as built, in a folder; what was said."""
    done = subprocess.run(["/usr/bin/python3", "-B", os.path.join(ROOT, "scripts", "images.py"), "--bin", str(binaries), "--out", str(folder)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Image:
    """An OCI archive, each of its blobs compared with its digest."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.blobs = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
        index = json.loads(self.blobs["index.json"])
        assert json.loads(self.blobs["oci-layout"]) == {"imageLayoutVersion": "1.0.0"} and len(index["manifests"]) == 1
        self.entry = index["manifests"][0]
        self.name = self.entry["annotations"]["io.containerd.image.name"]
        self.manifest = json.loads(self.blob(self.entry))
        self.config = json.loads(self.blob(self.manifest["config"]))
        self.files = {}  # path: (what tar says, content)
        for layer, diff in zip(self.manifest["layers"], self.config["rootfs"]["diff_ids"], strict=True):
            data = gzip.decompress(self.blob(layer))
            assert diff == "sha256:" + hashlib.sha256(data).hexdigest()
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    self.files["/" + member.name] = (member, archive.extractfile(member).read() if member.isfile() else b"")

    def blob(self, reference):
        kind, digest = reference["digest"].split(":")
        data = self.blobs[f"blobs/{kind}/{digest}"]
        assert len(data) == reference["size"] and hashlib.sha256(data).hexdigest() == digest
        return data

    def unpack(self, folder):
        for name, (member, data) in sorted(self.files.items()):
            path = os.path.join(folder, name.lstrip("/"))
            if member.isdir():
                os.makedirs(path, exist_ok=True)
            elif member.issym():
                os.symlink(member.linkname, path)
            else:
                with open(path, "wb") as file:
                    file.write(data)
                os.chmod(path, member.mode)
