# SPDX-License-Identifier: Apache-2.0
"""What the queue decides. Free of ROS and of messages; time comes in as an argument, in ns.

The way of one chunk: `queue_core` takes it from the network, `intake` checks it, `execution` places it into the rows
ahead by `blending` and `aggregation`, and `requests` closes the request that it answers. Each is entered once.
"""
