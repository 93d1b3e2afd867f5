# SPDX-License-Identifier: Apache-2.0
"""The correction between the queue's decision and joint_command: whether it may work, and what it adds in a tick.

Imported only where a correction is loaded. The control thread calls `tick` under the queue's lock; frames come to the
corrector from a thread of their own, which no tick waits for.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from so101_correction.core.causes import CorrectionCause
from so101_correction.core.correction_file import CorrectionFile, check, read
from so101_correction.core.corrector import BasePlan, Corrector
from so101_node.log_lines import LogLevel
from so101_node.metrics.quantile import quantile
from so101_node.protocol import PolicyState
from so101_node.timing import clock

from so101_action_queue.core.camera_choice import names_of_policy
from so101_action_queue.core.decisions import PlanInForce, TickDecision
from so101_action_queue.core.inputs import JointLimits, JointPositions
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.errors import LimitsError
from so101_action_queue.ros import correction_diagnosis
from so101_action_queue.ros.correction_diagnosis import CorrectionView
from so101_action_queue.ros.parameters import QueueParameters

WINDOW_TICKS: Final = 300
"""The newest ticks that the entry on /diagnostics tells about: 10 s at 30 Hz."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether the correction belongs to the policy: a name of the causes and a line, both "" where it does."""

    name: str = correction_diagnosis.UNCONFIRMED.name
    text: str = "no READY policy server has said yet which policy it runs"


class QueueCorrection:
    """One correction in a node.

    Args:
        path: of the correction's file, for people.
        file: what it holds.
        corrector: made of it.
    """

    def __init__(self, path: str, file: CorrectionFile, corrector: Corrector) -> None:
        self.file = file
        self.corrector = corrector
        self.delta: tuple[float, ...] = ()
        self.cause = ""
        self._path = path
        self._cause_name = ""
        self._verdict = _Verdict()
        self._report: object = None
        self._session = 0
        self._newest_request = 0
        self._fits_after_request = 0
        self._engaged = False
        self._ticks: deque[tuple[bool, float, float]] = deque(maxlen=WINDOW_TICKS)  # corrected; rad; s

    def take_limits(self, limits: JointLimits) -> None:
        """Take over the joint limits; unusable ones are the queue's own fault to tell."""
        try:
            bounds = limits.bounds(self.file.joint_names)
        except LimitsError:
            return
        self.corrector.set_limits(bounds.lower, bounds.upper)

    def take_engaged(self, engaged: bool) -> None:
        """Take in whether the driver follows. One that braked holds where it did: from there nothing is added."""
        if self._engaged and not engaged:
            self.corrector.begin()
        self._engaged = engaged

    def tick(
        self,
        now_ns: int,
        measured: JointPositions | None,
        cameras: frozenset[str],
        core: ActionQueue,
        decision: TickDecision,
    ) -> tuple[float, ...]:
        """Return what is added to the setpoint of this tick, (joints,) rad; nothing where none is commanded.

        Args:
            now_ns: of the tick.
            measured: joint positions, as the core got them.
            cameras: that the robot is known to have.
            core: after its own tick.
            decision: of that tick.
        """
        began_ns = clock.now_ns()
        if core.session != self._session:
            self._session, self._newest_request, self._fits_after_request = core.session, 0, 0
            self.corrector.begin()
        self._judge(now_ns, core, cameras)
        plan = core.base_plan()
        self.delta = (0.0,) * len(core.settings.joint_names)
        if plan is None or self.file.joint_names != core.settings.joint_names:
            verdict = self._verdict if self._verdict.name else _Verdict(CorrectionCause.NO_PLAN, "nothing is commanded")
            self._tell(now_ns, core, verdict.name, verdict.text)
            return self.delta if plan is not None else ()
        obstacle = self._obstacle(plan)
        is_known = measured is not None and measured.age_s <= core.settings.max_pose_age_s
        positions = np.array(measured.positions) if measured and is_known else np.full(len(self.delta), np.nan)
        executes = plan.executes and not obstacle.name
        base = BasePlan(plan.setpoint, plan.rows_ahead, plan.request_id, plan.age_steps, executes)
        correction = self.corrector.tick(now_ns, base, positions)
        self.delta = tuple(correction.delta.tolist())
        self._tell(now_ns, core, obstacle.name or correction.cause_name, obstacle.text or correction.cause)
        if decision.request is not None:
            self._newest_request = decision.request.request_id
            self.corrector.requested(self._newest_request, now_ns)
        largest = float(np.abs(correction.delta).max(initial=0.0))
        self._ticks.append((not self._cause_name, largest, (clock.now_ns() - began_ns) / 1e9))
        return self.delta

    def view(self) -> CorrectionView:
        """Return what people are told."""
        times = sorted(time_s for _, _, time_s in self._ticks)
        corrected = [is_corrected for is_corrected, _, _ in self._ticks]
        return CorrectionView(
            path=self._path,
            cause_name=self._cause_name,
            cause=self.cause,
            corrected_ratio=sum(corrected) / len(corrected) if corrected else 0.0,
            delta_max_rad=max((largest for _, largest, _ in self._ticks), default=0.0),
            tick_p99_s=quantile(times, 0.99),
        )

    def _judge(self, now_ns: int, core: ActionQueue, cameras: frozenset[str]) -> None:
        """Look whether the policy that answers is the one that the correction was made for, at each of its reports.

        Until it says so nothing is added, and afterwards only to rows that were requested since.
        """
        report = core.server
        if report is None or report is self._report or report.state != PolicyState.READY:
            return
        self._report = report
        text = check(
            self.file,
            fingerprint=report.fingerprint,
            cameras=sorted(names_of_policy(cameras.union(report.cameras), core.settings.rename_map)),
            joint_names=core.settings.joint_names,
            fps=core.settings.fps,
        )
        verdict = _Verdict(correction_diagnosis.REFUSED.name if text else "", text)
        if verdict == self._verdict:
            return
        self._verdict, self._fits_after_request = verdict, self._newest_request
        if text:
            core.lines.add(
                now_ns, "correction", LogLevel.WARNING, f"correction refused, rows are executed as planned: {text}"
            )
        else:
            fits = f"correction {self._path} is for the policy of {report.server_name}: setpoints are corrected"
            core.lines.add(now_ns, "correction", LogLevel.INFO, fits)

    def _obstacle(self, plan: PlanInForce) -> _Verdict:
        """Return why nothing may be added to this plan, whatever the cameras show."""
        if self._verdict.name:
            return self._verdict
        if plan.executes and plan.request_id <= self._fits_after_request:
            return _Verdict(
                correction_diagnosis.UNCONFIRMED.name, "the rows in execution were requested of another policy"
            )
        return _Verdict("", "")

    def _tell(self, now_ns: int, core: ActionQueue, name: str, text: str) -> None:
        if name != self._cause_name and name in correction_diagnosis.OF_CAMERAS:
            core.lines.add(now_ns, "correction frames", LogLevel.WARNING, f"correction adds nothing: {text}")
        self._cause_name, self.cause = name, text


def load(values: QueueParameters) -> QueueCorrection:
    """Read the correction that the parameters name.

    Raises:
        CorrectionFileError: it cannot be read, or is no correction.
    """
    file = read(Path(values.chosen_correction).expanduser())
    corrector = Corrector(
        file,
        largest_delta_rad=values.correction_largest_delta_rad,
        largest_change_rad=values.correction_largest_change_rad,
        frozen_s=values.correction_frozen_s,
    )
    return QueueCorrection(values.chosen_correction, file, corrector)
