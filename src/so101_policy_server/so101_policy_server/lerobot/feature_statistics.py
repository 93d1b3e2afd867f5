# SPDX-License-Identifier: Apache-2.0
"""Has each feature that a policy normalises the statistics for it? Free of LeRobot.

LeRobot passes a feature on as it is where its statistics are missing, without a word: a policy's z-scores would go out
as degrees, and joint positions would go in as thousands of deviations. One module because each check reads the same
few statistics of a feature, and a person who adds one has to see the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from so101_policy_server.core.preflight import Finding, green, implausible, red, yellow

Array = npt.NDArray[np.float64]
Statistics = Mapping[str, Mapping[str, Array]]
"""Feature key -> name of the statistic (mean, std, min, max, q01, ...) -> values."""

IDENTITY: Final = "IDENTITY"
NEEDED: Final[Mapping[str, tuple[str, str]]] = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}
"""Which two statistics each norm mode computes with."""

NO_SPREAD: Final = 1e-6
"""A standard deviation or range below this is none: LeRobot divides by it plus 1e-8."""

STILL_RANGE: Final = 0.1
"""Degrees or percent, about one encoder step: a joint whose lowest and highest value lie no further apart stood still.

Divided by so little, any other pose is an input of a hundred deviations and more: with a joint 0.1 rad off the mean the
commands of an ACT policy change by 40 degrees, as much at this spread as at a hundredth of it.
"""

STILL_STD: Final = STILL_RANGE / 2
"""The largest standard deviation within such a range."""

_STILL_REMEDY: Final = "train with data in which it moves, or without it in the state"

LITTLE_SPREAD: Final = 0.1
"""Degrees or percent: a joint that moved less than this in training makes an enormous input of any other pose."""

IMAGE_BOUND: Final = 2.0
"""Statistics of pictures above this are not of values 0..1."""

CONTRADICTION: Final = 0.05
"""Ratio of a range by which a mean may lie outside of it, or a deviation exceed half of it: those of several datasets
are put together from rounded ones."""

KEYS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class NormalisedFeature:
    """One feature as one step of a processor normalises it.

    Attributes:
        key: LeRobot's key, such as `action`.
        kind: LeRobot's FeatureType: STATE, ACTION, VISUAL, ...
        mode: LeRobot's NormalizationMode.
        shape: shape of the feature.
        place: which processor it is in: `preprocessor` or `postprocessor`.
        statistics: what the step has for it, or None.
        masked: per value, whether it is normalised; empty = all are.
    """

    key: str
    kind: str
    mode: str
    shape: tuple[int, ...]
    place: str
    statistics: Mapping[str, Array] | None
    masked: tuple[bool, ...] = field(default=())


def candidates(feature: str, keys: Iterable[str]) -> list[str]:
    """Keys of statistics that may be meant for a feature, such as `so100.buffer.action` for `action`."""

    def plain(text: str) -> str:
        return text.lower().replace("_", ".").replace("/", ".")

    return sorted(key for key in keys if key != feature and plain(feature) in plain(key))


def pattern_of(feature: str, key: str) -> str:
    """What a person writes for that: `so100.buffer.*` where the feature's name is a part of the key as it is."""
    before, found, after = key.partition(feature)
    is_part = bool(found) and before[-1:] in ("", ".", "/", "_") and after[:1] in ("", ".", "/", "_")
    return f"{before}*{after}" if is_part else f"{feature}={key}"


