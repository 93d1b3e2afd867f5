# SPDX-License-Identifier: Apache-2.0
"""What the queue tells of the plan that a tick follows, for whoever corrects its setpoints."""

from typing import Any

import numpy as np
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_node.protocol import FloatArray, QueueState

JOINTS = ("pan", "lift")


def by_step(request: ChunkRequest) -> FloatArray:
    """Say for step s that both joints belong at s / 1000 rad."""
    return np.repeat((request.step + np.arange(50.0))[:, np.newaxis] / 1000, 2, axis=1)


def session(link: VirtualLink | None = None, **changes: Any) -> VirtualSession:
    made = VirtualSession(
        QueueSettings(joint_names=JOINTS, cameras=(), aggregate_fn_name="latest_only", **changes), by_step, link
    )
    made.run(0.5)
    return made


def test_there_is_no_plan_before_start_and_after_stop() -> None:
    made = session()
    assert made.journal.core.base_plan() is None
    made.start()
    made.run(2.0)
    assert made.journal.core.base_plan() is not None
    made.journal.stop(made.now_ns)
    assert made.journal.core.base_plan() is None


def test_before_the_first_chunk_the_plan_is_the_held_setpoint() -> None:
    made = session(VirtualLink(inference_s=lambda request_id: None))
    made.start()
    made.run(0.5)
    plan = made.journal.core.base_plan()
    assert plan is not None
    assert (plan.request_id, plan.step, plan.age_steps, plan.executes) == (0, 0, 0, False)
    assert plan.setpoint.tolist() == [0.0, 0.0]
    assert plan.rows_ahead.shape == (0, 2)


def test_setpoint_rows_and_age_are_those_of_the_tick_whatever_chunk_came_last() -> None:
    made = session(VirtualLink(inference_s=lambda request_id: 0.3))
    made.start()
    steps = {}
    seen = set()
    for _ in range(150):
        made.run(made.settings.period_ns / 1e9)
        steps = {request.request_id: request.step for request in made.trace.requests}
        plan = made.journal.core.base_plan()
        assert plan is not None
        assert plan.executes == (made.trace.states[-1] is QueueState.RUNNING)
        if not plan.executes:
            continue
        seen.add(plan.request_id)
        assert plan.setpoint.tolist() == list(made.trace.setpoints[-1])
        assert plan.step == steps[plan.request_id]
        this_step = plan.step + plan.age_steps  # row 0 of the chunk has age 0
        assert round(float(plan.setpoint[0]) * 1000) == this_step == made.journal.core.step - 1
        assert np.allclose(plan.rows_ahead[:, 0] * 1000, this_step + 1 + np.arange(len(plan.rows_ahead)))
    assert len(seen) >= 4


def test_a_paused_queue_executes_nothing() -> None:
    made = session()
    made.start()
    made.run(2.0)
    made.journal.pause(made.now_ns)
    made.run(0.1)
    plan = made.journal.core.base_plan()
    assert plan is not None
    assert not plan.executes
    assert len(plan.rows_ahead) == 0


def test_whoever_asks_for_it_changes_nothing() -> None:
    quiet, curious = session(), session()
    for made in (quiet, curious):
        made.start()
    for _ in range(90):
        quiet.run(1 / 30)
        curious.run(1 / 30)
        plan = curious.journal.core.base_plan()
        assert plan is not None
        plan.setpoint[:] = 9.0
        plan.rows_ahead[:] = 9.0
    assert repr(curious.entries) == repr(quiet.entries)
