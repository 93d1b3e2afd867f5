# SPDX-License-Identifier: Apache-2.0
"""What decides: free of ROS, clocks, threads and image codecs; time is an argument."""
