# SPDX-License-Identifier: Apache-2.0
"""The error that ends a command with one line."""


class Failure(Exception):
    """Something the person at the keyboard can put right; its text names the thing and the remedy, on one line."""
