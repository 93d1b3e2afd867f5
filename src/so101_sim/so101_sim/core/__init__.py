# SPDX-License-Identifier: Apache-2.0
"""What is simulated without MuJoCo: servos, their bus and packets, tasks, the judge's rules. Free of ROS, too."""
