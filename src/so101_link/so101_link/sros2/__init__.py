# SPDX-License-Identifier: Apache-2.0
"""Keys and permissions for SROS2, the encrypted DDS of ROS 2 from apt."""
