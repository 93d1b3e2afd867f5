"""Asking: joins the ledger of questions, the measured round trips and the rule into one decision per tick."""

import math
from collections import deque
from dataclasses import dataclass

from so101_action_queue.aggregation import AGGREGATIONS
from so101_action_queue.asking import ASK_RULES, Questions
from so101_action_queue.decisions import Question
from so101_action_queue.execution import Execution
from so101_action_queue.inputs import Pose, ServerReport
from so101_action_queue.round_trip import RoundTrips
from so101_action_queue.settings import Settings

MAX_HISTORY = 32  # observation steps; LeRobot's policies read 1 to 4


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to ask in this tick, and whether because an answer did not come in time."""

    now: bool
    timed_out: bool = False


class Asker:
    """When the next question is due, and what it says."""

    def __init__(self) -> None:
        self.questions = Questions()
        self.round_trips = RoundTrips()
        self._at_once = False
        self._poses: deque[tuple[float, ...]] = deque(maxlen=MAX_HISTORY)

    def ask_at_once(self) -> None:
        """Let the next tick ask whatever is outstanding or left to execute."""
        self._at_once = True

    def new_server(self) -> None:
        """Another server, or the same one anew, is ready: measure afresh and ask at once."""
        self.round_trips.new_server()
        self.questions.new_server()
        self._at_once = True

    def see(self, pose: Pose | None) -> None:
        """Remember the pose of this tick for policies that read several."""
        if pose is not None:
            self._poses.append(pose.positions)

    def due(self, now_ns: int, execution: Execution, settings: Settings) -> Due:
        """Return whether to ask now."""
        if self._at_once:
            return Due(True)
        if self.questions.outstanding is not None:
            overdue = self.questions.is_overdue(now_ns, settings, self.round_trips)
            return Due(overdue, timed_out=overdue)
        if self.questions.is_waiting_to_retry(now_ns):
            return Due(False)
        if not execution.length or self.questions.must_retry(now_ns):
            return Due(True)
        return Due(execution.length <= self.level(execution.chunk_rows, settings))

    def level(self, chunk_rows: int, settings: Settings) -> float:
        """Return how many rows may be left when the next question is asked."""
        return ASK_RULES[settings.request_policy](chunk_rows, self.round_trips, settings)

    def ask(
        self, now_ns: int, pose: Pose, execution: Execution, server: ServerReport, session: int, settings: Settings
    ) -> Question:
        """Open the next question: one snapshot of step, pose and rows ahead."""
        self._at_once = False
        rows_ahead = execution.rows_ahead()
        sends_leftover = AGGREGATIONS[settings.aggregate_fn_name].sends_leftover
        leftover = rows_ahead if sends_leftover else rows_ahead[:0]
        delay = self._expected_delay_steps(len(leftover), settings)
        asked = self.questions.ask(now_ns, execution.step, execution.executed, delay)
        history = min(max(1, server.n_obs_steps), MAX_HISTORY)
        return Question(
            session=session,
            request_id=asked.request_id,
            spec_id=server.spec_id,
            step=execution.step,
            must_go=not len(rows_ahead),
            task=settings.task,
            history=history,
            joint_names=settings.joint_names,
            positions=self._newest_poses(history),
            positions_age_s=pose.age_s,
            expected_delay_steps=delay,
            leftover_rows=len(leftover),
            leftover=tuple(leftover.ravel().tolist()),
        )

    def _expected_delay_steps(self, leftover_rows: int, settings: Settings) -> int:
        """Steps that will run before the answer comes. No more than there are rows: an empty queue executes nothing."""
        estimate_s = self.round_trips.estimate_s
        if not leftover_rows or math.isnan(estimate_s):
            return 0
        return min(math.ceil(estimate_s * settings.fps), leftover_rows)

    def _newest_poses(self, history: int) -> tuple[float, ...]:
        """Return the newest poses, newest last; before the first the arm stood where it was then."""
        poses = list(self._poses)[-history:]
        poses = [poses[0]] * (history - len(poses)) + poses
        return tuple(value for pose in poses for value in pose)
