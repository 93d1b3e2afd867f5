# SPDX-License-Identifier: Apache-2.0
"""The frames of one episode: at each moment of the grid the newest of everything, and the action that followed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_bag.dataset.alignment import TimeArray, grid, newest_before, next_after
from so101_bag.dataset.bag_streams import BagStreams, images_begin_ns, stored_images
from so101_bag.dataset.camera_topics import StoredImage, UnusableImageError
from so101_bag.dataset.episode_spans import UNMARKED, EpisodeSpan
from so101_bag.errors import BagError

PAUSE_S = 60.0  # without a joint state, where it can hardly be the driver alone
LOOK_BACK_NS = 1_000_000_000  # images from before the first moment that may still be the newest then


class UnusableEpisodeError(BagError):
    """The episode is left out. The message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class DatasetFrame:
    """One frame: state and action (J,) float32 in LeRobot's units, images (height, width, 3) uint8 RGB by camera."""

    state: NDArray[np.float32]
    action: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]


def moments(streams: BagStreams, span: EpisodeSpan, fps: float, max_gap_s: float) -> TimeArray:
    """Return the times of the episode's frames, ns.

    Raises:
        UnusableEpisodeError: the arm was not commanded, or not measured, for longer than `max_gap_s` in its middle.
    """
    _check_measured(streams, span, max_gap_s)
    times = grid(span.start_ns, span.end_ns, fps, streams.commands.times)
    if not len(times):
        raise UnusableEpisodeError("no commands")
    # Nobody waited for all of them where nobody marked the begin: it is when the last one had come.
    begin_ns = images_begin_ns(streams) if span.outcome == UNMARKED else 0
    times = times[(newest_before(streams.states.times, times) >= 0) & (times >= begin_ns)]
    if not len(times):
        raise UnusableEpisodeError("no joint_states or images before its last command")
    return times


def _check_measured(streams: BagStreams, span: EpisodeSpan, max_gap_s: float) -> None:
    """Joint positions measured long ago would be learnt as the present ones."""
    commands, states = streams.commands.times, streams.states.times
    commanded = commands[(commands >= span.start_ns) & (commands <= span.end_ns)]
    if not len(commanded):
        return
    first = max(0, int(np.searchsorted(states, commanded[0], side="right")) - 1)
    inside = states[first : int(np.searchsorted(states, commanded[-1], side="right"))]
    gaps = np.diff(np.concatenate([inside, commanded[-1:]])) / 1e9
    if not len(gaps) or gaps.max() <= max_gap_s:
        return
    text = f"no joint_states for {gaps.max():.{0 if gaps.max() > PAUSE_S else 1}f} s"
    if gaps.max() > PAUSE_S:
        text += " (a pause, or the recorder's clock was set on the way)"
    raise UnusableEpisodeError(f"{text}, more than --max-gap {max_gap_s:g}")


def frames(streams: BagStreams, times: TimeArray, max_gap_s: float) -> Iterator[DatasetFrame]:
    """Give the frame of each moment.

    Raises:
        UnusableEpisodeError: a camera has nothing newer than `max_gap_s` at one of them, or a broken image.
    """
    states = streams.converter.to_policy(streams.states.rows[newest_before(streams.states.times, times)])
    actions = streams.converter.to_policy(streams.commands.rows[next_after(streams.commands.times, times)])
    newest: dict[str, StoredImage] = {}
    source = stored_images(streams, int(times[0]) - LOOK_BACK_NS)
    following = next(source, None)
    for moment, state, action in zip(times, states, actions, strict=True):
        while following is not None and following[1].taken_ns <= moment:
            newest[following[0]] = following[1]
            following = next(source, None)
        for camera in streams.cameras:
            image = newest.get(camera)
            age_s = np.inf if image is None else (int(moment) - image.taken_ns) / 1e9
            if age_s > max_gap_s:
                raise UnusableEpisodeError(f"no image of camera {camera} for more than {max_gap_s:g} s")
        images = {camera: _pixels(newest[camera], camera) for camera in streams.cameras}
        yield DatasetFrame(state.astype(np.float32), action.astype(np.float32), images)


def _pixels(image: StoredImage, camera: str) -> NDArray[np.uint8]:
    try:
        return image.pixels()
    except UnusableImageError as error:
        raise UnusableEpisodeError(f"an image of camera {camera}: {error}") from error
