# SPDX-License-Identifier: Apache-2.0
"""The process that is the server's computer: `python -m so101_demo.link.far_host PORT [CUT_S EVERY_S]`.

It makes a network namespace in which there is a loopback interface and nothing else, and forwards one TCP port of the
namespace that it was started in to PORT in there, as the provider of a rented GPU does. A line of JSON on standard
output says where: {"port": of the forward, "namespace": file to enter by}, or {"error": why not}. With CUT_S the
forward passes nothing on for so long at the end of each EVERY_S, and closes nothing. Ends with standard input.
"""

import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time

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
    healed = threading.Event()
    healed.set()
    if len(sys.argv) > 2:
        threading.Thread(target=_cut, args=(healed, float(sys.argv[2]), float(sys.argv[3])), daemon=True).start()
    threading.Thread(target=_accept, args=(outside, int(sys.argv[1]), healed), daemon=True).start()
    sys.stdin.read()
    return 0


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        up = struct.unpack_from("H", flags, 16)[0] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", up))


def _cut(healed: threading.Event, cut_s: float, every_s: float) -> None:
    while True:
        time.sleep(every_s - cut_s)
        healed.clear()
        time.sleep(cut_s)
        healed.set()


def _accept(outside: socket.socket, port: int, healed: threading.Event) -> None:
    while True:
        connection, _ = outside.accept()  # it stays a socket of the namespace outside
        healed.wait()
        try:
            inside = socket.create_connection(("127.0.0.1", port), timeout=2.0)
        except OSError:
            connection.close()
            continue
        inside.settimeout(None)
        for source, target in ((connection, inside), (inside, connection)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(source, target, healed), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, healed: threading.Event) -> None:
    try:
        while block := source.recv(_BLOCK_BYTES):
            healed.wait()
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
