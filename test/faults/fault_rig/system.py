"""The system under test: virtual arm, driver, queue, one camera and the policy server, each a process of its own."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from so101_msgs.msg import DriverStatus, PolicyStatus, QueueStatus
from so101_sim.joints import HOME
from so101_sim.virtual_arm_client import VirtualArmClient, VirtualArmError
from so101_tools.domain import DomainLease

from fault_rig.motion import Bounds, MotionRecorder
from fault_rig.processes import SystemProcess
from fault_rig.watcher import Watcher

TICK_S = 1.0 / 30.0
PATIENCE_S = 30.0
PARK_RAD = (0.0, -1.2, 1.1, 1.0, 0.0, -0.585)  # of config/sim.yaml, the same pose as HOME
PICTURES = 6
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
    """

    def __init__(
        self,
        folder: Path,
        prefixes: Mapping[str, tuple[str, ...]] | None = None,
        environments: Mapping[str, Mapping[str, str]] | None = None,
        queue_parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
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
        config = str(_config("sim.yaml"))
        arguments = ["--ros-args", "--params-file", config]
        self.arm = self._process(
            "virtual_arm", "-m", "so101_sim.virtual_arm", "--sim-dir", str(self.sim_dir), "--real-time-priority"
        )
        self.driver = self._process(
            "so101_driver", "-m", "so101_driver.so101_driver_node", *arguments,
            "-p", f"port:={self.sim_dir / 'ttySO101'}", "-p", f"calibration_dir:={self.sim_dir / 'calibration'}",
        )  # fmt: skip
        tuned = {"cameras": "[top]", "connect_timeout_s": "60.0", **(queue_parameters or {})}
        self.queue = self._process(
            "action_queue", "-m", "so101_action_queue.action_queue_node", *arguments,
            *(part for name, value in tuned.items() for part in ("-p", f"{name}:={value}")),
        )  # fmt: skip
        self.camera = self._process(
            "top", "-m", "so101_camera.camera_node", "--ros-args", "-r", "__node:=top",
            "-p", f"device:={self.pictures}",
        )  # fmt: skip
        self.server = self.make_server("policy_server")
        self.processes = {one.name: one for one in (self.arm, self.driver, self.queue, self.camera, self.server)}
        self.watcher: Watcher
        self.motion: MotionRecorder

    def make_server(self, name: str, *parameters: str) -> SystemProcess:
        """A light policy server that is not started yet; `parameters` as name:=value."""
        chosen = ("pretrained_name_or_path:=waving", f"server_name:={name}", *parameters)
        return self._process(
            name, str(LIGHT_SERVER), "--mood", str(self._mood), "--ros-args",
            *(part for value in chosen for part in ("-p", value)),
        )  # fmt: skip

    def _process(self, name: str, *words: str) -> SystemProcess:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONUNBUFFERED": "1",
            **self._environments.get(name, {}),
        }
        command = [*self._prefixes.get(name, ()), sys.executable, *words]
        return SystemProcess(name, command, self.folder / f"{name}.log", environment)

    # -- coming and going --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; return when the arm waves."""
        self.mood()
        _take_pictures(self._album)
        shutil.copytree(self._album, self.pictures)
        self.arm.start()
        self.wait(self._arm_answers, "virtual_arm answers")
        for process in (self.driver, self.queue, self.camera, self.server):
            process.start()
        self.motion = MotionRecorder(self.sim_dir / "state")
        self.watcher = Watcher(self.domain)
        self.recover()

    def _arm_answers(self) -> bool:
        with contextlib.suppress(VirtualArmError, FileNotFoundError), VirtualArmClient(self.sim_dir) as client:
            client.ping()
            return True
        return False

    def close(self) -> None:
        """End everything that still runs."""
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
        began_ns = time.monotonic_ns() - 1_000_000_000
        self.wait(lambda: self.watcher.drivers.since(began_ns), "a driver speaks")
        self.wait(self._driver_holds, "the driver holds or follows")
        self.wait(self._server_is_ready, "the policy server is ready")
        self.wait(self._queue_runs, "the queue runs")
        self.wait(self.motion.is_moving, "the arm moves")
        time.sleep(0.5)  # what the start was late with is over

    def _driver_holds(self) -> bool:
        status = self.watcher.drivers.newest
        assert status is not None
        if status.state in (DriverStatus.LATCHED, DriverStatus.RELEASED):
            self.watcher.call("so101_driver/reset")
            time.sleep(0.3)
            return False
        return status.state in (DriverStatus.HOLD, DriverStatus.ENGAGED)

    def _server_is_ready(self) -> bool:
        recent = self.watcher.servers.since(time.monotonic_ns() - 1_000_000_000)
        return bool(recent) and recent[-1][1].state == PolicyStatus.READY

    def _queue_runs(self) -> bool:
        recent = self.watcher.queue.since(time.monotonic_ns() - 200_000_000)
        if not recent:
            return False
        state = recent[-1][1].state
        if state in (QueueStatus.IDLE, QueueStatus.STOPPED) or "paused" in recent[-1][1].cause:
            self.watcher.call("action_queue/start")
            time.sleep(0.3)
            return False
        return bool(state == QueueStatus.RUNNING)

    # -- faults ------------------------------------------------------------------------------------------------------

    def mood(self, **values: Any) -> None:
        """How the policy behaves from its next inference on; see light_server."""
        fresh = self._mood.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(self._mood)

    def fault(self, *words: object) -> None:
        """A fault of the virtual arm; see so101_sim.control_commands."""
        with VirtualArmClient(self.sim_dir) as client:
            client.fault(*words)

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

    # -- waiting and judging -----------------------------------------------------------------------------------------

    def wait[Result](self, condition: Callable[[], Result], what: str, patience_s: float = PATIENCE_S) -> Result:
        """Wait until the condition is true and return its value."""
        end = time.monotonic() + patience_s
        while True:
            result = condition()
            if result:
                return result
            for process in (self.arm, self.driver, self.queue, self.camera, self.server):
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

    def bounds(self) -> Bounds:
        """The driver's limits as MuJoCo angles."""
        limits = self.watcher.limits.newest
        assert limits is not None
        middle = np.array(HOME) - np.array(PARK_RAD)
        return Bounds(np.array(limits.lower) + middle, np.array(limits.upper) + middle, np.array(limits.max_speed))

    def last_row_ns(self, since_ns: int) -> int | None:
        """When the newest tick since then executed a row; None if none did."""
        ran = [at for at, one in self.watcher.ticks(since_ns) if one.state == QueueStatus.RUNNING]
        return ran[-1] if ran else None


def _config(name: str) -> Path:
    """A file of config/, from the installed bringup package or from the source tree."""
    try:
        installed = Path(get_package_share_directory("so101_bringup")) / "config" / name
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
