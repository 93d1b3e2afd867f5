# SPDX-License-Identifier: Apache-2.0
"""What a camera may be called: it becomes part of topic names, and is the name in the policy's cameras."""

import re
from typing import Final

from so101_node.parameters import ParameterError

CAMERA_NAME: Final = r"[A-Za-z][A-Za-z0-9_]{0,63}"


def check_camera_name(name: str) -> None:
    """Raise ParameterError unless `name` can be a camera's; an empty one, which stands for the node's, may be."""
    if name and not re.fullmatch(CAMERA_NAME, name):
        raise ParameterError(
            f"parameter camera_name = {name!r}: must be a letter, then letters, digits and underscores"
        )
