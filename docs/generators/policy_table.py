# SPDX-License-Identifier: Apache-2.0
"""Prints which policies are served, from LeRobot and from the list that the parity test serves.

`./so101 ros python docs/generators/policy_table.py > docs/reference/policies.md`
"""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "src" / "so101_policy_server" / "test"))

import lerobot.policies  # noqa: E402, F401 - registers every policy type
from lerobot.configs import PreTrainedConfig  # noqa: E402
from lerobot.policies import get_policy_class  # noqa: E402
from lerobot.policies.pretrained import PreTrainedPolicy  # noqa: E402
from so101_policy_server.lerobot import kinds  # noqa: E402
from so101_policy_server.lerobot.files import HERE  # noqa: E402
from tiny_vlas import MAKERS, PLUGIN_REMARKS, PLUGINS, PLUGINS_NOT_SERVED  # noqa: E402

CONSTRAINTS = ROOT / "requirements" / "constraints.txt"

HEADER = """# Policies

Written by `./so101 ros python docs/generators/policy_table.py` from {here} and from the list that
`test_policies_over_dds.py` serves; a test keeps it current. That test makes a small checkpoint of each type with random
weights, by LeRobot's own `save_pretrained`; serves it by the real `policy_server` over DDS to a robot with three
cameras; and compares the chunk with LeRobot itself on the same frames and the same seed: with `predict_action` tick
by tick, and where the policy reads one step with `predict_action_chunk` as well. They agree within 1e-5 rad. What is
not shown by it: that a large checkpoint fits a device, how fast it is, or that it does its task.

*Frames*: "as trained": resized to the size that trained the policy, at the server or on the robot
([frame sizes](../how-to/cameras.md#frame-sizes)); "any": the policy gets the camera's own, and resizes as in training;
with a field's name: any where that field is set, else as trained. *History*: observation steps by default; the queue
and the cameras send as many as the checkpoint reads. *RTC*: whether it continues the rows that are still to be executed
([tuning](../how-to/tuning.md)).
"""

PLUGIN_HEADER = """## Plugins

Packages named `lerobot_policy_*` register types of their own. The server imports all that are installed, as LeRobot's
programs do; one that cannot be imported is named where its type is wanted. Served by the same test:
"""

VERSIONS = (ROOT / "docs" / "generators" / "policy_versions.txt").read_text(encoding="utf-8")


def served() -> list[str]:
    """LeRobot's types, those that are served first."""
    known = [
        name
        for name in PreTrainedConfig.get_known_choices()
        if PreTrainedConfig.get_choice_class(name).__module__.startswith("lerobot.policies.")
    ]
    return sorted(known, key=lambda name: (name in kinds.NOT_SERVED, name))


def row(kind: str) -> str:
    """One type as a row of the table."""
    chosen = PreTrainedConfig.get_choice_class(kind)
    steps = next((field.default for field in fields(chosen) if field.name == "n_obs_steps"), 1)
    why = kinds.NOT_SERVED.get(kind, "")
    cells = (
        f"`{kind}`",
        "no" if why else "yes" if kind in MAKERS else "not tried",
        _yes(get_policy_class(kind).supports_rtc is not PreTrainedPolicy.supports_rtc),
        str(steps),
        _frames(kind),
        _yes(kind not in kinds.NO_LANGUAGE),
        why or kinds.REMARKS.get(kind, ""),
    )
    return f"| {' | '.join(cells)} |"


def _yes(value: bool) -> str:
    return "yes" if value else "-"


def _frames(kind: str) -> str:
    field = kinds.RESIZES_WHERE_SET.get(kind)
    if field is not None:
        return f"`{field}`"
    return "any" if kind in kinds.RESIZES_ALWAYS else "as trained"


def _version(package: str) -> Any:
    names = (line.partition("==") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    return next(version for name, _, version in names if name.replace("-", "_") == package)


def document() -> str:
    """The page."""
    lines = [HEADER.format(here=HERE)]
    lines += ["| Policy | Served | RTC | History | Frames | Task | Remarks |", "|---|---|---|---|---|---|---|"]
    lines += [row(kind) for kind in served()]
    lines += ["", PLUGIN_HEADER, "| Type | Package | Remarks |", "|---|---|---|"]
    lines += [
        f"| `{kind}` | {package} {_version(package)} | {PLUGIN_REMARKS.get(kind, '')} |"
        for kind, package in sorted(PLUGINS.items())
    ]
    lines += [f"\nNot served: `{kind}`: {why}." for kind, why in sorted(PLUGINS_NOT_SERVED.items())]
    return "\n".join(lines) + "\n\n" + VERSIONS


if __name__ == "__main__":
    sys.stdout.write(document())
