# SPDX-License-Identifier: Apache-2.0
"""Parameters of a node as one frozen dataclass: described, bounded and checked as a whole, free of ROS.

Each field of the dataclass is made by `parameter(default, description, ...)`; an optional method `validate()` holds the
rules across fields and raises ParameterError. `declaring.declare(node, TheDataclass)` gives a node the values in force.
A core's own settings may be such a dataclass, and the node's parameters inherit from it: each is written once.
"""

from so101_node.parameters.fields import ParameterError, Rule, build, item_type, parameter, pick, rules, shown

__all__ = ["ParameterError", "Rule", "build", "item_type", "parameter", "pick", "rules", "shown"]
