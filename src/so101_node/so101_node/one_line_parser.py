# SPDX-License-Identifier: Apache-2.0
"""An argument parser that says one line where it refuses something."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage before the error, which then is what nobody reads."""

    def error(self, message: str) -> NoReturn:
        """Leave the process with exit code 2 and one line."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
