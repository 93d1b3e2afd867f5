# SPDX-License-Identifier: Apache-2.0
"""Where time went: quantiles, the parts of a chunk's way, and what a run amounted to. Free of ROS."""
