# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the bench. Each message is one line that names the thing and the remedy."""


class BenchError(RuntimeError):
    """Root of all of them; itself: the bench cannot go on."""


class DisturbedError(BenchError):
    """The machine was too busy for the emulated hardware; the same once more may well succeed."""


class TwoHostsError(BenchError):
    """Two hosts cannot be had here."""


class LinkError(BenchError):
    """The hosts' interfaces cannot be made."""


class WireError(BenchError, ValueError):
    """A wire that cannot be; the line names the key, the value and what would be accepted."""
