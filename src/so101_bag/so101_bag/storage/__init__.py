# SPDX-License-Identifier: Apache-2.0
"""rosbag2 bags in MCAP, written, repaired and read without rosbag2.

What is written follows rosbag2 of ROS 2 Jazzy (metadata version 9): `ros2 bag info|play` read it as their own.
"""
