# SPDX-License-Identifier: Apache-2.0
"""What a lifecycle node that is not active tells people to type, by its state."""

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter
from so101_node.process.lifecycle import AutostartNode


def test_a_node_that_is_not_active_says_what_makes_it_so() -> None:
    context = Context()
    rclpy.init(args=[], context=context)
    node = AutostartNode(
        "arm", context=context, namespace="/left", parameter_overrides=[Parameter("autostart", value=False)]
    )
    try:
        assert node.what_to_do() == "ros2 lifecycle set /left/arm configure, then activate"
        node.trigger_configure()
        assert node.what_to_do() == "activate it: ros2 lifecycle set /left/arm activate"
        node.trigger_shutdown()
        assert node.what_to_do() == "it was shut down and stays so: end its process and start it again"
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
