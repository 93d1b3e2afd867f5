# SPDX-License-Identifier: Apache-2.0
"""What every node says on /diagnostics: a level, a named cause and its remedy; `publishing` is the part with ROS."""

from so101_node.diagnostics.causes import Cause, Level

__all__ = ["Cause", "Level"]