def select(patterns: Sequence[str], features: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """Which key of statistics each feature takes by `statistics_from`: feature -> key. The first that fits wins.

    A pattern is `so100.buffer.*`, with the feature's name for the *, or `action=so100.buffer.action`.
    """
    there = set(keys)
    chosen: dict[str, str] = {}
    for feature in features:
        for pattern in patterns:
            named, equals, key = pattern.partition("=")
            if equals:
                key = key.strip() if named.strip() == feature else ""
            else:
                key = pattern.replace("*", feature) if "*" in pattern else ""
            if key in there:
                chosen[feature] = key
                break
    return chosen


def name_nothing(patterns: Sequence[str], keys: Iterable[str]) -> Finding:
    """Patterns of `statistics_from` that name no statistics: without a word, others would be used in their place."""
    text = f"{', '.join(patterns)} names no statistics of a feature of this policy; there are {_shown(sorted(keys))}"
    return red("statistics_from", text, "correct it, or leave it out for the checkpoint's own statistics")


def check_statistics(
    features: Sequence[NormalisedFeature], keys: Iterable[str], patterns: Sequence[str] = ()
) -> list[Finding]:
    """Look at the statistics of every feature that has a norm mode.

    Args:
        features: each feature of each normalising step, with the statistics that the step has for it by now.
        keys: all keys of statistics in the checkpoint.
        patterns: `statistics_from`, for the words.
    """
    normalised = [feature for feature in features if feature.mode != IDENTITY]
    missing = [feature for feature in normalised if not feature.statistics]
    findings = []
    if missing:
        findings.append(_missing(missing, sorted(set(keys)), patterns))
    for feature in normalised:
        if feature.statistics:
            findings += _check_values(feature, feature.statistics)
    findings += _check_once_each(normalised)
    findings += _check_agreement(normalised)
    if not normalised:
        findings.append(yellow("statistics", "no feature has a norm mode: what the policy gives is what is commanded"))
    elif not findings:
        modes = {feature.key: feature.mode for feature in normalised}
        listed = ", ".join(f"{key} ({mode})" for key, mode in sorted(modes.items()))
        findings.append(green("statistics", f"there for {listed}"))
    return _once(findings)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))


def _missing(missing: Sequence[NormalisedFeature], keys: Sequence[str], patterns: Sequence[str]) -> Finding:
    places: dict[str, list[str]] = {}
    for feature in missing:
        places.setdefault(f"{feature.key} ({feature.mode})", []).append(feature.place)
    named = ", ".join(f"{name} in the {' and '.join(sorted(set(where)))}" for name, where in sorted(places.items()))
    asked = f"; statistics_from {', '.join(patterns)} names none of them" if patterns else ""
    text = f"no statistics for {named}; there are {_shown(keys)}{asked}"
    return red("statistics", text, _remedy(sorted({feature.key for feature in missing}), keys))


