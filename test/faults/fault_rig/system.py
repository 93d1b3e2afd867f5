# SPDX-License-Identifier: Apache-2.0
"""The system under test: virtual arm, driver, queue, one camera and the policy server, each a process of its own."""

import contextlib
import copy
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from fault_rig.motion import Bounds, MotionRecorder
from fault_rig.processes import SystemProcess
from fault_rig.watcher import Watcher
from rclpy.parameter import Parameter
from so101_launch_runner.domain import DomainLease
from so101_msgs.msg import ActionChunk, DriverStatus, ObservationRequest, PolicyStatus, QueueStatus
from so101_sim.core.joints import HOME
from so101_sim.virtual_arm_client import VirtualArmClient, VirtualArmError

TICK_S = 1.0 / 30.0
PATIENCE_S = 30.0
STEADY_S = 0.5
PARK_RAD = (0.0, -1.2, 1.1, 1.0, 0.0, -0.585)  # of config/sim.yaml, the same pose as HOME
HOME_GRIPPER_FREE = (0.0, -1.2, 1.1, 1.0, 0.0, -0.3)
"""The home pose with the gripper where no finger touches its stop, driver rad."""
PICTURES = 6
STORY_LINES = 80
LIGHT_SERVER = Path(__file__).with_name("light_server.py")


class NotInTimeError(AssertionError):
    """Something that had to happen did not."""


