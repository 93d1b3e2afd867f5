# SPDX-License-Identifier: Apache-2.0
"""The action queue as a ROS node. `action_queue_node` wires the process together; the rest is handed its parts."""