def _shown(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
    return f"statistics of {', '.join(keys[:KEYS_SHOWN])}{more}" if keys else "no statistics at all"


def _remedy(missing: Sequence[str], keys: Sequence[str]) -> str:
    found = {feature: {pattern_of(feature, key) for key in candidates(feature, keys)} for feature in missing}
    shared = set.intersection(*found.values())
    if shared:
        choices = [f'["{pattern}"]' for pattern in sorted(shared)]
    elif all(found.values()):
        choices = ["[" + ", ".join(f'"{pattern}"' for one in missing for pattern in sorted(found[one])) + "]"]
    else:
        return (
            'name the statistics of the dataset that trained it: statistics_from: ["/path/to/dataset/meta/stats.json"]'
        )
    which = ", whichever is of the arm that trained it" if len(choices) > 1 else ""
    return f"statistics_from: {' or '.join(choices)}{which}"


def _check_values(feature: NormalisedFeature, statistics: Mapping[str, Array]) -> list[Finding]:
    key = f"statistics.{feature.key}"
    if feature.mode not in NEEDED:
        known = ", ".join(NEEDED)
        return [red(key, f"norm mode {feature.mode} is not known here, only {known}", "train with one of these")]
    low_name, high_name = NEEDED[feature.mode]
    lacking = [name for name in (low_name, high_name) if name not in statistics]
    if lacking:
        have = ", ".join(sorted(statistics))
        text = (
            f"{feature.mode} needs {low_name} and {high_name}: {' and '.join(lacking)} missing in the {feature.place}"
        )
        return [red(key, f"{text}, which has {have}", 'statistics_from: ["/path/to/dataset/meta/stats.json"]')]
    low, high = statistics[low_name], statistics[high_name]
    for name, values in ((low_name, low), (high_name, high)):
        if not _fits(values.shape, feature.shape):
            text = f"{name} has shape {_shape(values.shape)}, the feature {_shape(feature.shape)}"
            return [red(key, text, "the processors are of another policy: take those of this checkpoint")]
        if not np.isfinite(values).all():
            text = f"{name} has values that are not finite ({_numbers(values)}): the statistics were never filled"
            return [red(key, text, 'statistics_from: ["/path/to/dataset/meta/stats.json"]')]
    if feature.kind == "VISUAL" and max(abs(low).max(), abs(high).max()) > IMAGE_BOUND:
        text = f"{low_name} {_numbers(low)} and {high_name} {_numbers(high)} are of pictures 0..255"
        return [implausible(key, f"{text}, LeRobot's are 0..1", "divide them by 255, or take the dataset's own")]
    if feature.mode == "MEAN_STD":
        if (high < 0).any():
            return [red(key, f"std is below 0 ({_numbers(high)})", "the file is damaged: copy it again")]
        return _check_contradictions(feature, statistics) or _check_spread(feature, high, "std", statistics)
    if (high < low).any():
        text = f"{high_name} is below {low_name} ({_numbers(high)} and {_numbers(low)})"
        return [red(key, text, "the file is damaged: copy it again")]
    return _check_contradictions(feature, statistics) or _check_spread(
        feature, high - low, f"{high_name} - {low_name}", statistics
    )


def _check_contradictions(feature: NormalisedFeature, statistics: Mapping[str, Array]) -> list[Finding]:
    """Statistics of one feature that cannot be of the same data: swapped, mixed, or of columns in another order."""
    if feature.kind == "VISUAL" or not {"mean", "std", "min", "max"} <= statistics.keys():
        return []  # the mean and std of pictures may be ImageNet's
    mean, std, low, high = (np.ravel(statistics[name]) for name in ("mean", "std", "min", "max"))
    if not mean.shape == std.shape == low.shape == high.shape or not np.isfinite([mean, std, low, high]).all():
        return []
    span = high - low
    slack = CONTRADICTION * np.abs(span) + NO_SPREAD
    outside = (span > NO_SPREAD) & ((mean < low - slack) | (mean > high + slack))
    wide = (span > NO_SPREAD) & (std > span / 2 + slack)  # no data within a range deviates by more than half of it
    for odd, name, values in ((outside, "mean", mean), (wide, "std", std)):
        if odd.any():
            text = ", ".join(
                f"value {column} has {name} {values[column]:.4g}, min {low[column]:.4g} and max {high[column]:.4g}"
                for column in np.flatnonzero(odd)[:3]
            )
            text = f"{text}: they cannot be of the same data"
            remedy = 'statistics_from: ["/path/to/dataset/meta/stats.json"] if two of them were mixed up'
            return [implausible(f"statistics.{feature.key}", text, remedy)]
    return []


def _check_spread(
    feature: NormalisedFeature, spread: Array, name: str, statistics: Mapping[str, Array]
) -> list[Finding]:
    key = f"statistics.{feature.key}"
    flat = np.broadcast_to(spread, np.broadcast_shapes(spread.shape, _per_value(feature))).ravel()
    used = np.array(feature.masked, dtype=bool) if len(feature.masked) == len(flat) else np.ones(len(flat), dtype=bool)
    none = (flat <= NO_SPREAD) & used
    if none.any():
        columns = ", ".join(str(column) for column in np.flatnonzero(none))
        text = f"{name} is 0 for value {columns}: it never changed in training"
        remedy = 'statistics_from: ["/path/to/dataset/meta/stats.json"] if they are of another dataset'
        if feature.kind == "ACTION":
            if none.all():
                return [implausible(key, f"{text}, and the arm would be sent to one pose", remedy)]
            if _moved(statistics, none):
                text = f"{name} is 0 for value {columns}, though others of its statistics say that it moved"
                return [implausible(key, text, remedy)]
            return [yellow(key, f"{text}, and is always commanded as it was")]
        return [implausible(key, f"{text}; any other value of it becomes millions", remedy)]
    if feature.kind != "STATE":
        return []
    has_scale = flat.max() > 1.0  # of degrees or percent; else these are other units, or another kind of state
    still = (flat < (STILL_STD if name == "std" else STILL_RANGE)) & used & has_scale
    if still.any():
        columns = ", ".join(str(column) for column in np.flatnonzero(still))
        text = f"{name} is {_numbers(flat[still])} for value {columns}: it stood still in training, but for noise"
        return [
            implausible(key, f"{text}, and in any other pose the policy reads hundreds of deviations", _STILL_REMEDY)
        ]
    little = (flat < LITTLE_SPREAD) & used & has_scale
    if little.any():
        columns = ", ".join(str(column) for column in np.flatnonzero(little))
        text = f"{name} is below {LITTLE_SPREAD:g} for value {columns} ({_numbers(flat)})"
        return [yellow(key, f"{text}: it hardly moved in training, and elsewhere the policy reads a huge number")]
    return []


def _moved(statistics: Mapping[str, Array], columns: npt.NDArray[np.bool_]) -> bool:
    """Whether other statistics say that these values did change."""
    for low, high in NEEDED.values():
        if low in statistics and high in statistics and low != "mean":
            span = np.ravel(statistics[high] - statistics[low])
            if len(span) == len(columns) and (span[columns] > NO_SPREAD).any():
                return True
    return False


def _check_once_each(features: Sequence[NormalisedFeature]) -> list[Finding]:
    """Two steps that normalise the same feature multiply: z-scores of z-scores."""
    counts = Counter((feature.key, feature.place) for feature in features)
    return [
        red(
            f"statistics.{key}",
            f"{count} steps of the {place} normalise it",
            f"leave one of them in policy_{place}.json",
        )
        for (key, place), count in counts.items()
        if count > 1
    ]


def _check_agreement(features: Sequence[NormalisedFeature]) -> list[Finding]:
    """Statistics of the action are kept twice, and must be those of one training."""
    by_place = {feature.place: feature for feature in features if feature.key == "action" and feature.statistics}
    if len(by_place) < 2:
        return []
    return check_agreement(by_place["preprocessor"].statistics or {}, by_place["postprocessor"].statistics or {})


def check_agreement(before: Mapping[str, Array], after: Mapping[str, Array]) -> list[Finding]:
    """Hold the action's statistics in the preprocessor against those in the postprocessor, where both have them."""
    for name in sorted(before.keys() & after.keys()):
        first, second = np.ravel(before[name]), np.ravel(after[name])
        if first.shape == second.shape and not np.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True):
            text = f"{name} differs between preprocessor ({_numbers(first)}) and postprocessor ({_numbers(second)})"
            return [implausible("statistics.action.agreement", text, "take both processors from one checkpoint")]
    return []


def _per_value(feature: NormalisedFeature) -> tuple[int, ...]:
    return (feature.shape[0], 1, 1) if feature.kind == "VISUAL" and len(feature.shape) == 3 else feature.shape


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether statistics broadcast onto the feature, value by value along its first axis."""
    if len(wanted) == 3:
        return given in ((wanted[0],), (wanted[0], 1, 1), wanted)
    return len(given) >= len(wanted) and given[len(given) - len(wanted) :] == wanted


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape) or "()"


def _numbers(values: npt.ArrayLike) -> str:
    flat = np.ravel(np.asarray(values, dtype=np.float64))
    shown = ", ".join(f"{value:.4g}" for value in flat[:8])
    return shown + (", ..." if len(flat) > 8 else "")
