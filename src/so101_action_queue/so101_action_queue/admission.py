"""Which rows may enter the queue. What is dropped is dropped whole; small excess over the limits is clamped."""

from dataclasses import dataclass

import numpy as np

from so101_action_queue.decisions import Verdict
from so101_action_queue.inputs import Answer, FloatArray, JointLimits
from so101_action_queue.settings import Settings

PERIOD_TOLERANCE = 0.01  # of the period; float32 or decimal rounding on the way, not another rate


class LimitsError(ValueError):
    """JointLimits cannot be used; the message is one line that names the joint."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Lowest and highest command per joint, (joints,) float64, rad, in the order of `Settings.joint_names`."""

    lower: FloatArray
    upper: FloatArray

    def clip(self, rows: FloatArray) -> FloatArray:
        """Return a copy of `rows` (..., joints) within the limits."""
        inside: FloatArray = np.minimum(np.maximum(rows, self.lower), self.upper)
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """Rows fit to be executed, (rows, joints) float64, rad, in our joint order, within limits."""

    rows: FloatArray
    values_clamped: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why no row of the chunk may be executed."""

    verdict: Verdict
    reason: str


def bounds_of(limits: JointLimits, joint_names: tuple[str, ...]) -> Bounds:
    """Return the limits of `joint_names`, in that order.

    Raises:
        LimitsError: a joint is missing, an array has another length, or a limit makes no sense.
    """
    count = len(limits.joint_names)
    for name in ("lower", "upper", "range_lower", "range_upper", "drive_mode"):
        if len(getattr(limits, name)) != count:
            raise LimitsError(f"joint_limits: {name} has {len(getattr(limits, name))} values for {count} joints")
    at = {name: index for index, name in enumerate(limits.joint_names)}
    missing = [name for name in joint_names if name not in at]
    if missing:
        raise LimitsError(f"joint_limits: no limits for {', '.join(missing)}; the driver has {', '.join(at)}")
    order = [at[name] for name in joint_names]
    lower = np.array([limits.lower[index] for index in order], dtype=np.float64)
    upper = np.array([limits.upper[index] for index in order], dtype=np.float64)
    for index, name in enumerate(joint_names):
        if not lower[index] < upper[index]:  # also where one is not a number
            raise LimitsError(f"joint_limits: {name} from {lower[index]:g} to {upper[index]:g} rad leaves no range")
    return Bounds(lower, upper)


def admit(answer: Answer, settings: Settings, bounds: Bounds) -> Admitted | Rejected:
    """Check an OK answer's content and bring it into our joint order and limits."""
    wrong = _shape_fault(answer, settings)
    if wrong:
        return Rejected(Verdict.REJECTED_SHAPE, wrong)
    at = {name: index for index, name in enumerate(answer.joint_names)}
    order = [at[name] for name in settings.joint_names]
    rows = answer.positions.astype(np.float64).reshape(answer.rows, len(order))[:, order]
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, joint = bad[0]
        return Rejected(Verdict.REJECTED_NOT_FINITE, f"row {row}, {settings.joint_names[joint]} is {rows[row, joint]}")
    clipped = bounds.clip(rows)
    excess = np.abs(rows - clipped)
    if excess.size and float(excess.max()) > settings.implausible_rad:
        row, joint = np.unravel_index(int(excess.argmax()), excess.shape)
        return Rejected(
            Verdict.REJECTED_IMPLAUSIBLE,
            f"row {row}, {settings.joint_names[joint]} = {rows[row, joint]:.3f} rad is {excess[row, joint]:.3f} rad "
            f"beyond its limits (implausible_rad {settings.implausible_rad:g})",
        )
    return Admitted(clipped, int(np.count_nonzero(excess)))


def _shape_fault(answer: Answer, settings: Settings) -> str:
    """Return what does not fit, or ""."""
    names = answer.joint_names
    if len(names) != len(settings.joint_names) or set(names) != set(settings.joint_names):
        return f"joints {', '.join(names) or 'none'}, expected {', '.join(settings.joint_names)}"
    if not 1 <= answer.rows <= settings.actions_per_chunk:
        return f"{answer.rows} rows, expected 1 to {settings.actions_per_chunk} (actions_per_chunk)"
    if len(answer.positions) != answer.rows * len(names):
        return f"{len(answer.positions)} values, expected {answer.rows} rows x {len(names)} joints"
    period_s = 1.0 / settings.fps
    if not abs(answer.period_s - period_s) <= PERIOD_TOLERANCE * period_s:
        return f"period {answer.period_s:g} s, expected {period_s:g} s (fps {settings.fps:g})"
    return ""
