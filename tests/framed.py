# SPDX-License-Identifier: Apache-2.0
"""The programs' own files, as another program reads and writes them: frames with a CRC-32C."""
import struct

SPOOL_HEAD = struct.Struct("<IIQQII")  # a frame of user/sensor/spool_format.h: length, CRC, first, last, class, the head's own CRC


def crc32c(data, crc=0):
    table = crc32c.table = getattr(crc32c, "table", None) or [_steps(byte) for byte in range(256)]
    crc ^= 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def _steps(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc


def change_batches(path, change):
    """Writes a spool's file anew: each batch, as bytes and its first and last number, as `change` returns it."""
    with open(path, "rb") as file:
        old = file.read()
    assert old[:8] == b"TAFFSPL1"
    at = int.from_bytes(old[12:16], "little")
    salt, new = int.from_bytes(old[44:48], "little"), old[:at]
    while at < len(old):
        length, crc, first, last, kind, _ = SPOOL_HEAD.unpack_from(old, at)
        at += SPOOL_HEAD.size
        batch = old[at:at + length]
        assert crc32c(batch) == crc
        batch = change(batch, first, last)
        head = SPOOL_HEAD.pack(len(batch), crc32c(batch), first, last, kind, 0)[:-4]
        new += head + crc32c(head, salt).to_bytes(4, "little") + batch
        at += length
    with open(path, "wb") as file:
        file.write(new)
