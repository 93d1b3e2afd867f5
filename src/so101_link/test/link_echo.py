# SPDX-License-Identifier: Apache-2.0
"""What talks to either end of a link, as a program: `link_echo.py robot|server [--period S] [--wait] [--cameras N]`.

The robot's side asks every period, with --wait not before the chunk has come, and writes a line of JSON for each
chunk: when it was asked for (steady clock, s) and how long it took; the server's side replies. Both leave when their
standard input ends.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time

from link_rig import RobotSide, ServerSide

LATE_S = 1.0
"""With --wait the next request is sent after this at the latest."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("robot", "server"))
    parser.add_argument("--period", type=float, default=0.3)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--bytes", type=int, default=50_000)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--namespace", default="/arm1")
    options = parser.parse_args()
    domain = int(os.environ["ROS_DOMAIN_ID"])
    left = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), left.set()), daemon=True).start()
    if options.side == "server":
        side = ServerSide(domain, options.namespace)
        print("up", flush=True)
        left.wait()
    else:
        names = [f"camera{number}" for number in range(options.cameras)]
        robot = side = RobotSide(domain, options.namespace, names, options.bytes)
        print("up", flush=True)
        _ask(robot, options.period, options.wait, left)
    side.close()


def _ask(robot: RobotSide, period_s: float, waits: bool, left: threading.Event) -> None:
    asked: dict[int, float] = {}
    request_id = shown = 0
    longest_s = 0.0
    due_s = time.monotonic()
    while not left.is_set():
        request_id += 1
        asked[request_id] = time.monotonic()
        robot.ask(request_id)
        longest_s = max(longest_s, time.monotonic() - asked[request_id])
        due_s = max(due_s + period_s, time.monotonic())
        late_s = asked[request_id] + LATE_S
        while (
            time.monotonic() < due_s or (waits and time.monotonic() < late_s and request_id in asked)
        ) and not left.is_set():
            while shown < len(robot.chunks):
                came_s, chunk = robot.chunks[shown]
                shown += 1
                begun_s = asked.pop(int(chunk.request_id), None)
                if begun_s is not None:
                    line = {
                        "request": int(chunk.request_id), "asked_s": begun_s, "took_s": came_s - begun_s,
                        "longest_publish_s": longest_s,
                    }  # fmt: skip
                    print(json.dumps(line), flush=True)
            time.sleep(0.001)


if __name__ == "__main__":
    main()
