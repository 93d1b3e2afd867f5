# SPDX-License-Identifier: Apache-2.0
"""An argument parser that says one line where it refuses something."""

import argparse
from collections.abc import Callable
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage before the error, which then is what nobody reads."""

    def error(self, message: str) -> NoReturn:
        """Leave the process with exit code 2 and one line."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def within(low: float, high: float, unit: str = "") -> Callable[[str], float]:
    """Return an argument type: a number from `low` to `high`, named with its unit where it is refused."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: must be {low:g} to {high:g} {unit}".rstrip())
        return value

    return read
