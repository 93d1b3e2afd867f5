# SPDX-License-Identifier: Apache-2.0
"""Shows a running robot: the page in the browser, the plot of the queue, the path of the gripper."""
