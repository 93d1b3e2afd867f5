# SPDX-License-Identifier: Apache-2.0
"""Driver of an SO-101 follower arm: servo bus, calibration, safety gate and the ROS node around them."""
