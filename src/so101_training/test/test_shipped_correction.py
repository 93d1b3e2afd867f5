# SPDX-License-Identifier: Apache-2.0
"""The correction that is shipped fits the policy that it is shipped with."""

from pathlib import Path

import pytest
from so101_correction.core.correction_file import check, read
from so101_node.fingerprint import of_checkpoint
from so101_node.protocol import JOINT_NAMES
from so101_sim.core.camera_names import CAMERAS

POLICIES = Path(__file__).parents[2] / "so101_shipped_policies" / "policies"


@pytest.mark.parametrize("policy", [path.parent.name for path in sorted(POLICIES.glob("*/correction.npz"))])
def test_it_fits_its_policy_and_the_virtual_arm(policy: str) -> None:
    file = read(POLICIES / policy / "correction.npz")
    fingerprint = of_checkpoint(POLICIES / policy)
    assert check(file, fingerprint=fingerprint, cameras=CAMERAS, joint_names=JOINT_NAMES, fps=30.0) == ""
    assert {"episodes", "steps", "seed"} <= set(file.trained)


def test_the_belts_policy_has_one() -> None:
    assert (POLICIES / "belt" / "correction.npz").is_file()
