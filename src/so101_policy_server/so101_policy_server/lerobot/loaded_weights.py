# SPDX-License-Identifier: Apache-2.0
"""Whether every weight of a policy came from its file: LeRobot only logs what did not, and goes on with random ones.

Part of the adaptor to LeRobot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lerobot.policies.pretrained import PreTrainedPolicy
from safetensors import safe_open

from so101_policy_server.errors import one_line
from so101_policy_server.lerobot.checkpoint import CONFIG, WEIGHTS, Checkpoint
from so101_policy_server.lerobot.old_statistics import is_normaliser
from so101_policy_server.policy import PolicyLoadError


@contextlib.contextmanager
def refusing_random_weights(chosen: Any, path: str) -> Iterator[None]:
    """Load a policy of the class `chosen` within this.

    pi0 and its kin print that a file cannot be read or does not fit, and return a policy with random weights.

    Raises:
        PolicyLoadError: the weights did not fit, or none were loaded.
    """
    outcomes: list[Exception | None] = []
    own = chosen.load_state_dict

    def load_state_dict(policy: Any, *args: Any, **options: Any) -> Any:
        try:
            result = own(policy, *args, **options)
        except Exception as error:
            outcomes.append(error)
            raise
        outcomes.append(None)
        return result

    had_its_own = "load_state_dict" in vars(chosen)
    chosen.load_state_dict = load_state_dict
    try:
        yield
    finally:
        if had_its_own:
            chosen.load_state_dict = own
        else:
            del chosen.load_state_dict
    reason = next((one_line(error) for error in outcomes if error is not None), "" if outcomes else "it was not read")
    if reason:
        first = reason.partition("size mismatch for ")[2].partition(": copying")[0]
        told = f"is of another configuration than {CONFIG} (first: {first})" if first else f"does not fit: {reason}"
        raise PolicyLoadError(f"{path}: {WEIGHTS} {told}: LeRobot would go on with random weights")


def weights_left_over(checkpoint: Checkpoint, policy: Any) -> tuple[str, ...]:
    """A line about weights of the file that the policy has no place for: LeRobot leaves them out without a word.

    A network with fewer layers than were trained answers, and its answers are of nothing.
    """
    if not checkpoint.is_local or checkpoint.base is not None or _renames(policy):
        return ()
    with safe_open(Path(checkpoint.path) / WEIGHTS, framework="pt") as file:
        left = sorted(name for name in set(file.keys()) - policy.state_dict().keys() if not is_normaliser(name))
    if not left:
        return ()
    return (
        f"weights: {WEIGHTS} has {len(left)} that the policy of {CONFIG} has no place for (first: {left[0]}), they are "
        f"left out: is {CONFIG} that of this training?",
    )


def _renames(policy: Any) -> bool:
    """Whether a policy loads its file in its own way, and may call what older files have by other names."""
    name = "from_pretrained"
    return getattr(type(policy), name).__func__ is not getattr(PreTrainedPolicy, name).__func__


def check_weights(checkpoint: Checkpoint, policy: Any) -> None:
    """Refuse a policy of which the file lacks weights, or has them in another shape.

    Raises:
        PolicyLoadError: an arm would be moved by a half random network.
    """
    weights = policy.state_dict()
    with safe_open(Path(checkpoint.path) / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in stored & weights.keys()}
    reshaped = [name for name, shape in shapes.items() if shape != tuple(weights[name].shape)]
    if reshaped:
        first = min(reshaped)
        raise PolicyLoadError(
            f"{checkpoint.path}: {WEIGHTS} has {len(reshaped)} weights of another shape than {CONFIG} says (first: "
            f"{first}, {shapes[first]} in place of {tuple(weights[first].shape)}): LeRobot would leave them random"
        )
    if _renames(policy):
        return  # it was watched while it loaded
    # Weights that share memory are stored once.
    filled = {weights[name].data_ptr() for name in stored & weights.keys()}
    missing = [
        name
        for name, value in weights.items()
        if name not in stored and value.numel() and value.data_ptr() not in filled
    ]
    if missing:
        raise PolicyLoadError(
            f"{checkpoint.path}: {WEIGHTS} lacks {len(missing)} of {len(weights)} weights (first: {missing[0]}); "
            "it is damaged or belongs to another configuration"
        )
