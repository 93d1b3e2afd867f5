# SPDX-License-Identifier: Apache-2.0
"""What the driver decides, free of ROS, messages, threads and clocks: time comes in as an argument."""
