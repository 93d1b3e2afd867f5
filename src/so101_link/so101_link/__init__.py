# SPDX-License-Identifier: Apache-2.0
"""One TLS connection between a robot and its policy server, where DDS does not get through.

core: what is said and in which order. transport: sockets and TLS. ros: the two nodes. keys: who may connect.
"""

import importlib.metadata
from typing import Final


def _release() -> str:
    try:
        return importlib.metadata.version("so101_link")
    except importlib.metadata.PackageNotFoundError:  # run from the sources alone
        return "unknown"


RELEASE: Final = _release()
"""This package's version, as an end tells it to the other."""
