# SPDX-License-Identifier: Apache-2.0
"""LeRobot's stock PolicyServer and RobotClient, started as they are, with notes taken of when they do what."""
