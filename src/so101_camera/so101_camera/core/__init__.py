# SPDX-License-Identifier: Apache-2.0
"""What a camera decides, free of ROS, OpenCV and devices; time comes in as an argument."""
