# SPDX-License-Identifier: Apache-2.0
"""LeRobot's side: its server, then its client once the server says that it has started."""

import sys
from collections.abc import Sequence
from pathlib import Path

from so101_bench.free_port import free_port
from so101_bench.side import RESPAWN_DELAY_S, Side
from so101_bench.work import SERVER_ENVIRONMENT
from so101_launch_runner import ProcessSpec

FPS = 30


class StockSide(Side):
    """LeRobot 0.6.1 as it comes."""

    name = "lerobot"

    def start(self) -> None:
        """Start the server."""
        self._port = free_port()
        options = self._work.options
        arguments = [str(self._folder / "server.jsonl"), str(options.policy_delay_s), str(self._folder)]
        arguments += [f"--host={self._hosts.server_address}", f"--port={self._port}", f"--fps={FPS}"]
        server = ProcessSpec(
            None,
            None,
            sys.executable,
            ("-m", "so101_bench.stock.server", *arguments),
            name=self.server_label,
            environment=SERVER_ENVIRONMENT,
            prefix=self._hosts.server,
            respawn=True,
            respawn_delay_s=RESPAWN_DELAY_S,
        )
        self._run([server], {})
        self._client_started = False

    def proceed(self) -> None:
        """Start the client as soon as the server listens."""
        if self._client_started or self.printed("PolicyServer started on") is None:
            return
        self._client_started = True
        options = self._work.options
        arguments = [str(self._folder / "client.jsonl"), str(self._folder)]
        arguments += [
            "--robot.type=photo_robot",
            "--robot.id=bench",
            f"--robot.calibration_dir={self._folder}",
            f"--robot.frames={self._work.frames}",
            f"--server_address={self._hosts.server_address}:{self._port}",
            "--policy_type=act",
            f"--pretrained_name_or_path={self._work.checkpoint}",
            "--policy_device=cpu",
            "--task=bench",
            f"--fps={FPS}",
            f"--actions_per_chunk={options.actions_per_chunk}",
            f"--chunk_size_threshold={options.chunk_size_threshold}",
            "--aggregate_fn_name=weighted_average",
        ]
        client = ProcessSpec(
            None,
            None,
            sys.executable,
            ("-m", "so101_bench.stock.client", *arguments),
            name="robot_client",
            environment={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            prefix=self._hosts.robot,
        )
        self._run([client], {})

    def trace_files(self) -> Sequence[Path]:
        """Client's and server's."""
        return [self._folder / "client.jsonl", self._folder / "server.jsonl"]

    def robot_labels(self) -> Sequence[str]:
        """The client does all of the robot's work."""
        return ["robot_client"]
