# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a link and with its keys. Each message is one line that names the thing and the remedy."""


class RobotLinkError(RuntimeError):
    """Root of all of them."""


class KeysError(RobotLinkError):
    """Keys cannot be made, read or used: a file is missing, unreadable, expired, or somebody else's."""


class KeysTimeError(KeysError):
    """A certificate has expired or is not yet valid by this computer's clock, which a time server may yet set."""


class LinkProtocolError(RobotLinkError):
    """The other end says what no end of this protocol says."""


class LinkAddressError(RobotLinkError, ValueError):
    """An address is none."""


class SilenceError(RobotLinkError, TimeoutError):
    """A connection was made, and nothing came over it."""


class ListenError(RobotLinkError):
    """A port cannot be listened on."""
