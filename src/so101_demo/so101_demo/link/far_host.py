# SPDX-License-Identifier: Apache-2.0
"""The process that is the server's computer: `python -m so101_demo.link.far_host PORT`.

It makes a network namespace in which there is a loopback interface and nothing else, and forwards one TCP port of the
namespace that it was started in to PORT in there, as the provider of a rented GPU does. A line of JSON on standard
output says where: {"port": of the forward, "namespace": file to enter by}, or {"error": why not}. Ends with standard
input.
"""

import fcntl
import json
import os
import socket
import struct
import sys
import threading

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_BLOCK_BYTES = 65536


def main() -> int:
    """Serve until standard input ends."""
    outside = socket.create_server(("127.0.0.1", 0))
    try:
        os.unshare(os.CLONE_NEWNET)
        _loopback_up()
    except OSError as error:
        print(json.dumps({"error": error.strerror}), flush=True)
        return 1
    words = {"port": outside.getsockname()[1], "namespace": f"/proc/{os.getpid()}/ns/net"}
    print(json.dumps(words), flush=True)
    threading.Thread(target=_accept, args=(outside, int(sys.argv[1])), daemon=True).start()
    sys.stdin.read()
    return 0


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        up = struct.unpack_from("H", flags, 16)[0] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", up))


def _accept(outside: socket.socket, port: int) -> None:
    while True:
        connection, _ = outside.accept()  # it stays a socket of the namespace outside
        try:
            inside = socket.create_connection(("127.0.0.1", port), timeout=2.0)
        except OSError:
            connection.close()
            continue
        inside.settimeout(None)
        for source, target in ((connection, inside), (inside, connection)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
    except OSError:
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


if __name__ == "__main__":
    sys.exit(main())
