# SPDX-License-Identifier: Apache-2.0
"""The unit of the server's monotonic clock; nothing here reads it."""

from typing import Final

NS_PER_S: Final = 1_000_000_000
