# SPDX-License-Identifier: Apache-2.0
"""What stops a correction, how it fades, and whose frames it compares."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from correction_world import JOINTS, PERIOD_NS, SIDE, CorrectionWorld, small_file
from so101_correction.core.causes import CorrectionCause
from so101_correction.core.corrector import REQUESTS_KEPT, BasePlan, Corrector
from so101_correction.core.seen_frame import FRAMES_KEPT
from so101_correction.errors import CorrectionInputError


def test_the_delta_moves_by_at_most_the_bound_to_what_the_network_wants() -> None:
    world = CorrectionWorld()
    deltas = np.array([world.tick().delta for _ in range(12)])
    steps = np.abs(np.diff(deltas, axis=0, prepend=np.zeros((1, JOINTS))))
    assert steps.max() == pytest.approx(0.06)
    assert np.abs(deltas).max() == pytest.approx(0.5)


STOPS: dict[str, Callable[[CorrectionWorld], object]] = {
    "NO_PLAN": lambda world: world.tick(no_plan=True),
    "NOT_EXECUTING": lambda world: world.tick(executes=False),
    "PLAN_TOO_OLD": lambda world: world.tick(age_steps=55),
    "JOINTS_UNKNOWN": lambda world: world.tick(joints=[0, 0, np.nan, 0, 0, 0]),
    "REQUEST_FRAME_MISSING": lambda world: world.tick(request_id=99),
    "FRAME_UNUSABLE": lambda world: (world.see(), world.corrector.lost("top", "size changed"), world.tick(seen=False))[
        2
    ],
}


@pytest.mark.parametrize("cause", STOPS)
def test_a_reason_to_stop_is_named_and_the_delta_is_zero_within_100_ms(cause: str) -> None:
    world = CorrectionWorld()
    before, begin_ns = world.warm().delta, world.now_ns
    deltas = []
    while world.now_ns - begin_ns < 100_000_000 - PERIOD_NS // 2:
        correction = STOPS[cause](world)
        assert correction.cause_name == cause and correction.cause and "\n" not in correction.cause
        assert len(correction.cause) <= 256
        deltas.append(correction.delta)
    np.testing.assert_allclose(deltas, [before * 2 / 3, before / 3, before * 0], atol=1e-9)


@pytest.mark.parametrize("cause", STOPS)
def test_where_it_can_go_on_it_begins_from_where_it_faded_to_without_a_jump(cause: str) -> None:
    world = CorrectionWorld()
    world.warm()
    faded = STOPS[cause](world).delta
    again = world.tick()
    assert again.cause_name is CorrectionCause.NONE
    assert np.abs(again.delta - faded).max() <= 0.06 + 1e-12
    assert np.abs(again.delta).max() > np.abs(faded).max()


@pytest.mark.parametrize("fps", [5.0, 10.0, 15.0, 30.0, 50.0, 100.0])
def test_at_any_rate_it_is_zero_within_100_ms(fps: float) -> None:
    world = CorrectionWorld(small_file(gain=50.0, fps=fps))
    world.warm()
    count = 0
    while np.any(world.tick(no_plan=True).delta):
        count += 1
    assert (count + 1) / fps <= 0.1 + 1e-9 or count == 0


def test_missed_ticks_do_not_lengthen_the_fade() -> None:
    world = CorrectionWorld()
    world.warm()
    assert np.any(world.tick(no_plan=True).delta)
    world.now_ns += 70_000_000
    assert not np.any(world.tick(no_plan=True).delta)


def test_one_reason_after_another_is_one_fade() -> None:
    world = CorrectionWorld()
    before = world.warm().delta
    deltas = [world.tick(no_plan=True).delta, world.tick(executes=False).delta, world.tick(age_steps=99).delta]
    np.testing.assert_allclose(deltas, [before * 2 / 3, before / 3, before * 0], atol=1e-9)


@pytest.mark.parametrize("camera", ["top", "wrist"])
def test_a_camera_that_stops_is_named_after_its_timeout(camera: str) -> None:
    world = CorrectionWorld()
    world.warm()
    causes = []
    for _ in range(10):
        world.now_ns += PERIOD_NS
        world.see(camera)
        causes.append(world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS)))
    silent = [correction.cause_name == "FRAME_OLD" for correction in causes]
    assert silent == [False] * 6 + [True] * 4  # 6 ticks are 0.2 s
    assert causes[6].cause == f"camera {camera}: newest frame 0.23 s old, limit 0.2 s"
    assert not np.any(causes[8].delta)
    assert world.tick().cause_name is CorrectionCause.NONE


@pytest.mark.parametrize("camera", ["top", "wrist"])
def test_a_frozen_camera_is_named_and_a_new_frame_ends_that(camera: str) -> None:
    world = CorrectionWorld()
    world.warm()
    frozen, found = world.frame(), []
    for _ in range(12):
        world.now_ns += PERIOD_NS
        world.see(camera)
        world.corrector.see(camera, frozen.copy(), world.now_ns)
        found.append(world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS)))
    names = [correction.cause_name for correction in found]
    assert names == [""] * 8 + ["FRAME_FROZEN"] * 4  # the first and 7 equal ones: 0.23 s
    assert found[8].cause == f"camera {camera}: the same frame for 0.27 s"
    assert not np.any(found[-1].delta)
    assert world.tick().cause_name is CorrectionCause.NONE


def test_rendered_frames_of_a_still_scene_may_be_equal_where_that_is_said() -> None:
    world = CorrectionWorld(frozen_s=0.0)
    still = world.frame()
    for _ in range(20):
        world.now_ns += PERIOD_NS
        for camera in world.file.cameras:
            world.corrector.see(camera, still, world.now_ns)
        assert world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS)).cause == ""


def test_a_camera_without_any_frame_is_named() -> None:
    corrector = Corrector(small_file())
    world = CorrectionWorld()
    corrector.see("top", world.frame(), 0)
    correction = corrector.tick(0, world.plan, np.zeros(JOINTS))
    assert (correction.cause_name, correction.cause) == ("FRAME_MISSING", "camera wrist: no frame yet")
    np.testing.assert_array_equal(correction.delta, np.zeros(JOINTS))


def test_a_frame_that_cannot_be_used_stops_until_the_next_good_one() -> None:
    world = CorrectionWorld()
    world.warm()
    world.now_ns += PERIOD_NS
    world.see()
    world.corrector.lost("wrist", "frame of about 320 x 240: its size changed")
    stopped = world.tick(seen=False)
    assert stopped.cause == "camera wrist: frame of about 320 x 240: its size changed"
    assert stopped.cause_name is CorrectionCause.FRAME_UNUSABLE
    assert world.tick().cause_name is CorrectionCause.NONE


@pytest.mark.parametrize(
    ("camera", "thumbnail", "message"),
    [
        ("side", np.zeros((SIDE, SIDE, 3), np.uint8), "camera side: the correction reads top, wrist"),
        ("top", np.zeros((SIDE, SIDE + 1, 3), np.uint8), "thumbnail of top: expected shape 8 x 8 x 3, got 8 x 9 x 3"),
        ("top", np.zeros((SIDE, SIDE, 3)), "thumbnail of top: expected uint8, got float64"),
    ],
)
def test_a_foreign_camera_or_size_is_refused_by_name(camera: str, thumbnail: np.ndarray, message: str) -> None:
    world = CorrectionWorld()
    with pytest.raises(CorrectionInputError, match=message):
        world.corrector.see(camera, thumbnail, world.now_ns)
    assert world.tick().cause_name is CorrectionCause.NONE


class Recording:
    """Stands for the rule, and keeps the brightness of the frames that it is asked with."""

    def __init__(self, rule: object) -> None:
        self.rule, self.now, self.then = rule, [], []

    def wanted(self, *arguments: object) -> np.ndarray:
        self.now.append({camera: int(image[0, 0, 0]) for camera, image in arguments[4].items()})
        self.then.append({camera: int(image[0, 0, 0]) for camera, image in arguments[5].items()})
        return self.rule.wanted(*arguments)

    def __getattr__(self, name: str) -> object:
        return getattr(self.rule, name)


def level(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def test_chunks_that_come_in_any_order_are_compared_with_the_frames_of_their_own_request() -> None:
    corrector = Corrector(small_file())
    recording = corrector._rule = Recording(corrector._rule)
    world = CorrectionWorld()
    for number in range(1, 9):
        for place, camera in enumerate(("top", "wrist")):
            corrector.see(camera, level(10 * number + place), number * PERIOD_NS)
        corrector.requested(number, number * PERIOD_NS)
    for number in (3, 1, 8, 5):
        plan = BasePlan(world.plan.setpoint, world.plan.rows_ahead, number, 5, True)
        assert corrector.tick(9 * PERIOD_NS, plan, np.zeros(JOINTS)).cause == ""
    assert recording.then == [{"top": 10 * n, "wrist": 10 * n + 1} for n in (3, 1, 8, 5)]
    assert recording.now == [{"top": 80, "wrist": 81}] * 4


def test_of_many_requests_the_newest_are_kept_and_that_of_the_plan() -> None:
    world = CorrectionWorld()
    assert world.tick(request_id=1).cause_name is CorrectionCause.NONE
    for number in range(2, 500):
        world.see()
        world.corrector.requested(number, world.now_ns)
    assert len(world.corrector._requests) == REQUESTS_KEPT
    assert world.tick(request_id=1).cause_name is CorrectionCause.NONE
    assert world.tick(request_id=499).cause_name is CorrectionCause.NONE
    assert world.tick(request_id=499 - REQUESTS_KEPT + 2).cause_name is CorrectionCause.NONE
    assert world.tick(request_id=400).cause_name is CorrectionCause.REQUEST_FRAME_MISSING


def test_frames_that_could_not_be_used_when_a_request_was_sent_are_not_those_of_the_request() -> None:
    world = CorrectionWorld()
    world.corrector.requested(2, world.now_ns + 300_000_000)  # no frame for 0.3 s
    stopped = world.tick(request_id=2)
    assert stopped.cause == "no usable frames of when request 2 was sent"
    world.corrector.requested(3, world.now_ns)
    assert world.tick(request_id=3).cause_name is CorrectionCause.NONE


def test_a_request_out_of_a_still_scene_has_its_frames() -> None:
    world = CorrectionWorld()
    still = [world.frame() for _ in world.file.cameras]
    for _ in range(12):
        world.now_ns += PERIOD_NS
        for camera, frame in zip(world.file.cameras, still, strict=True):
            world.corrector.see(camera, frame, world.now_ns)
    assert world.tick(seen=False).cause_name is CorrectionCause.FRAME_FROZEN
    world.corrector.requested(2, world.now_ns)
    assert world.tick(request_id=2).cause_name is CorrectionCause.NONE


def test_a_session_begins_without_requests_or_delta_but_with_the_newest_frames() -> None:
    world = CorrectionWorld()
    world.warm()
    world.corrector.begin()
    assert world.tick().cause_name is CorrectionCause.REQUEST_FRAME_MISSING
    world.corrector.begin()
    world.corrector.requested(1, world.now_ns)
    first = world.tick(seen=False)
    assert first.cause_name is CorrectionCause.NONE
    assert np.abs(first.delta).max() <= 0.06


def test_a_clock_that_begins_again_makes_no_frame_new_or_frozen() -> None:
    world = CorrectionWorld()
    world.now_ns = 0
    world.corrector.begin()
    assert world.tick(seen=False).cause_name is CorrectionCause.FRAME_OLD
    world.see()
    world.corrector.requested(1, world.now_ns)
    assert world.tick().cause_name is CorrectionCause.NONE


def test_a_setpoint_near_a_limit_is_corrected_up_to_it() -> None:
    world = CorrectionWorld()
    wanted = world.warm().delta
    world.corrector.set_limits(world.plan.setpoint - 0.02, world.plan.setpoint + 0.03)
    delta = world.tick().delta
    np.testing.assert_allclose(delta, np.where(wanted > 0, 0.03, -0.02), atol=1e-12)
    assert np.all(world.plan.setpoint + delta <= world.plan.setpoint + 0.03)


def test_a_result_that_is_not_finite_stops() -> None:
    file = small_file((), gain=1.0)
    file.weights["mlp.0.weight"][:] = 3e38
    world = CorrectionWorld(file)
    with np.errstate(over="ignore", invalid="ignore"):
        stopped = world.tick(joints=np.ones(JOINTS))
    assert stopped.cause_name is CorrectionCause.RESULT_NOT_FINITE
    np.testing.assert_array_equal(stopped.delta, np.zeros(JOINTS))


def test_a_plan_that_is_not_finite_adds_nothing_to_itself() -> None:
    world = CorrectionWorld(limits=(np.full(JOINTS, -9.0), np.full(JOINTS, 9.0)))
    world.warm()
    for _ in range(3):
        stopped = world.tick(setpoint=np.full(JOINTS, np.nan))
        assert stopped.cause_name is CorrectionCause.RESULT_NOT_FINITE
    np.testing.assert_array_equal(stopped.delta, np.zeros(JOINTS))


def test_a_blind_correction_needs_neither_frames_nor_requests() -> None:
    corrector, world = Corrector(small_file(())), CorrectionWorld()
    correction = corrector.tick(0, world.plan, np.zeros(JOINTS))
    assert correction.cause == "" and np.any(correction.delta)


def test_frames_may_come_from_another_thread() -> None:
    world, ended = CorrectionWorld(), threading.Event()
    frames = [world.frame() for _ in range(50)]

    def decode() -> None:
        while not ended.is_set():
            for frame in frames:
                world.corrector.see("top", frame, world.now_ns)
                world.corrector.lost("wrist", "damaged")
                world.corrector.see("wrist", frame, world.now_ns)

    thread = threading.Thread(target=decode)
    thread.start()
    try:
        for number in range(2, 300):
            world.corrector.requested(number, world.now_ns)
            assert np.all(np.isfinite(world.tick(seen=False, request_id=number).delta))
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"largest_change_rad": -1.0}, "largest_change_rad: expected above 0"),
        ({"largest_delta_rad": 10.0}, "largest_delta_rad: expected above 0"),
        ({"frame_timeout_s": 0.0}, "frame_timeout_s: expected above 0 and below 60, got 0.0"),
        ({"frozen_s": np.nan}, "frozen_s: expected 0 or more and below 60, got nan"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(CorrectionInputError, match=message):
        Corrector(small_file(), **options)


def test_a_tick_of_other_joints_is_refused() -> None:
    world = CorrectionWorld()
    with pytest.raises(CorrectionInputError, match="joint_positions: expected shape 6, got 5"):
        world.tick(joints=np.zeros(5))
    with pytest.raises(CorrectionInputError, match="setpoint: expected shape 6, got 5"):
        world.tick(setpoint=np.zeros(5), rows_ahead=np.zeros((3, 5)))
    with pytest.raises(CorrectionInputError, match="rows_ahead: expected shape rows x 6"):
        world.tick(rows_ahead=np.zeros((3, 5)))
    with pytest.raises(CorrectionInputError, match="age_steps: expected 0 or more, got -1"):
        world.tick(age_steps=-1)


def told_of_earlier(world: CorrectionWorld, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The earlier frames that the network is given, tick by tick."""
    given: list[dict[str, np.ndarray]] = []
    rule = world.corrector._rule
    wanted = rule.wanted

    def listen(*arguments: object) -> np.ndarray:
        given.append(arguments[6])  # type: ignore[arg-type]
        return wanted(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rule, "wanted", listen)
    return given


