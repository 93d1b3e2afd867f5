# SPDX-License-Identifier: Apache-2.0
"""Normalisation statistics as LeRobot kept them before 0.5: among the weights, under names that lost their dots.

`normalize_inputs.buffer_observation_images_cam_high.mean` may be of `observation.images.cam_high` or of
`observation.images.cam.high`: only the features of config.json tell. Free of LeRobot and torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from so101_policy_server.errors import PolicyServerError

_BUFFER: Final = re.compile(
    r"^(?P<module>normalize_inputs|unnormalize_outputs|normalize_targets)\."
    r"(?:(?P<robot>.+)\.)?buffer_(?P<name>[^.]+)\.(?P<statistic>[^.]+)$"
)
_NORMALISER: Final = re.compile(r"^(?:normalize_inputs|unnormalize_outputs|normalize_targets)\.")
_COMPILED: Final = "_orig_mod."


class OldStatisticsError(PolicyServerError):
    """The statistics cannot be told apart or are not there. The message is one line."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """One statistic of one feature: the name of its weight, LeRobot's module, the feature's key and the statistic."""

    weight: str
    module: str
    feature: str
    statistic: str


def plain_name(weight: str) -> str:
    """The name of a weight without what torch.compile put into it."""
    return weight.replace(_COMPILED, "")


def is_normaliser(weight: str) -> bool:
    """Whether a weight belongs to the normalisation and not to the policy."""
    return _NORMALISER.match(plain_name(weight)) is not None


def find_buffers(weights: Iterable[str], features: Iterable[str], robot: str = "") -> list[Buffer]:
    """Which weight is which statistic of which feature.

    Args:
        weights: names of all weights.
        features: keys of the policy's features, as config.json has them.
        robot: whose statistics, where the policy was trained on those of several robots.

    Raises:
        OldStatisticsError: there are none, features cannot be told apart, or several robots' are there.
    """
    found = [(weight, match) for weight in weights if (match := _BUFFER.match(plain_name(weight)))]
    if not found:
        raise OldStatisticsError("its weights hold no statistics (normalize_inputs.buffer_...): nothing to migrate")
    features = sorted(features)
    by_name: dict[str, list[str]] = {}
    for feature in features:
        by_name.setdefault(feature.replace(".", "_"), []).append(feature)
    robots = sorted({match["robot"] or "" for _, match in found})
    if robot and robot not in robots:
        raise OldStatisticsError(
            f"no statistics of robot {robot}: there are those of {', '.join(filter(None, robots))}"
        )
    if not robot and len(robots) > 1:
        raise OldStatisticsError(
            f"statistics of several robots ({', '.join(name or 'no name' for name in robots)}): add --robot with "
            "that of your arm"
        )
    chosen = robot or robots[0]
    buffers = []
    for weight, match in found:
        if (match["robot"] or "") != chosen:
            continue
        meant = by_name.get(match["name"], [])
        if len(meant) > 1:
            raise OldStatisticsError(f"{weight} may be of {' or of '.join(meant)}: config.json has both")
        if meant:
            buffers.append(Buffer(weight, match["module"], meant[0], match["statistic"]))
    if not buffers:
        names = ", ".join(sorted({match["name"] for _, match in found}))
        raise OldStatisticsError(f"statistics of {names}: none is of a feature of config.json ({', '.join(features)})")
    return buffers


def by_feature(buffers: Iterable[Buffer]) -> Mapping[str, Mapping[str, str]]:
    """Feature -> statistic -> name of a weight. Of the action's two copies the one that gave commands counts."""
    chosen: dict[str, dict[str, str]] = {}
    for buffer in sorted(buffers, key=lambda one: one.module == "unnormalize_outputs"):
        chosen.setdefault(buffer.feature, {})[buffer.statistic] = buffer.weight
    return chosen
