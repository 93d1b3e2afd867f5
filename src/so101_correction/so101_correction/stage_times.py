# SPDX-License-Identifier: Apache-2.0
"""Times of each stage of a correction, and what scaled decoding changes in the thumbnails.

A round is one control tick as in the queue: a new JPEG frame of each camera is decoded, then the corrector runs.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from so101_node.metrics.quantile import quantile

from so101_correction.core.correction_file import CorrectionFile, read
from so101_correction.core.corrector import BasePlan, Corrector
from so101_correction.core.features import feature_count
from so101_correction.core.network import Thumbnail, prepare
from so101_correction.thumbnails import ThumbnailMaker, whole_thumbnail

WARM_UP_ROUNDS: Final = 30
WHOLE: Final = "whole correction"
_DECODE, _TICK = "decode scaled, and see", "tick"
_ROWS_AHEAD, _REQUEST_AGE = 40, 10


@dataclass(frozen=True)
class CorrectionTimes:
    """Of one run: times of each round by stage, mean bytes of a frame, grey levels between the two ways to decode.

    Attributes:
        stages: (wall clock, processor time) of each round, ms. On a machine that does something else besides, the first
            counts that too.
    """

    cameras: int
    fps: float
    frame_bytes: float
    stages: dict[str, list[tuple[float, float]]]
    level_mean: float
    level_p99: float


def measured(file: Path, frames: Sequence[bytes], rounds: int) -> CorrectionTimes:
    """Run a correction on JPEG frames, each camera's in turn.

    Raises:
        CorrectionError: a file or a frame that cannot be used.
    """
    cv2.setNumThreads(1)
    correction = read(file)
    scaled = [_maker(correction).of_compressed(frame) for frame in frames]
    whole = [whole_thumbnail(frame, correction.height, correction.width) for frame in frames]
    levels = np.abs(np.array(scaled, np.int16) - np.array(whole, np.int16))
    return CorrectionTimes(
        cameras=len(correction.cameras),
        fps=correction.fps,
        frame_bytes=sum(map(len, frames)) / len(frames),
        stages=_stages(correction, frames, scaled, rounds),
        level_mean=float(levels.mean()),
        level_p99=float(np.percentile(levels, 99)),
    )


def table(times: CorrectionTimes) -> str:
    """The same as text."""
    lines = [f"{times.cameras} cameras, JPEG frames of {times.frame_bytes / 1e3:.0f} kB; one core, one thread"]
    columns = "".join(f"{name:>8}" for name in ("p50", "p95", "p99"))
    lines += [f"{'ms of wall clock, of processor':32}{columns}  {columns}"]
    for stage, values in times.stages.items():
        kinds = [sorted(kind) for kind in zip(*values, strict=True)]
        cells = ["".join(f"{quantile(kind, ratio):8.2f}" for ratio in (0.50, 0.95, 0.99)) for kind in kinds]
        lines.append(f"{stage:32}{cells[0]}  {cells[1]}")
    busy = times.fps * sum(cpu for _, cpu in times.stages[WHOLE]) / len(times.stages[WHOLE]) / 1e3
    lines.append(f"at {times.fps:g} Hz {busy:.3f} of a core")
    lines.append(
        f"scaled decoding changes a thumbnail by {times.level_mean:.2f} of 255 levels, p99 {times.level_p99:.0f}"
    )
    return "\n".join(lines) + "\n"


def drawn_frames(count: int = 40, height: int = 480, width: int = 640) -> list[bytes]:
    """JPEG frames with a table, moving things and sensor noise, 50 kB each: no easier than those of a camera."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    table_top = np.stack([110 + 0.1 * down, 120 + 0.05 * across, 140 + 0.1 * (down - across)], axis=-1)
    table_top += cv2.GaussianBlur(rng.normal(0, 60, table_top.shape).astype(np.float32), (0, 0), 3)
    frames = []
    for number in range(count):
        scene = table_top.copy()
        for thing in range(12):
            at = (int(width * (thing + 0.5) / 12) + number, int(height * (0.2 + 0.06 * ((thing * 5) % 11))))
            cv2.circle(scene, at, 12 + 4 * thing, tuple(float(60 * ((thing >> k) % 4)) for k in range(3)), -1)
        scene += rng.normal(0, 3, scene.shape)
        frames.append(cv2.imencode(".jpg", np.clip(scene, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
    return [bytes(frame) for frame in frames]


def _maker(correction: CorrectionFile) -> ThumbnailMaker:
    return ThumbnailMaker(correction.height, correction.width)


def _stages(
    correction: CorrectionFile, frames: Sequence[bytes], thumbnails: Sequence[Thumbnail], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Times of each round by stage, ms."""
    joints = len(correction.joint_names)
    rng = np.random.default_rng(0)
    makers = {camera: _maker(correction) for camera in correction.cameras}
    corrector, network = Corrector(correction), correction.network()
    told = rng.normal(size=feature_count(joints)).astype(np.float32)
    stages: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        yield
        taken_cpu, taken = time.thread_time() - begin_cpu, time.perf_counter() - begin
        stages.setdefault(stage, []).append((1e3 * taken, 1e3 * taken_cpu))

    for number in range(WARM_UP_ROUNDS + rounds):
        if number == WARM_UP_ROUNDS:
            stages.clear()
        now_ns, frame = round(number * 1e9 / correction.fps), frames[number % len(frames)]
        now, then = thumbnails[number % len(frames)], thumbnails[(number + 7) % len(frames)]
        plan = BasePlan(rng.normal(size=joints), rng.normal(size=(_ROWS_AHEAD, joints)), 1, _REQUEST_AGE, True)
        prepared = network.empty_images(correction.height, correction.width)
        earlier = thumbnails[(number + 3) % len(frames)] if network.sees_earlier else None
        with timed(_DECODE):
            for camera, maker in makers.items():
                corrector.see(camera, maker.of_compressed(frame), now_ns)
        if number == 0:
            corrector.requested(plan.request_id, now_ns)
        with timed(_TICK):
            corrector.tick(now_ns, plan, plan.setpoint)
        decoding, ticking = stages[_DECODE][-1], stages[_TICK][-1]
        stages.setdefault(WHOLE, []).append((decoding[0] + ticking[0], decoding[1] + ticking[1]))
        with timed("of the tick: prepare frames"):
            for place in range(len(makers)):
                prepared[place] = prepare(now, then, earlier)
        with timed("of the tick: network"):
            network.residual(prepared, told)
        with timed("instead of it: decode whole"):
            for _ in makers:
                whole_thumbnail(frame, correction.height, correction.width)
    return stages
