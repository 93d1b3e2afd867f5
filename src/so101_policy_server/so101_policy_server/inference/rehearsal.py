# SPDX-License-Identifier: Apache-2.0
"""Doing what a request needs before the policy begins, on what is thrown away; `core.rehearsing` says when."""

from __future__ import annotations

from so101_policy_server.policy import Policy


def prepare_blank(policy: Policy) -> None:
    """Let a policy that rested prepare an observation of nothing, where it can."""
    prepare = getattr(policy, "prepare_blank", None)
    if callable(prepare):
        prepare()
