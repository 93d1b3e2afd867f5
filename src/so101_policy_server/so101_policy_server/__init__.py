"""Policy server: answers observation requests with action chunks of any LeRobot policy.

Only `lerobot_policy` imports LeRobot and torch. `image_decode` and `units` are shared with data recording, so that what
a policy was trained on and what it is served are the same numbers.
"""
