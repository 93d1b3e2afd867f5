# SPDX-License-Identifier: Apache-2.0
"""Four robots at the real node over DDS, which ask as soon as they are answered."""

from __future__ import annotations

import cv2
import numpy as np
from coded_robots import CodedPolicy, code_of, find_mixed, positions_of
from dds_robot import Robot, RunningServer
from so101_msgs.msg import ActionChunk

ROBOTS, REQUESTS = 4, 60


def png(robot: int, request_id: int) -> bytes:
    red, green, blue = code_of(robot, request_id)
    return cv2.imencode(".png", np.full((24, 32, 3), (blue, green, red), np.uint8))[1].tobytes()


def ask(robots: list[Robot], number: int, request_id: int) -> None:
    robots[number].ask(request_id, positions=positions_of(number, request_id).tolist())
    robots[number].show("front", request_id, png(number, request_id))


def test_hundreds_of_answers_are_each_of_their_own_robot(examples) -> None:
    policy = CodedPolicy(examples.description("front", batches=True, horizon=3))
    names = [f"/robot{number}" for number in range(ROBOTS)]
    server = RunningServer(lambda _source, _progress: policy, pretrained_name_or_path="/models/pick", robots=names)
    robots: list[Robot] = []
    try:
        robots += [Robot(name, cameras=("front",)) for name in names]
        for robot in robots:
            robot.send_spec()
        for robot in robots:
            robot.wait_until_heard()
        for request_id in range(1, REQUESTS + 1):
            for number in range(ROBOTS):
                ask(robots, number, request_id)
            for number, robot in enumerate(robots):
                chunk = robot.answer_to(request_id)
                assert chunk.status == ActionChunk.OK, chunk.message
                rows = np.reshape(np.asarray(chunk.positions, np.float32), (chunk.rows, -1))
                assert find_mixed(number, request_id, rows, positions_of(number, request_id)) == ""
        assert max(policy.batches) > 1
    finally:
        for robot in robots:
            robot.close()
        server.close()
