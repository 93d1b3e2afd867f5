# SPDX-License-Identifier: Apache-2.0
"""What the link says and in which order, free of ROS and of sockets. Time comes in as an argument."""
