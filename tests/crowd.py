# SPDX-License-Identifier: Apache-2.0
"""crowd.py ADDRESS PID CA CERT KEY COUNT: TLS clients that come all at once.

The server is held (SIGSTOP) while all of them connect and say hello, so that all of it is there when it goes on. Prints how many
seconds it took from then on until all had been answered over HTTP/2, and until the one that came last had been.
"""
import os
import selectors
import signal
import socket
import ssl
import sys
import time

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def main():
    address, pid, ca, certificate, key, count = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    chooser, peers = selectors.DefaultSelector(), []
    os.kill(int(pid), signal.SIGSTOP)
    try:
        for _ in range(int(count)):
            plain = socket.create_connection((host, int(port)), 10)
            plain.setblocking(False)
            peers.append(context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False))
            try:
                peers[-1].do_handshake()
            except ssl.SSLWantReadError:
                chooser.register(peers[-1], selectors.EVENT_READ, "handshake")
    finally:
        began = time.monotonic()
        os.kill(int(pid), signal.SIGCONT)
    print("all there", flush=True)
    newest = None
    while chooser.get_map():
        ready = chooser.select(10)
        if not ready:
            sys.exit(f"{len(chooser.get_map())} of {count} are not up")
        for one, _ in ready:
            try:
                if one.data == "handshake":
                    one.fileobj.do_handshake()
                    one.fileobj.sendall(HELLO)
                    chooser.modify(one.fileobj, selectors.EVENT_READ, "answer")
                if one.fileobj.recv(9):
                    chooser.unregister(one.fileobj)
                    if one.fileobj is peers[-1]:
                        newest = time.monotonic() - began
            except ssl.SSLWantReadError:
                pass
    print(f"{time.monotonic() - began:.3f} {newest:.3f}")


main()
