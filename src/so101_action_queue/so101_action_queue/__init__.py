"""The action queue: executes a remote policy's chunks at a steady rate and asks for the next one in time.

The core (`queue_core` and the modules it is made of) knows neither ROS nor a clock: it takes `now_ns` and inputs and
returns decisions. `action_queue_node` connects it to topics, services and a control thread.
"""
