# SPDX-License-Identifier: Apache-2.0
"""A correction of the queue's setpoints on the robot, by its own newest frames. No ROS, no torch."""
