# SPDX-License-Identifier: Apache-2.0
"""Asking a servo again that did not answer, where nothing is being moved meanwhile.

A busy computer hands answers on late (0.1 s was seen), and a servo that would answer is not to keep an arm without
torque. Bounded: each time the bus asks twice and waits reply_timeout_s for each, 40 ms in all with its default.
"""

import contextlib
from collections.abc import Callable
from typing import Final

from so101_driver.core.errors import NoReplyError

TIMES: Final = 4


def patiently[Result](ask: Callable[[], Result]) -> Result:
    """Ask until there is an answer, TIMES at most. Raises the last NoReplyError."""
    for _ in range(TIMES - 1):
        with contextlib.suppress(NoReplyError):
            return ask()
    return ask()
