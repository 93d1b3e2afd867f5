# SPDX-License-Identifier: Apache-2.0
"""The root of what this package raises; each message is one line that says what was expected and what to type."""


class So101NodeError(Exception):
    """Root of all of them. NodeError, which ends a node, is one of them."""
