# SPDX-License-Identifier: Apache-2.0
"""Names of what the virtual arm puts into its run folder."""

from __future__ import annotations

from typing import Final

PORT_NAME: Final = "ttySO101"
"""Link to the serial port."""

CALIBRATION_NAME: Final = "calibration/virtual.json"
"""LeRobot's calibration of this arm."""

STATE_NAME: Final = "state"
"""Memory-mapped state of the simulation, see shared_state."""

CONTROL_NAME: Final = "control"
"""Socket that takes commands, see control_commands."""
