# SPDX-License-Identifier: Apache-2.0
"""Disks that are small, and full."""
import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(path, size):
    """A tmpfs of that size (256k, 1m) at a folder that is made for it."""
    os.mkdir(path, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "taffrail-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    """A file that takes all the room there is; where it is removed there is room again."""
    with open(path, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
