# SPDX-License-Identifier: Apache-2.0
"""What the inference thread gets to do."""

from __future__ import annotations

from dataclasses import dataclass

from so101_policy_server.core.request import CompleteRequest
from so101_policy_server.core.spec_check import AcceptedSpec


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A complete request, the accepted spec it was checked against, and the language instruction in force."""

    complete: CompleteRequest
    accepted: AcceptedSpec
    task: str
