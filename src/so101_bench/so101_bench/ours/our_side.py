# SPDX-License-Identifier: Apache-2.0
"""Our side, from the launch files that a user starts; only the servo bus is emulated, and a recorder listens."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import yaml
from ament_index_python.packages import get_package_prefix
from so101_launch_runner.domain import DomainLease
from so101_launch_runner.errors import NoFreeDomainError
from so101_launch_runner.find_file import find_launch_file

from so101_bench.errors import BenchError, DisturbedError
from so101_bench.hosts import Hosts
from so101_bench.side import Side
from so101_bench.work import CAMERAS, SERVER_ENVIRONMENT, Work
from so101_launch_runner import LaunchFileError, ProcessSpec, resolve

FPS = 30.0


class OurSide(Side):
    """robot.launch.xml on one computer, server.launch.xml on the other."""

    name = "ours"

    def __init__(self, work: Work, hosts: Hosts, log: TextIO, turn: str) -> None:
        super().__init__(work, hosts, log, turn)
        self._lease = lease()
        self._sim_dir = self._folder / "sim"

    def start(self) -> None:
        """Start the server."""
        self._robot_started = False
        config = self._write("server.yaml", {"policy_server": self._server_parameters()})
        server = _resolved("server.launch.xml", {"config": str(config), **self._server_arguments()})
        self._run(
            [replace(spec, prefix=(*self._hosts.server, *spec.prefix)) for spec in server],
            {**self._environment(self._server_domain()), **SERVER_ENVIRONMENT},
        )

    def proceed(self) -> None:
        """Start the robot once the policy is loaded: on a machine with two cores that leaves none for a servo bus."""
        if self._robot_started or self.printed("Policy ready") is None:
            return
        self._robot_started = True
        config = str(self._write("robot.yaml", self._robot_parameters()))
        robot = _resolved("robot.launch.xml", {"config": config, "camera_config": config, **self._robot_arguments()})
        arm = ProcessSpec(
            None,
            None,
            str(Path(get_package_prefix("so101_sim")) / "lib" / "so101_sim" / "virtual_arm"),
            ("--sim-dir", str(self._sim_dir), "--real-time-priority"),
        )
        recorder = ProcessSpec(
            "so101_bench",
            "bench_recorder",
            sys.executable,
            ("-m", "so101_bench.ours.recorder_node"),
            name="bench_recorder",
            namespace="/",
            parameters=({"trace_file": str(self._folder / "trace.jsonl"), "cameras": list(CAMERAS)},),
            environment=robot[0].environment,
            # From its first moment on: threads that DDS has made do not follow a later change.
            prefix=("nice", "-n", "10"),
        )
        self._run(
            [replace(spec, prefix=(*self._hosts.robot, *spec.prefix)) for spec in (arm, recorder, *robot)],
            self._environment(self._lease.id),
        )

    def check(self) -> None:
        """A queue that has stopped, as when the driver latched, does not start again by itself."""
        super().check()
        stopped = self.printed("[action_queue]: stopped")
        if stopped is not None:
            raise DisturbedError(f"{self.name}: {stopped}")

    def stop(self) -> None:
        """End all and give the domain back."""
        super().stop()
        self._lease.close()

    def trace_files(self) -> Sequence[Path]:
        """The recorder's."""
        return [self._folder / "trace.jsonl"]

    def robot_labels(self) -> Sequence[str]:
        """All nodes of robot.launch.xml."""
        return ["so101_driver", "action_queue", *CAMERAS]

    def _server_arguments(self) -> dict[str, str]:
        """Arguments of server.launch.xml that say how it meets the robot."""
        return {"dds_profile": self._hosts.dds_profile}

    def _robot_arguments(self) -> dict[str, str]:
        """The same of robot.launch.xml."""
        return {"dds_profile": self._hosts.dds_profile}

    def _server_domain(self) -> int:
        """The ROS domain of the server's computer."""
        return self._lease.id

    def _environment(self, domain: int) -> dict[str, str]:
        return {**self._hosts.ros_environment, "ROS_DOMAIN_ID": str(domain)}

    def _robot_parameters(self) -> dict[str, Any]:
        options = self._work.options
        wait = {"next_frame_within_s": options.next_frame_within_s}
        within_s = options.fresh_frames_within_s
        fresh = {} if within_s is None else {"fresh_frames_within_s": within_s}
        return {
            "so101_driver": {
                "port": str(self._sim_dir / "ttySO101"),
                "calibration_dir": str(self._sim_dir / "calibration"),
                "robot_id": "virtual",
                # A stalled control loop shall show in the metrics, not end the run.
                "command_timeout_s": 0.5,
                "reply_timeout_s": 0.1,  # a virtual servo replies when the scheduler lets it
            },
            "action_queue": {
                "task": "bench",
                "cameras": list(CAMERAS),
                "fps": FPS,
                "actions_per_chunk": options.actions_per_chunk,
                "chunk_size_threshold": options.chunk_size_threshold,
                "request_policy": options.request_policy,
                "frame_size": options.frame_size,
                "connect_timeout_s": 120.0,
                "start_on_activate": True,
                **fresh,
            },
            **{camera: {"device": str(self._work.frames / camera), "fps": FPS, **wait} for camera in CAMERAS},
        }

    def _server_parameters(self) -> dict[str, Any]:
        return {
            "pretrained_name_or_path": str(self._work.checkpoint),
            "policy_device": "cpu",
            "torch_threads": 1,
            "fps": FPS,
            "min_inference_s": self._work.options.policy_delay_s,
        }

    def _write(self, name: str, nodes: Mapping[str, Mapping[str, Any]]) -> Path:
        file = self._folder / name
        content = {f"/**/{node}": {"ros__parameters": dict(values)} for node, values in nodes.items()}
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file


def lease() -> DomainLease:
    """Return a ROS domain that nobody else uses.

    Raises:
        BenchError: none is free.
    """
    try:
        return DomainLease()
    except NoFreeDomainError as error:
        raise BenchError(str(error)) from error


def _resolved(file: str, arguments: Mapping[str, str]) -> list[ProcessSpec]:
    try:
        return resolve(find_launch_file(file), dict(arguments))
    except (LaunchFileError, FileNotFoundError) as error:
        raise BenchError(str(error)) from error
