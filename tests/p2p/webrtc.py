# SPDX-License-Identifier: Apache-2.0
"""webrtc.py STUN FOLDER (offer NUMBER | NUMBER...): data channels between aiortc's peers; offers and answers go by files of a folder.

Who offers sends 64 messages over its channel and gets each back; who is told NUMBERs answers them all. NUMBER.done says that it is over.
"""
import asyncio
import os
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

STUN, FOLDER = sys.argv[1:3]
COUNT, SIZE = 64, 1000


def tell(name, text):
    path = os.path.join(FOLDER, name)
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".part", path)


async def hear(name):
    path = os.path.join(FOLDER, name)
    while not os.path.exists(path):
        await asyncio.sleep(0.05)
    with open(path, encoding="utf-8") as file:
        return file.read()


def connection():
    return RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer(urls=STUN)]))


async def offer(number):
    mine, back, over = connection(), [], asyncio.Event()
    channel = mine.createDataChannel("announce")

    @channel.on("open")
    def opened():
        for _ in range(COUNT):
            channel.send(os.urandom(SIZE))

    @channel.on("message")
    def heard(message):
        back.append(len(message))
        if len(back) == COUNT:
            over.set()

    await mine.setLocalDescription(await mine.createOffer())
    tell(f"{number}.offer", mine.localDescription.sdp)
    await mine.setRemoteDescription(RTCSessionDescription(await hear(f"{number}.answer"), "answer"))
    await over.wait()
    assert set(back) == {SIZE}
    tell(f"{number}.done", f"{len(back)} messages of {SIZE} bytes")


async def answer(number):
    mine, count = connection(), [0]

    @mine.on("datachannel")
    def met(channel):
        @channel.on("message")
        def heard(message):
            channel.send(message)
            count[0] += 1
            if count[0] == COUNT:
                tell(f"answered-{number}.done", "")

    await mine.setRemoteDescription(RTCSessionDescription(await hear(f"{number}.offer"), "offer"))
    await mine.setLocalDescription(await mine.createAnswer())
    tell(f"{number}.answer", mine.localDescription.sdp)
    return mine


async def main():
    if sys.argv[3] == "offer":
        await offer(sys.argv[4])
    else:
        kept = await asyncio.gather(*(answer(number) for number in sys.argv[3:]))
        assert kept
    await asyncio.sleep(600)


asyncio.run(main())
