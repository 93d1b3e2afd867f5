# SPDX-License-Identifier: Apache-2.0
"""Records and replays rosbag2 bags (MCAP) of the robot, and turns them into a LeRobotDataset."""
