# SPDX-License-Identifier: Apache-2.0
"""The decisions: which policy, which robots, who waits for what. Free of ROS, threads, clocks and libraries."""
