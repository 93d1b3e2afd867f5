# SPDX-License-Identifier: Apache-2.0
"""Named causes of the link on /diagnostics. Programs compare these; the tables in `ros` say what they mean."""

from typing import Final

CONNECTED: Final = "CONNECTED"
CONNECTING: Final = "CONNECTING"
NAME_UNKNOWN: Final = "NAME_UNKNOWN"
UNREACHABLE: Final = "UNREACHABLE"
NO_LISTENER: Final = "NO_LISTENER"
CLOSED_BETWEEN: Final = "CLOSED_BETWEEN"
LOST: Final = "LOST"
REFUSED: Final = "REFUSED"
CERTIFICATE_REFUSED: Final = "CERTIFICATE_REFUSED"
CLOCK_WRONG: Final = "CLOCK_WRONG"
CERTIFICATE_EXPIRES: Final = "CERTIFICATE_EXPIRES"
TOO_SLOW: Final = "TOO_SLOW"
SAME_DOMAIN: Final = "SAME_DOMAIN"
LISTENING: Final = "LISTENING"
ROBOT_GONE: Final = "ROBOT_GONE"
NO_POLICY_SERVER: Final = "NO_POLICY_SERVER"
STRANGERS: Final = "STRANGERS"
