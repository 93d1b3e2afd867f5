# SPDX-License-Identifier: Apache-2.0
"""The error that ends a command with one line."""


class Failure(Exception):
    """Something the person at the keyboard can put right; its text names the thing and the remedy, on one line."""

    code = 1
    verb = ""


class Misuse(Failure):
    """Words behind a verb, or a verb, that do not exist: exit code 2, as of a wrong option."""

    code = 2

    def __init__(self, text: str, verb: str = "") -> None:
        super().__init__(text)
        self.verb = verb
