# SPDX-License-Identifier: Apache-2.0
"""The correction of one setpoint: a pure function of what is known in a tick, without memory."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from so101_node.protocol import FloatArray

from so101_correction.core.correction_file import CorrectionFile
from so101_correction.core.features import look_ahead, proprioception
from so101_correction.core.network import Thumbnail, prepare
from so101_correction.errors import CorrectionInputError, expect_array

NONE_EARLIER: Final[Mapping[str, Thumbnail]] = MappingProxyType({})


def within_limits(setpoint: FloatArray, delta: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return a delta that is never farther from zero, with which a setpoint stays within the limits of its joints.

    A setpoint that is beyond them already is not drawn back: that is not for a correction to do.

    Args:
        setpoint: (joints,), rad.
        delta: (joints,), rad.
        lower: (joints,), rad.
        upper: (joints,), rad.

    Returns:
        (joints,), rad; `setpoint` plus it is within the limits to the last bit.
    """
    kept = np.clip(delta, np.minimum(lower - setpoint, 0), np.maximum(upper - setpoint, 0))
    for _ in range(2):  # the sum is rounded, and may so come to lie one step of a float64 beyond
        kept = np.where((setpoint + kept > upper) & (kept > 0), np.nextafter(kept, 0), kept)
        kept = np.where((setpoint + kept < lower) & (kept < 0), np.nextafter(kept, 0), kept)
    # What is left is lost to rounding: a delta too small to move the setpoint off a limit that it stands on.
    return np.where(((setpoint + kept > upper) & (kept > 0)) | ((setpoint + kept < lower) & (kept < 0)), 0.0, kept)


class SetpointCorrection:
    """Network and bounds of one correction.

    Raises:
        CorrectionInputError: a bound or limits that cannot be.
    """

    def __init__(
        self,
        file: CorrectionFile,
        limits: tuple[FloatArray, FloatArray] | None = None,
        *,
        largest_delta_rad: float = 0.0,
    ) -> None:
        """`limits`: lower and upper (joints,), rad; None = none. `largest_delta_rad`: 0 = the file's."""
        self._file = file
        self._network = file.network()
        self.largest_delta_rad = positive("largest_delta_rad", largest_delta_rad or file.largest_delta_rad)
        self._joints = len(file.joint_names)
        self._limits = self._checked(limits)

    def set_limits(self, lower: FloatArray, upper: FloatArray) -> None:
        """Take other limits; (joints,), rad."""
        self._limits = self._checked((lower, upper))

    def correct(
        self,
        setpoint: FloatArray,
        rows_ahead: FloatArray,
        joint_positions: FloatArray,
        age_steps: int,
        thumbnails_now: Mapping[str, Thumbnail],
        thumbnails_at_request: Mapping[str, Thumbnail],
        thumbnails_earlier: Mapping[str, Thumbnail] = NONE_EARLIER,
    ) -> FloatArray:
        """Return the setpoint, corrected.

        Args:
            setpoint: (joints,) of this tick, rad.
            rows_ahead: (rows, joints) of the plan after it, rad.
            joint_positions: (joints,) measured, rad.
            age_steps: control steps since the request behind the plan.
            thumbnails_now: (height, width, 3) uint8 RGB by camera.
            thumbnails_at_request: the same, when the request was sent.
            thumbnails_earlier: the same, the file's `earlier_steps` before now; where a camera has none, or the file is
                shown none, its newest one stands for it.

        Returns:
            (joints,), rad: at most `largest_delta_rad` off, and within the limits.

        Raises:
            CorrectionInputError: a shape that does not fit, or a camera that is missing.
        """
        for thumbnails in (thumbnails_now, thumbnails_at_request):
            self._expect_all(thumbnails)
        for camera, earlier in thumbnails_earlier.items():
            self.expect_thumbnail(camera, earlier)
        frames = (thumbnails_now, thumbnails_at_request, thumbnails_earlier)
        wanted = self.wanted(setpoint, rows_ahead, joint_positions, age_steps, *frames)
        return np.asarray(setpoint + self.limited(setpoint, wanted), np.float64)

    def wanted(
        self,
        setpoint: FloatArray,
        rows_ahead: FloatArray,
        joint_positions: FloatArray,
        age_steps: int,
        thumbnails_now: Mapping[str, Thumbnail],
        thumbnails_at_request: Mapping[str, Thumbnail],
        thumbnails_earlier: Mapping[str, Thumbnail] = NONE_EARLIER,
    ) -> FloatArray:
        """Return what the network adds, (joints,), rad, at most `largest_delta_rad`; arguments as in `correct`.

        The thumbnails are taken as they are: each has been through `expect_thumbnail`.
        """
        told = proprioception(joint_positions, look_ahead(setpoint, rows_ahead), age_steps)
        images = self._network.empty_images(self._file.height, self._file.width)
        for place, camera in enumerate(self._file.cameras):
            now = thumbnails_now[camera]
            earlier = thumbnails_earlier.get(camera, now) if self._network.sees_earlier else None
            images[place] = prepare(now, thumbnails_at_request[camera], earlier)
        return np.clip(self._network.residual(images, told), -self.largest_delta_rad, self.largest_delta_rad)

    def limited(self, setpoint: FloatArray, delta: FloatArray) -> FloatArray:
        """Return as much of a delta as the limits allow; see `within_limits`."""
        return within_limits(setpoint, delta, *self._limits) if self._limits is not None else delta

    def expect_thumbnail(self, camera: str, thumbnail: Thumbnail) -> None:
        """Raise CorrectionInputError for a camera that it does not read, or a thumbnail of another shape or type."""
        if camera not in self._file.cameras:
            known = ", ".join(self._file.cameras) or "none"
            raise CorrectionInputError(f"camera {camera}: the correction reads {known}")
        if thumbnail.dtype != np.uint8:
            raise CorrectionInputError(f"thumbnail of {camera}: expected uint8, got {thumbnail.dtype}")
        expect_array(f"thumbnail of {camera}", thumbnail.shape, (self._file.height, self._file.width, 3))

    def _expect_all(self, thumbnails: Mapping[str, Thumbnail]) -> None:
        for camera in self._file.cameras:
            if camera not in thumbnails:
                raise CorrectionInputError(f"camera {camera}: no thumbnail among {', '.join(thumbnails) or 'none'}")
            self.expect_thumbnail(camera, thumbnails[camera])

    def _checked(self, limits: tuple[FloatArray, FloatArray] | None) -> tuple[FloatArray, FloatArray] | None:
        if limits is None:
            return None
        lower, upper = (np.array(bound, np.float64) for bound in limits)
        expect_array("lower limits", lower.shape, (self._joints,))
        expect_array("upper limits", upper.shape, (self._joints,))
        if not np.all(lower <= upper):
            raise CorrectionInputError(f"limits: expected lower <= upper, got {lower.tolist()} and {upper.tolist()}")
        return lower, upper


def positive(what: str, value: float) -> float:
    """Return a value above 0 and at most pi, or raise CorrectionInputError."""
    if not 0 < value <= np.pi:
        raise CorrectionInputError(f"{what}: expected above 0 and at most pi, got {value}")
    return value
