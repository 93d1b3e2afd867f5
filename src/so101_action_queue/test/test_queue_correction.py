# SPDX-License-Identifier: Apache-2.0
"""The correction beside the core, in virtual time: to whose rows it is added, and when it is not."""

from dataclasses import replace

import numpy as np
import pytest
from correction_weights import correction_file, random_weights
from so101_action_queue.core.decisions import TickDecision
from so101_action_queue.core.inputs import JointPositions
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.journal import Journal, JournalEntry
from so101_action_queue.record.virtual_session import SERVER_ID, SESSION, VirtualSession
from so101_action_queue.ros.correction_diagnosis import OF_CAMERAS, correction_entry
from so101_action_queue.ros.queue_correction import QueueCorrection
from so101_correction.core.correction_file import CorrectionFile
from so101_correction.core.corrector import Corrector
from so101_node.protocol import DecisionInput, DriverState

JOINTS = ("pan", "lift")
SETTINGS = QueueSettings(joint_names=JOINTS, cameras=("top",))


def a_file(*cameras: str) -> CorrectionFile:
    weights = random_weights(len(cameras), len(JOINTS))
    values = {"weights": weights, "joint_names": JOINTS, "fingerprint": "ab" * 32}
    return correction_file(cameras, **values, largest_delta_rad=0.3, largest_change_rad=0.1)


FILE = a_file("top")


class CorrectedArm:
    """Corrects each setpoint of a session as the node does, frames coming at every tick."""

    def __init__(self, file=FILE) -> None:
        self.correction = QueueCorrection("belt.npz", file, Corrector(file))
        self.deltas: list[np.ndarray] = []
        self.causes: list[str] = []
        self.sees = True
        self.cameras = frozenset({"top"})
        self._random = np.random.default_rng(0)

    def tick(self, journal: Journal, now_ns: int, measured: JointPositions | None) -> TickDecision:
        if self.sees:
            frame = self._random.integers(0, 255, (64, 80, 3), np.uint8)
            self.correction.corrector.see("top", frame, now_ns)

        def correct(core, decision):
            return self.correction.tick(now_ns, measured, self.cameras, core, decision)

        decision = Journal.tick(journal, now_ns, measured, correct)
        self.deltas.append(np.array(self.correction.delta))
        self.causes.append(self.correction.cause)
        return decision


@pytest.fixture
def arm() -> CorrectedArm:
    return CorrectedArm()


def session(arm: CorrectedArm, settings: QueueSettings = SETTINGS, **changes) -> VirtualSession:
    made = VirtualSession(settings, lambda request: np.full((50, len(JOINTS)), 0.2))
    made.server = replace(made.server, **{"fingerprint": "ab" * 32, "cameras": ("top",), **changes})
    made.journal.tick = lambda now_ns, measured: arm.tick(made.journal, now_ns, measured)
    arm.correction.take_limits(made.limits)
    made.run(0.5)
    made.start()
    return made


def ticks(entries: list[JournalEntry]) -> list[JournalEntry]:
    return [entry for entry in entries if entry.kind is DecisionInput.TICK and entry.decision.setpoint]


def test_deltas_are_logged_with_the_setpoints_that_the_core_decided(arm: CorrectedArm) -> None:
    virtual = session(arm)
    virtual.run(2.0)
    logged = ticks(virtual.entries)
    assert np.abs([entry.correction for entry in logged]).max() > 0.05
    assert {len(entry.correction) for entry in logged} == {2}
    alone = VirtualSession(SETTINGS, lambda request: np.full((50, 2), 0.2))
    alone.run(0.5)
    alone.start()
    alone.run(2.0)
    assert [entry.decision.setpoint for entry in logged] == [entry.decision.setpoint for entry in ticks(alone.entries)]
    assert all(entry.correction == () for entry in ticks(alone.entries))
    idle = [entry for entry in virtual.entries if entry.kind is DecisionInput.TICK and not entry.decision.setpoint]
    assert idle and all(entry.correction == () for entry in idle)
    view = arm.correction.view()
    assert view.cause_name == "" and 0.5 < view.corrected_ratio <= 1 and view.delta_max_rad <= 0.3
    assert 0 < view.tick_p99_s < 1


