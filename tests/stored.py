# SPDX-License-Identifier: Apache-2.0
"""What a collector's store holds, read as user/collector/segment.h describes it and by none of its code."""
import collections
import os
import struct

HEADER, PREFIX, FRAME = 16, struct.Struct("<II"), struct.Struct("<QQ16sH")


def frames(data):
    """(host, epoch, first, last) of each frame below a collector's --data, in their order."""
    folder = os.path.join(str(data), "segments")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(HEADER)
            while len(prefix := file.read(PREFIX.size)) == PREFIX.size:
                first, last, epoch, length = FRAME.unpack(file.read(FRAME.size))
                host = file.read(length).decode()
                file.seek(PREFIX.unpack(prefix)[0] - FRAME.size - length, os.SEEK_CUR)
                yield host, epoch, first, last


def ranges(data):
    """Of each host and epoch: what is stored, as [first, last] without what touches told apart. What is stored twice is an error."""
    held = collections.defaultdict(list)
    for host, epoch, first, last in frames(data):
        mine = held[host, epoch]
        assert first <= last and (not mine or first > mine[-1][1]), f"{host}: {first} to {last} stands behind {mine[-1]}"
        if mine and first == mine[-1][1] + 1:
            mine[-1][1] = last
        else:
            mine.append([first, last])
    return held
