# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: one module for each kind of device, free of ROS, and the thread that reads them."""