@pytest.mark.parametrize(
    ("changes", "settings", "told"),
    [
        ({"fingerprint": "cd" * 32}, {}, "another policy: expected fingerprint abababababab, the policy's is cdcdcdcd"),
        ({"fingerprint": ""}, {}, "the policy has none"),
        ({}, {"fps": 20.0}, "another rate: expected 30 Hz, got 20 Hz"),
        ({}, {"joint_names": ("lift", "pan")}, "other joints: expected pan, lift, got lift, pan"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_the_rows_are_executed(
    arm: CorrectedArm, changes: dict, settings: dict, told: str
) -> None:
    virtual = session(arm, replace(SETTINGS, **settings), **changes)
    trace = virtual.run(2.0)
    assert told in arm.causes[-1] and not np.any(arm.deltas)
    assert np.allclose(trace.setpoints[-1], 0.2, atol=1e-6)
    lines = [line.text for line in trace.lines if "correction" in line.text]
    assert len(lines) == 1 and lines[0].startswith("correction refused, rows are executed as planned: ")
    entry = correction_entry("left/action_queue", arm.correction.view())
    assert entry.name == "left/action_queue: correction" and entry.message.startswith("CORRECTION_REFUSED: ")


def test_a_camera_that_the_robot_lacks_is_refused_by_name() -> None:
    arm = CorrectedArm(a_file("top", "side"))
    session(arm).run(1.0)
    assert "correction reads cameras top, side: no side among top" in arm.causes[-1]


@pytest.mark.parametrize(("renamed", "told"), [("top", ""), ("side", "no top among")])
def test_a_camera_is_looked_for_under_the_robots_own_name(arm: CorrectedArm, renamed: str, told: str) -> None:
    arm.cameras = frozenset({"overhead"})
    rename = {"rename_from": ("observation.images.overhead",), "rename_to": (f"observation.images.{renamed}",)}
    session(arm, replace(SETTINGS, cameras=("overhead",), **rename), cameras=("overhead",)).run(1.0)
    assert told in arm.causes[-1] and np.any(arm.deltas[-1]) == (not told)


def test_rows_of_the_policy_before_are_never_corrected_for_the_one_that_fits(arm: CorrectedArm) -> None:
    virtual = session(arm, fingerprint="cd" * 32)
    virtual.run(1.0)
    virtual.link = replace(virtual.link, inference_s=lambda request_id: 0.4)
    virtual.server = replace(virtual.server, fingerprint="ab" * 32)
    accepted = len(virtual.trace.chunks)
    while len(virtual.trace.chunks) < accepted + 6:  # each comes twice, and one was requested before
        virtual.run(0.1)
    assert "the rows in execution were requested of another policy" in arm.causes
    first = next(index for index, cause in enumerate(arm.causes) if cause == "")
    assert not np.any(arm.deltas[:first]) and np.any(arm.deltas[first:])


def test_a_driver_that_braked_goes_on_from_where_it_holds_without_a_delta(arm: CorrectedArm) -> None:
    virtual = session(arm)
    virtual.run(2.0)
    arm.correction.take_engaged(True)
    assert np.any(arm.deltas[-1])
    arm.correction.take_engaged(False)
    virtual.driver = replace(virtual.driver, state=DriverState.HOLD, cause="COMMAND_TIMEOUT")
    virtual._say_driver()
    virtual.run(0.04)
    assert not np.any(arm.deltas[-1])


def test_a_new_session_begins_without_a_delta(arm: CorrectedArm) -> None:
    virtual = session(arm)
    virtual.run(2.0)
    assert np.any(arm.deltas[-1])
    virtual.journal.stop(virtual.now_ns)
    virtual.run(0.04)
    assert arm.causes[-1] == "nothing is commanded" and not np.any(arm.deltas[-1])
    assert virtual.journal.start(virtual.now_ns, SESSION + 1).done
    virtual.run(0.04)
    assert not np.any(arm.deltas[-1]) and "executes no rows" in arm.causes[-1]


def test_a_lost_camera_is_logged_once_with_its_name(arm: CorrectedArm) -> None:
    virtual = session(arm)
    virtual.run(1.0)
    arm.sees = False
    trace = virtual.run(1.0)
    assert arm.correction.view().cause_name in OF_CAMERAS and not np.any(arm.deltas[-1])
    lines = [line.text for line in trace.lines if line.text.startswith("correction adds nothing: camera top: ")]
    assert len(lines) == 1
    assert virtual.journal.core.status(virtual.now_ns).server_id == SERVER_ID  # the base goes on
