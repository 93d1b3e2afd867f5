# SPDX-License-Identifier: Apache-2.0
"""Policy server: answers observation requests with action chunks of a policy, LeRobot's or another library's.

`policy` is what a library implements (docs/how-to/add_a_policy.md). `core` decides, `inference` runs policies and
decodes frames, `lerobot` is the adaptor to LeRobot, `ros` the node. Only `lerobot` imports LeRobot and torch, and only
when a policy is to be loaded. `image_decode` is shared with data recording, so that what a policy was trained on and
what it is served are the same numbers.
"""
