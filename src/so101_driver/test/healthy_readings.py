# SPDX-License-Identifier: Apache-2.0
"""What an arm reads whose six servos all answer and are well."""

import numpy as np
from so101_driver.core.arm import ArmReading


def reading_at(pose: np.ndarray) -> ArmReading:
    """Return the reading of an arm that rests at `pose`, (6,), rad."""
    return ArmReading(
        positions=pose.copy(),
        velocities=np.zeros(6),
        loads=np.zeros(6),
        voltages=np.full(6, 12.0),
        temperatures=np.full(6, 30.0),
        currents=np.full(6, 0.1),
        error_bits=np.zeros(6, dtype=np.int64),
        answered=np.ones(6, dtype=np.bool_),
    )
