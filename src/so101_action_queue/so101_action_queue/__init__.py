# SPDX-License-Identifier: Apache-2.0
"""The action queue: executes a remote policy's chunks at a steady rate and requests the next one in time.

Four rooms, each of which imports only those before it:

- `core`: what the queue decides. It knows neither ROS nor a clock: it takes `now_ns` and inputs and returns decisions.
- `translation`: messages to the core's values and back.
- `record`: every input and decision in order; replay of such a log; the queue in virtual time.
- `ros`: the node: topics, services, parameters and the control thread.

`testing` holds a driver and a policy server of a few lines for tests over DDS.
"""
