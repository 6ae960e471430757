# SPDX-License-Identifier: Apache-2.0
"""idlers.py ADDRESS CA CERT KEY COUNT nothing|settings|call: TLS clients that want nothing but their places.

Each does its handshake and then nothing, or says SETTINGS, or makes a call without a message; one that is thrown out comes again at once. Says
"full" when COUNT of them were up, and goes on until its stdin ends; then prints how many came in, and how many were thrown out.
"""
import os
import resource
import selectors
import socket
import ssl
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def literal(name, value):
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


BLOCK = b"".join(literal(*one) for one in [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/taffrail.v1.Collector/Stream"), (b":authority", b"x"),
                                           (b"te", b"trailers"), (b"content-type", b"application/grpc")])
CALL = len(BLOCK).to_bytes(3, "big") + b"\1\4\0\0\0\1" + BLOCK


class Idlers:
    def __init__(self, address, ca, certificate, key, words):
        host, port = address.rsplit(":", 1)
        self.address, self.words = (host, int(port)), words
        self.context = ssl.create_default_context(cafile=ca)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["h2"])
        self.chooser, self.up, self.thrown_out, self.open = selectors.DefaultSelector(), 0, 0, 0

    def come(self):
        plain = socket.socket()
        plain.setblocking(False)
        plain.connect_ex(self.address)
        peer = self.context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
        self.chooser.register(peer, selectors.EVENT_WRITE, "connect")
        self.open += 1

    def go(self, peer, was_up):
        self.chooser.unregister(peer)
        peer.close()
        self.open -= 1
        self.thrown_out += was_up

    def step(self, peer, state):
        try:
            if state != "up":
                peer.do_handshake()
                self.up += 1
                state = "up"
                self.chooser.modify(peer, selectors.EVENT_READ, state)
                if self.words:
                    peer.sendall(self.words)
            if not peer.recv(65536):
                self.go(peer, True)
        except ssl.SSLWantReadError:
            self.chooser.modify(peer, selectors.EVENT_READ, state if state == "up" else "handshake")
        except ssl.SSLWantWriteError:
            pass
        except OSError:
            self.go(peer, state == "up")


def main():
    address, ca, certificate, key, count, does = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idlers = Idlers(address, ca, certificate, key, {"nothing": b"", "settings": PREFACE, "call": PREFACE + CALL}[does])
    idlers.chooser.register(0, selectors.EVENT_READ, "stdin")
    said, full = False, int(count)
    while True:
        began = time.monotonic()
        while idlers.open < full and time.monotonic() < began + 0.02:
            idlers.come()
        for ready, _ in idlers.chooser.select(0.05):
            if ready.data != "stdin":
                idlers.step(ready.fileobj, ready.data)
            elif not os.read(0, 4096):
                print(idlers.up, idlers.thrown_out, flush=True)
                return
        if not said and idlers.up >= full:
            said = True
            print("full", flush=True)


main()
