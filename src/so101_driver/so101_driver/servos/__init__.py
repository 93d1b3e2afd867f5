# SPDX-License-Identifier: Apache-2.0
"""The outside things: the serial bus of Feetech servos, ports of this computer, files of LeRobot's calibrations."""
