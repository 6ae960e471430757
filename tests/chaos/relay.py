# SPDX-License-Identifier: Apache-2.0
"""relay.py HOST PORT TARGET_PORT SEED: hands on what comes to HOST:PORT, to TARGET_PORT of the same host, and back.

Prints `ready`. Lines on stdin say how, and each is answered with the number of pieces that were delayed, and connections that were reset,
since the one before:

    pass          at once
    delay SECONDS each piece so much later, both ways; what is in the relay then is bounded
    resets        each connection, those that are there too, is reset after 2 to 200 KiB more, in the middle of a piece
"""
import asyncio
import random
import socket
import struct
import sys

PIECE, WAITING = 16 << 10, 64


class Relay:
    def __init__(self, host, target, seed):
        self.host, self.target, self.random = host, target, random.Random(seed)
        self.delay, self.resets, self.connections, self.done = 0.0, False, set(), 0

    async def accept(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.target)
        except OSError:
            reset(writer)
            return
        connection = Connection(self, (writer, far_writer))
        self.connections.add(connection)
        try:
            await asyncio.gather(connection.carry(reader, far_writer), connection.carry(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # a side was reset: so is the other
        finally:
            connection.reset()
            self.connections.discard(connection)

    def obey(self, line):
        words = line.split()
        self.delay = float(words[1]) if words[0] == "delay" else 0.0
        self.resets = words[0] == "resets"
        for connection in list(self.connections):
            connection.budget = self.budget()
        print(self.done, flush=True)
        self.done = 0

    def budget(self):
        return self.random.randrange(2 << 10, 200 << 10) if self.resets else None


def reset(writer):
    """RST instead of FIN: what is on its way is gone."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Connection:
    def __init__(self, relay, writers):
        self.relay, self.writers, self.budget = relay, writers, relay.budget()

    def reset(self):
        for writer in self.writers:
            if not writer.transport.is_closing():
                reset(writer)

    async def carry(self, reader, writer):
        """Each piece has its own time to leave, so that a delay makes a way long and not narrow."""
        queue = asyncio.Queue(WAITING)
        sender = asyncio.create_task(self.send(queue, writer))
        try:
            while not sender.done():
                piece = await reader.read(PIECE)
                await queue.put((asyncio.get_running_loop().time() + self.relay.delay, piece))
                if not piece:
                    break
            await sender
        finally:
            sender.cancel()

    async def send(self, queue, writer):
        while True:
            due, piece = await queue.get()
            wait = due - asyncio.get_running_loop().time()
            if wait > 0:
                self.relay.done += 1
                await asyncio.sleep(wait)
            if not piece:
                writer.write_eof()
                return
            if self.budget is not None and len(piece) > self.budget:
                writer.write(piece[:self.budget])
                await writer.drain()
                self.relay.done += 1
                self.reset()
                raise ConnectionResetError
            if self.budget is not None:
                self.budget -= len(piece)
            writer.write(piece)
            await writer.drain()


async def main():
    host, port, target, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    relay, loop, lines = Relay(host, target, seed), asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = await asyncio.start_server(relay.accept, host, port)
    print("ready", flush=True)
    while True:
        line = (await lines.readline()).decode()
        if not line:
            break
        relay.obey(line)
    server.close()


asyncio.run(main())
