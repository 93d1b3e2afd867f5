# SPDX-License-Identifier: Apache-2.0
"""The queue as a process with a correction: its own frames over DDS in, commands that differ by the delta out."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from correction_weights import correction_file
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage
from so101_action_queue.record.replay import replay
from so101_action_queue.ros.correction_frames import CorrectionFrames
from so101_action_queue.testing.queue_world import FPS, HOME, JOINTS, QueueProcess, QueueWorld
from so101_correction.core.correction_file import write
from so101_msgs.msg import QueueStatus
from so101_node.threads import FatalSlot
from so101_node.topics import qos

CAMERAS = ("top", "wrist")
FINGERPRINT = "5eed" * 16
DELTA_RAD, CHANGE_RAD = 0.2, 0.05
FADE_TICKS = 3  # 100 ms


def jpegs(height: int, width: int) -> list[bytes]:
    """A bright square that wanders."""
    pictures = []
    for number in range(16):
        picture = np.full((height, width, 3), 40, np.uint8)
        at = number * (width - 40) // 16
        picture[60:100, at : at + 40] = (30, 200, 250)
        pictures.append(cv2.imencode(".jpg", picture)[1].tobytes())
    return pictures


class Cameras:
    """Two cameras at the control rate. `freezes` repeats one frame, `silent` sends none, `small` another size."""

    def __init__(self, world: QueueWorld) -> None:
        self.freezes = self.silent = self.small = False
        self.last_ns = 0
        self._frames = {False: jpegs(240, 320), True: jpegs(120, 160)}
        self._publishers = [
            world.node.create_publisher(CompressedImage, f"{name}/image_raw/compressed", qos.IMAGE_WRITER)
            for name in CAMERAS
        ]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def work(self) -> None:
        self.freezes = self.silent = self.small = False

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(1 / FPS):
            number += not self.freezes
            if self.silent:
                continue
            frame = self._frames[self.small][number % 16]
            for publisher in self._publishers:
                publisher.publish(CompressedImage(format="jpeg", data=frame))
            self.last_ns = time.monotonic_ns()


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("correction") / "correction.npz"
    file = correction_file(
        CAMERAS, fingerprint=FINGERPRINT, joint_names=tuple(JOINTS), largest_delta_rad=DELTA_RAD,
        largest_change_rad=CHANGE_RAD,
    )  # fmt: skip
    write(path, file)
    return path


@pytest.fixture(scope="module")
def only_world() -> Iterator[QueueWorld]:
    node = QueueWorld()
    yield node
    node.close()


@pytest.fixture(scope="module")
def only_cameras(only_world: QueueWorld) -> Iterator[Cameras]:
    cameras = Cameras(only_world)
    yield cameras
    cameras.close()


@pytest.fixture(scope="module")
def only_queue(npz: Path) -> Iterator[QueueProcess]:
    process = QueueProcess(correction_file=str(npz), cameras="[top, wrist]")
    yield process
    process.kill()


@pytest.fixture
def cameras(only_world: QueueWorld, only_cameras: Cameras, only_queue: QueueProcess) -> Cameras:
    """Cameras of a queue that has just been started and corrects."""
    only_world.reset()
    only_world.fingerprint = FINGERPRINT
    only_cameras.work()
    time.sleep(0.3)
    only_world.start()
    assert only_world.wait(lambda: corrects(only_world)), only_world.summary()
    return only_cameras


@pytest.fixture
def world(only_world: QueueWorld, cameras: Cameras) -> QueueWorld:
    return only_world


def corrects(world: QueueWorld) -> bool:
    if not world.statuses:
        return False
    status = world.statuses[-1]
    return bool(status.correction_cause == "" and np.any(status.correction))


def faded(world: QueueWorld, cause: str) -> int:
    """Wait until nothing is added by reason of `cause`; return how many ticks the fading took."""
    seen = len(world.statuses)
    assert world.wait(
        lambda: any(cause in one.correction_cause and not np.any(one.correction) for one in world.statuses[seen:])
    ), world.summary()
    since = world.statuses[seen:]
    began = next(index for index, one in enumerate(since) if cause in one.correction_cause)
    ended = next(index for index, one in enumerate(since) if index >= began and not np.any(one.correction))
    return since[ended].tick - since[began - 1].tick if began else 0


def test_commands_are_the_rows_plus_the_delta_and_the_log_replays_bit_for_bit(world: QueueWorld) -> None:
    assert world.wait(lambda: world.statuses[-1].accepted >= 4 and len(world.commands) > 90), world.summary()
    assert world.call("stop").success
    assert world.wait(lambda: world.decisions[-1].state == QueueStatus.STOPPED)
    session = world.decisions[-1].session
    log = [one for one in world.decisions if one.session == session]
    ticks = [one for one in log if one.setpoint]
    rows, deltas = np.array([one.setpoint for one in ticks]), np.array([one.correction for one in ticks])

    begin = next(index for index, row in enumerate(rows) if abs(row[0] - HOME[0]) > 1e-3) - 1
    steps = np.array([one.step for one in ticks][begin : begin + 60])  # a late tick leaves rows out
    planned = np.array(HOME) + 0.2 * np.sin((steps - steps[0]) / 20)[:, np.newaxis]
    np.testing.assert_allclose(rows[begin : begin + 60], planned, atol=1e-6)  # the queue's own rows stay as they were

    assert np.abs(deltas).max() <= DELTA_RAD and np.mean(np.any(deltas, axis=1)) > 0.5
    assert np.abs(np.diff(deltas, axis=0)).max() <= max(CHANGE_RAD, DELTA_RAD / 3) + 1e-12
    told = {tuple(row) for row in (rows + deltas).tolist()}
    assert all(tuple(command.position) in told for command in world.commands)
    shown = [one.correction for one in world.statuses if one.session == session and np.any(one.correction)]
    assert {tuple(delta) for delta in shown} <= {tuple(delta) for delta in deltas.tolist()} and len(shown) > 30

    result = replay(log)
    assert result.first_difference == "" and result.decisions == len(log)
    changed = next(one for one in log if np.any(one.correction))
    changed.setpoint[0] += 1e-15 + abs(changed.setpoint[0]) * 1e-15
    assert not replay(log).identical


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("silent", "newest frame"), ("freezes", "the same frame for"), ("small", "its size changed")],
)
def test_a_camera_that_stops_freezes_or_changes_its_size_ends_it_within_100_ms(
    world: QueueWorld, cameras: Cameras, fault: str, cause: str
) -> None:
    setattr(cameras, fault, True)
    assert faded(world, cause) <= FADE_TICKS + 1  # from the tick before the cause
    status = world.statuses[-1]
    assert status.state == QueueStatus.RUNNING and status.correction_cause.startswith("camera ")
    world.commands.clear()
    assert world.wait(lambda: len(world.commands) > 5)
    commands = {tuple(command.position) for command in world.commands[1:6]}
    assert world.wait(lambda: commands <= {tuple(one.setpoint) for one in world.decisions})  # the base goes on
    cameras.work()
    assert world.wait(lambda: corrects(world)), world.summary()


def test_another_policy_is_refused_by_name_and_the_base_goes_on(world: QueueWorld) -> None:
    entries: list[DiagnosticArray] = []
    subscription = world.node.create_subscription(DiagnosticArray, "/diagnostics", entries.append, 10)
    world.fingerprint = "bad" * 21 + "0"
    faded(world, "correction for another policy: expected fingerprint 5eed5eed5eed, the policy's is badbadbadbad")
    assert world.statuses[-1].state == QueueStatus.RUNNING

    def told() -> bool:
        statuses = [status for array in entries for status in array.status if status.name == "action_queue: correction"]
        return any(
            status.message.startswith("CORRECTION_REFUSED: correction for another policy") for status in statuses
        )

    assert world.wait(told)
    accepted = world.statuses[-1].accepted
    assert world.wait(lambda: world.statuses[-1].accepted > accepted + 1)
    assert not np.any(world.statuses[-1].correction)
    world.fingerprint = FINGERPRINT
    assert world.wait(lambda: corrects(world)), world.summary()
    assert world.wait(
        lambda: any(
            status.message.startswith("CORRECTING") and float(status.values[3].value) > 0
            for array in entries
            for status in array.status
            if status.name == "action_queue: correction"
        )
    )
    world.node.destroy_subscription(subscription)


@pytest.mark.parametrize("how", ["pause", "starve"])
def test_it_fades_while_no_row_is_executed(world: QueueWorld, how: str) -> None:
    if how == "pause":
        world.call("pause")
    else:
        world.delay_s = None
    assert faded(world, "the queue executes no rows") <= FADE_TICKS + 1
    held = next(one for one in reversed(world.decisions) if one.setpoint)
    assert world.wait(lambda: tuple(world.commands[-1].position) == tuple(held.setpoint))


def test_the_parameters_are_checked(world: QueueWorld, tmp_path: Path) -> None:
    done, reason = world.set_parameter("correction_largest_delta_rad", 0.1)
    assert not done and "correction_largest_delta_rad" in reason
    (tmp_path / "correction.npz").write_bytes(b"no npz")
    cases = (
        ({"correction_file": str(tmp_path / "none.npz")}, 1, "none.npz: cannot be read: No such file"),
        ({"correction_file": str(tmp_path / "correction.npz")}, 1, "correction.npz: expected an .npz"),
        ({"correction_argument": str(tmp_path / "no"), "correction_file": "x"}, 1, "(parameter correction_argument)"),
        ({"correction_largest_delta_rad": 4.0}, 78, "correction_largest_delta_rad): must be 0 to 3.1"),
    )
    started = [(QueueProcess("/elsewhere", **values), code, line) for values, code, line in cases]
    for process, code, line in started:
        returned, output = process.finish()
        assert returned == code and line in output.splitlines()[-1], output


def test_frames_are_read_from_the_camera_that_the_robot_calls_otherwise(only_world: QueueWorld) -> None:
    seen: list[str] = []

    class Corrector:
        def see(self, camera: str, thumbnail: np.ndarray, now_ns: int) -> None:
            seen.append(camera)

    rename = {"observation.images.overhead": "observation.images.top"}
    frames = CorrectionFrames(only_world.node, correction_file(("top",)), Corrector(), FatalSlot(), rename)
    topic = "overhead/image_raw/compressed"
    publisher = only_world.node.create_publisher(CompressedImage, topic, qos.IMAGE_WRITER)
    frame = CompressedImage(format="jpeg", data=jpegs(240, 320)[0])
    try:
        assert only_world.wait(lambda: publisher.publish(frame) or seen)
    finally:
        frames.close()
        only_world.node.destroy_publisher(publisher)
    assert set(seen) == {"top"}


def test_the_queue_leaves_cleanly_and_has_logged_what_was_wrong(world: QueueWorld, only_queue: QueueProcess) -> None:
    code, output, _ = only_queue.leave()
    assert code == 0 and "Traceback" not in output
    for text in ("is for the policy of world", "correction refused, rows are executed as planned", "camera "):
        assert text in output