class System:
    """Started by `start`, brought back to waving by `recover`, ended by `close`.

    Args:
        folder: for the run folder of the arm, the logs and the pictures of the camera.
        prefixes: what a process is started through, by its name, such as ("ip", "netns", "exec", "a").
        environments: environment variables of single processes, by name.
        queue_parameters: of the action queue, besides those of config/sim.yaml.
        network: network namespace of the robot's processes, where it is not this one's.
    """

    def __init__(
        self,
        folder: Path,
        prefixes: Mapping[str, tuple[str, ...]] | None = None,
        environments: Mapping[str, Mapping[str, str]] | None = None,
        queue_parameters: Mapping[str, str] | None = None,
        network: str = "",
    ) -> None:
        self.folder, self._network = folder, network
        # A socket's path may have 107 characters; a test's own folder can be longer than that.
        self._short = Path(tempfile.mkdtemp(prefix="so101-faults-"))
        self.sim_dir = self._short / "sim"
        self._lease = DomainLease()
        self.domain = self._lease.id
        self._prefixes = prefixes or {}
        self._environments = environments or {}
        self._mood = folder / "mood.json"
        self._album = folder / "album"
        self.pictures = folder / "top"
        config = str(config_file("sim.yaml"))
        arguments = ["--ros-args", "--params-file", config]
        self.arm = self._process(
            "virtual_arm", "-m", "so101_sim.virtual_arm", "--sim-dir", str(self.sim_dir), "--real-time-priority"
        )
        self.driver = self._process(
            "so101_driver", "-m", "so101_driver.ros.start", *arguments,
            "-p", f"port:={self.sim_dir / 'ttySO101'}", "-p", f"calibration_dir:={self.sim_dir / 'calibration'}",
            "-p", "reply_timeout_s:=0.012",  # less than a tick, like the 5 ms of a real bus
        )  # fmt: skip
        tuned = {"cameras": "[top]", "connect_timeout_s": "60.0", **(queue_parameters or {})}
        self.queue = self._process(
            "action_queue", "-m", "so101_action_queue.ros.start", *arguments,
            *(part for name, value in tuned.items() for part in ("-p", f"{name}:={value}")),
        )  # fmt: skip
        self.camera = self._process(
            "top", "-m", "so101_camera.ros.start", "--ros-args", "-r", "__node:=top",
            "-p", f"device:={self.pictures}",
        )  # fmt: skip
        self.server = self.make_server("policy_server")
        self.processes = {one.name: one for one in (self.arm, self.driver, self.queue, self.camera, self.server)}
        self._respawns_left = 0
        self.watcher: Watcher
        self.motion: MotionRecorder

    def make_server(self, name: str, *parameters: str) -> SystemProcess:
        """A light policy server that is not started yet; `parameters` as name:=value."""
        chosen = ("pretrained_name_or_path:=waving", f"server_name:={name}", *parameters)
        return self._process(
            name, str(LIGHT_SERVER), "--mood", str(self._mood), "--ros-args",
            *(part for value in chosen for part in ("-p", value)),
        )  # fmt: skip

    def real_server(self, name: str, checkpoint: str) -> SystemProcess:
        """The policy server as users start it, not started yet."""
        return self._process(
            name, "-m", "so101_policy_server.ros.start", "--ros-args",
            "-p", f"pretrained_name_or_path:={checkpoint}", "-p", "torch_threads:=1",
        )  # fmt: skip

    def make_recorder(self, folder: Path) -> SystemProcess:
        """The recorder, not started yet."""
        return self._process(
            "recorder", "-m", "so101_bag.record.recorder_node", "--ros-args", "-p", f"folder:={folder}"
        )

    def _process(self, name: str, *words: str) -> SystemProcess:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
            "PYTHONUNBUFFERED": "1",
            **self._environments.get(name, {}),
        }
        command = [*self._prefixes.get(name, ()), sys.executable, *words]
        return SystemProcess(name, command, self.folder / f"{name}.log", environment)

    # -- coming and going --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """The arm waves; at the end, of a start that failed too, nothing runs any more."""
        try:
            self._start()
            yield self
        finally:
            self._close()

    def _start(self) -> None:
        self.mood()
        _take_pictures(self._album)
        shutil.copytree(self._album, self.pictures)
        self.arm.start()
        self.wait(self._arm_answers, "virtual_arm answers")
        for process in (self.driver, self.queue, self.camera, self.server):
            process.start()
        self.motion = MotionRecorder(self.sim_dir / "state")
        self.watcher = Watcher(self.domain, self._network)
        self.recover()

    def _arm_answers(self) -> bool:
        with contextlib.suppress(VirtualArmError, FileNotFoundError), VirtualArmClient(self.sim_dir) as client:
            client.ping()
            return True
        return False

    def _close(self) -> None:
        if hasattr(self, "watcher"):
            self.watcher.close()
            self.motion.close()
        for process in (self.server, self.queue, self.camera, self.driver, self.arm):
            if process.is_running:
                process.end()
        shutil.rmtree(self._short, ignore_errors=True)
        self._lease.close()

    def recover(self) -> None:
        """Take back every fault and bring the system to where the arm waves."""
        self.mood()
        self.watcher.on_request = None
        self.watcher.withdraw_commands()
        self.fault("clear")
        self.show_pictures()
        for process in self.processes.values():
            process.resume()
            if not process.is_running:
                process.start()
        self._respawns_left = 2
        began_ns = time.monotonic_ns()
        self.wait(lambda: self._driver_holds(began_ns), "the driver holds or follows")
        self.wait(lambda: self._server_is_ready(began_ns), "the policy server is ready")
        steady_since = time.monotonic()
        while time.monotonic() < steady_since + STEADY_S:  # what the start was late with is over
            if not self._queue_runs(began_ns):
                self.wait(lambda: self._queue_runs(began_ns), "the queue runs")
                self.wait(self.motion.is_moving, "the arm moves")
                steady_since = time.monotonic()
            time.sleep(0.02)
        self._respawns_left = 0  # from here on an end is a finding

    def _driver_holds(self, began_ns: int) -> bool:
        heard = self.watcher.drivers.since(began_ns)
        if not heard:
            return False
        state = heard[-1][1].state
        if state in (DriverStatus.LATCHED, DriverStatus.RELEASED):
            self.watcher.call("so101_driver/reset")
            time.sleep(0.3)
        return state in (DriverStatus.HOLD, DriverStatus.ENGAGED)

    def _server_is_ready(self, began_ns: int) -> bool:
        heard = self.watcher.servers.since(began_ns)
        return bool(heard) and heard[-1][1].state == PolicyStatus.READY

    def _queue_runs(self, began_ns: int) -> bool:
        heard = self.watcher.queue.since(max(began_ns, time.monotonic_ns() - 200_000_000))
        if not heard:
            return False
        newest = heard[-1][1]
        if newest.state in (QueueStatus.IDLE, QueueStatus.STOPPED) or newest.cause_name == "PAUSED":
            self.watcher.call("action_queue/start")
            time.sleep(0.3)
        return bool(newest.state == QueueStatus.RUNNING)

    # -- faults ------------------------------------------------------------------------------------------------------

    def mood(self, **values: Any) -> None:
        """How the policy behaves from its next inference on; see light_server."""
        fresh = self._mood.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(self._mood)

    def fault(self, *words: object) -> int:
        """A fault of the virtual arm, see so101_sim.arm.control_commands; returns when it was there, ns."""
        with VirtualArmClient(self.sim_dir) as client:
            return client.fault(*words)

    def show_pictures(self, data: bytes | None = None) -> None:
        """What the camera sees from now on: the album, or files with these bytes instead."""
        for number, picture in enumerate(sorted(self._album.iterdir())):
            fresh = self.folder / "fresh.jpg"
            fresh.write_bytes(picture.read_bytes() if data is None else data)
            fresh.replace(self.pictures / f"{number}.jpg")

    def take_pictures_away(self) -> None:
        """The camera finds nothing any more, like a device that was unplugged."""
        for picture in self.pictures.iterdir():
            picture.unlink()

    def next_question(self) -> tuple[int, ObservationRequest]:
        """Wait for a request that is sent from now on, and not the second copy of an older one; when it came, ns."""
        last = self.watcher.requests.newest
        known = last.request_id if last is not None else 0
        heard = self.watcher.requests.since
        began_ns = time.monotonic_ns()
        return self.wait(
            lambda: next((pair for pair in heard(began_ns) if pair[1].request_id > known), None), "a question"
        )

    def set_queue_parameter(self, parameter: Parameter) -> None:
        """Change a parameter of the running queue."""
        assert self.watcher.set_parameter("action_queue", parameter)

    def forget(self, before_ns: int) -> None:
        """Drop what was heard and seen before, in a run that takes long."""
        self.watcher.forget(before_ns)
        self.motion.forget(before_ns)

    # -- waiting and judging -----------------------------------------------------------------------------------------

    def wait[Result](self, condition: Callable[[], Result], what: str, patience_s: float = PATIENCE_S) -> Result:
        """Wait until the condition is true and return its value."""
        end = time.monotonic() + patience_s
        while True:
            result = condition()
            if result:
                return result
            for process in self.processes.values():
                if process.exit_code == 1 and self._respawns_left > 0:
                    self._respawns_left -= 1  # as the launch files do: a start can fail on a busy machine
                    process.start()
                if process.exit_code not in (None, 0, -9):
                    lines = "\n".join(process.said.splitlines()[-8:])
                    raise NotInTimeError(f"{process.name} ended with {process.exit_code}; it said\n{lines}")
            if time.monotonic() > end:
                raise NotInTimeError(f"not within {patience_s:g} s: {what}; {self.summary()}")
            time.sleep(0.005)

    def summary(self) -> str:
        """The newest states in one line."""
        if not hasattr(self, "watcher"):
            return "nothing heard yet"
        driver, queue, server = self.watcher.drivers.newest, self.watcher.queue.newest, self.watcher.servers.newest
        return "; ".join(
            f"{name} {one.state} {getattr(one, 'cause', '')} {getattr(one, 'message', '')}" if one else f"no {name}"
            for name, one in (("driver", driver), ("queue", queue), ("server", server))
        )

    def story(self, since_ns: int) -> str:
        """What the queue asked, heard and did since then, s after it, for a test that failed: the last of it."""
        if not hasattr(self, "watcher"):
            return "nothing heard yet"
        events: list[tuple[int, str]] = []
        state: tuple[int, str] | None = None
        for at, one in self.watcher.decisions.since(since_ns):
            events += [(at, f"asked {request.request_id} at step {request.step}") for request in one.request]
            events += [(at, f"chunk {c.request_id}: verdict {one.verdict} {one.reason} {c.message}") for c in one.chunk]
            if (one.state, one.cause) != state:
                state = (one.state, one.cause)
                events.append((at, f"state {one.state}, {one.length} rows left, {one.cause}"))
        for at, answer in self.watcher.chunks.since(since_ns):
            events.append((at, f"heard chunk {answer.request_id} of {answer.server_name}, status {answer.status}"))
        for at, driver in self.watcher.drivers.since(since_ns):
            if driver.state != DriverStatus.ENGAGED:
                events.append((at, f"driver {driver.state} {driver.cause} {driver.message}"))
        told = [f"{(at - since_ns) / 1e9:8.3f} {what}" for at, what in sorted(events)]
        return "\n".join(told[-STORY_LINES:])

    def bounds(self) -> Bounds:
        """The driver's limits as MuJoCo angles."""
        limits = self.watcher.limits.newest
        assert limits is not None
        middle = np.array(HOME) - np.array(PARK_RAD)
        return Bounds(np.array(limits.lower) + middle, np.array(limits.upper) + middle, np.array(limits.max_speed))

    def starved_since(self, since_ns: int) -> tuple[int, int]:
        """Ticks since then, and how many of them found the queue empty."""
        ticks = self.watcher.ticks(since_ns)
        return len(ticks), sum(one.state != QueueStatus.RUNNING for _, one in ticks)

    def tick_error_s(self, since_ns: int) -> float:
        """The 99th percentile of how far ticks were off their grid since then, s."""
        errors = [abs(one.tick_error) for _, one in self.watcher.queue.since(since_ns)]
        if not errors:
            raise NotInTimeError("no tick was heard of")
        return float(np.percentile(errors, 99))

    def end_of_queue(self, _began_ns: int, at_ns: int) -> int:
        """When the period of the last row before `at_ns` was over, ns; see Case.run."""
        ran = [at for at, one in self.watcher.ticks(at_ns - 10_000_000_000) if one.state == QueueStatus.RUNNING]
        return [at for at in ran if at < at_ns][-1] + round(TICK_S * 1e9)

    def last_rows(self, since_ns: int) -> list[int]:
        """When rows were executed since then, ns."""
        return [at for at, one in self.watcher.ticks(since_ns) if one.state == QueueStatus.RUNNING]

    def steps_of_setpoint(self, since_ns: int) -> float:
        """Largest change of the commanded position of any joint from one tick to the next since then, rad."""
        setpoints = np.array([one.setpoint for _, one in self.watcher.ticks(since_ns) if one.setpoint])
        return float(np.abs(np.diff(setpoints, axis=0)).max())

    @contextlib.contextmanager
    def in_place_of_server(self, other: SystemProcess) -> Iterator[SystemProcess]:
        """Another policy server, which is started and ended here, while the usual one is away."""
        self.server.end()
        usual = self.server
        self.server = self.processes["policy_server"] = other
        try:
            yield other
        finally:
            if other.is_running:
                other.end()
            self.server = self.processes["policy_server"] = usual

    def answer(self, request: ObservationRequest, **changes: Any) -> int:
        """Answer a request as the bound server would, with some fields changed; returns when, ns.

        The rows are those of the newest good chunk. Names, period and server are the bound server's.
        """
        good = next(chunk for _, chunk in reversed(self.watcher.chunks.since(0)) if chunk.status == ActionChunk.OK)
        chunk = copy.deepcopy(good)
        chunk.session, chunk.request_id = request.session, request.request_id
        chunk.spec_id, chunk.step = request.spec_id, request.step
        for name, value in changes.items():
            setattr(chunk, name, value)
        began_ns = time.monotonic_ns()
        self.watcher.chunk_publisher.publish(chunk)
        return began_ns


def config_file(name: str) -> Path:
    """A file of config/, from the installed bringup package or from the source tree."""
    try:
        installed = Path(get_package_share_directory("so101_config")) / name
        if installed.is_file():
            return installed
    except PackageNotFoundError:
        pass
    return Path(__file__).parents[3] / "config" / name


def _take_pictures(folder: Path) -> None:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(PICTURES):
        cv2.imwrite(str(folder / f"{number}.jpg"), noise.integers(0, 256, (96, 128, 3), dtype=np.uint8))
