# SPDX-License-Identifier: Apache-2.0
"""All options in the order of trial, and the whole of it for a loaded policy."""

from __future__ import annotations

from typing import Any

from so101_policy_server.lerobot.optimize.layers import BFloat16, ChannelsLast, ContiguousTokens, FoldedNormalization
from so101_policy_server.lerobot.optimize.process import KeptMemory, Threads, thread_counts
from so101_policy_server.lerobot.optimize.rehearsal import PolicyRehearsal
from so101_policy_server.lerobot.optimize.smolvla_sampler import OneTimePrefix
from so101_policy_server.lerobot.optimize.trials import Optimization, Option, try_options
from so101_policy_server.policy import PolicySource, Progress


def all_options(source: PolicySource, rehearsal: PolicyRehearsal) -> list[Option]:
    """The process first: what a layer takes depends on its memory and threads."""
    threads = [] if source.torch_threads else [Threads(count) for count in thread_counts()]
    return [
        KeptMemory(),
        *threads,
        ContiguousTokens(),
        OneTimePrefix(),
        FoldedNormalization(),
        ChannelsLast(),
        BFloat16(rehearsal.run_once),
    ]


def optimize_policy(policy: Any, source: PolicySource, rehearsal: PolicyRehearsal, progress: Progress) -> Optimization:
    """Try all options on a policy of LeRobot, and keep what holds the bound and is faster.

    Args:
        policy: changed in place.
        source: says the bound, and whether the number of threads is a person's.
        rehearsal: runs the policy.
        progress: told which option is under trial.
    """
    options = all_options(source, rehearsal)
    return try_options(
        policy, options, rehearsal, source.optimize_bound, lambda name: progress(f"optimizing: trying {name}")
    )
