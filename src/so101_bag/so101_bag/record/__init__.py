# SPDX-License-Identifier: Apache-2.0
"""Recording a run as a rosbag2 bag, in a process of its own that steps back behind the control loop."""