def number(frame: np.ndarray) -> int:
    return int(frame[0, 0, 0])


def numbered(count: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), count, np.uint8)


def test_the_earlier_frame_is_the_one_of_so_many_steps_before_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    world = CorrectionWorld(small_file(earlier_steps=3))
    given = told_of_earlier(world, monkeypatch)
    for count in range(1, 9):
        world.now_ns += PERIOD_NS
        world.corrector.see("wrist", numbered(count), world.now_ns)
        if count != 5:  # one frame of the top camera is lost
            world.corrector.see("top", numbered(100 + count), world.now_ns)
        world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS))
    # Until one of about 3 steps ago is there the newest stands for it; for a lost one its neighbour does.
    assert [number(frames["wrist"]) for frames in given][3:] == [1, 2, 3, 4, 5]
    assert [number(frames["top"]) for frames in given][4:] == [101, 103, 104, 104]


@pytest.mark.parametrize("silence", [5, 30])
def test_without_a_frame_of_about_then_the_newest_stands_for_it(silence: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = CorrectionWorld(small_file(earlier_steps=3))
    for _ in range(5):
        world.tick()
    world.now_ns += silence * PERIOD_NS
    given = told_of_earlier(world, monkeypatch)
    for count in (1, 2, 3, 4):
        world.now_ns += PERIOD_NS
        for camera in ("top", "wrist"):
            world.corrector.see(camera, numbered(count), world.now_ns)
        assert world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS)).cause == ""
    assert [number(frames["top"]) for frames in given] == [1, 2, 1, 1]  # 2 steps ago is near enough to 3


def test_a_clock_that_begins_again_leaves_no_earlier_frame_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    world = CorrectionWorld(small_file(earlier_steps=3))
    for _ in range(5):
        world.tick()
    world.now_ns = 500_000_000
    given = told_of_earlier(world, monkeypatch)
    for camera in ("top", "wrist"):
        world.corrector.see(camera, numbered(7), world.now_ns)
    world.corrector.tick(world.now_ns, world.plan, np.zeros(JOINTS))
    assert number(given[-1]["top"]) == 7


def test_what_is_kept_of_a_camera_is_bounded_at_any_rate() -> None:
    world = CorrectionWorld(small_file(earlier_steps=100))
    for count in range(3 * FRAMES_KEPT):
        world.corrector.see("top", numbered(count % 256), world.now_ns + count)
    assert len(world.corrector._seen["top"].before) == FRAMES_KEPT
