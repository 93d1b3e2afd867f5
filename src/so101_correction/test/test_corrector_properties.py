# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order: the bounds hold, and a reason to stop that stays has stopped it in 100 ms."""

import numpy as np
from correction_world import JOINTS, PERIOD_NS, SIDE, small_file
from hypothesis import given
from hypothesis import strategies as st
from so101_correction.core.causes import CorrectionCause
from so101_correction.core.corrector import REQUESTS_KEPT, BasePlan, Corrector

DELTA, CHANGE = 0.4, 0.05
LOWER, UPPER = np.full(JOINTS, -1.0), np.full(JOINTS, 1.2)
FILE = small_file(gain=30.0)

EVENT = st.fixed_dictionaries(
    {
        "seen": st.sampled_from(["all", "all", "all", "top", "none", "equal", "lost"]),
        "request": st.integers(0, 5),  # 0: none
        "plan": st.sampled_from(["runs", "runs", "runs", "runs", "holds", "none"]),
        "of": st.integers(1, 6),  # request 6 is never sent
        "age": st.sampled_from([0, 5, 54, 55]),
        "known": st.sampled_from([True, True, True, True, False]),
        "repeat": st.sampled_from([1, 1, 2, 3, 9]),
        "late": st.sampled_from([0, 0, 0, PERIOD_NS // 2, 3 * PERIOD_NS]),
        "setpoint": st.integers(0, 3),
    }
)


def run(events: list[dict], limits: bool) -> None:
    corrector = Corrector(FILE, (LOWER, UPPER) if limits else None, largest_delta_rad=DELTA, largest_change_rad=CHANGE)
    rng, now_ns, before = np.random.default_rng(0), 10**9, np.zeros(JOINTS)
    setpoints = rng.uniform(LOWER, UPPER, (4, JOINTS))
    setpoints[3] = UPPER
    stopped_ns = None
    for event in (one for one in events for _ in range(one["repeat"])):
        now_ns += PERIOD_NS + event["late"]
        for camera in FILE.cameras:
            if event["seen"] in ("all", camera, "lost"):
                corrector.see(camera, rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), now_ns)
            elif event["seen"] == "equal":
                corrector.see(camera, np.zeros((SIDE, SIDE, 3), np.uint8), now_ns)
        if event["seen"] == "lost":
            corrector.lost("top", "damaged")
        if event["request"]:
            corrector.requested(event["request"], now_ns)
        setpoint = setpoints[event["setpoint"]]
        plan = BasePlan(setpoint, np.tile(setpoint, (9, 1)), event["of"], event["age"], event["plan"] == "runs")
        positions = rng.normal(size=JOINTS) if event["known"] else np.full(JOINTS, np.nan)
        correction = corrector.tick(now_ns, None if event["plan"] == "none" else plan, positions)
        delta = correction.delta
        assert np.all(np.abs(delta) <= DELTA)
        assert (correction.cause == "") == (correction.cause_name is CorrectionCause.NONE)
        if correction.cause_name is CorrectionCause.NONE:
            stopped_ns = None
            assert event["plan"] == "runs" and event["known"] and event["age"] <= 54 and event["of"] < 6
            grown = np.maximum(np.abs(delta - before) - CHANGE, 0)
            toward_zero = (np.abs(delta) < np.abs(before)) & (delta * before >= 0)
            # Only a limit may take it back faster: the command itself then stays where it is.
            assert np.all((grown < 1e-9) | (limits & toward_zero))
        else:
            stopped_ns = now_ns if stopped_ns is None else stopped_ns
            assert np.all(np.abs(delta) <= np.abs(before)) and np.all(delta * before >= 0)
            if now_ns - stopped_ns + PERIOD_NS >= 99_000_000:
                assert not np.any(delta)
        if limits and event["plan"] != "none":
            assert np.all(setpoint + delta >= LOWER) and np.all(setpoint + delta <= UPPER)
        assert len(corrector._requests) <= REQUESTS_KEPT
        before = delta


@given(events=st.lists(EVENT, min_size=1, max_size=25))
def test_bounds_hold_and_it_fades(events: list[dict]) -> None:
    run(events, limits=False)


@given(events=st.lists(EVENT, min_size=1, max_size=25))
def test_bounds_hold_within_the_limits_of_the_joints(events: list[dict]) -> None:
    run(events, limits=True)


GOOD = {"seen": "all", "request": 1, "plan": "runs", "of": 1, "age": 5, "known": True, "repeat": 9, "late": 0}


def test_a_run_that_corrects_is_among_those_that_are_tried() -> None:
    """The properties would hold of a corrector that never does anything."""
    run([{**GOOD, "setpoint": 0}], limits=True)
    corrector = Corrector(FILE, largest_delta_rad=DELTA, largest_change_rad=CHANGE)
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    for tick in range(12):
        for camera in FILE.cameras:
            corrector.see(camera, frame + np.uint8(tick), tick * PERIOD_NS)
        corrector.requested(1, tick * PERIOD_NS)
        plan = BasePlan(np.zeros(JOINTS), np.zeros((9, JOINTS)), 1, 5, True)
        delta = corrector.tick(tick * PERIOD_NS, plan, np.ones(JOINTS)).delta
    assert np.abs(delta).max() == DELTA
