# SPDX-License-Identifier: Apache-2.0
"""The correction that is shipped fits the policy that it is shipped with."""

from pathlib import Path

import pytest
from so101_correction.core.correction_file import check, read
from so101_node.fingerprint import of_checkpoint
from so101_node.protocol import JOINT_NAMES
from so101_sim.core.camera_names import CAMERAS
from so101_training.policy.single_comparison import ComparedCell, run_cell
from so101_training.policy.virtual_correction import CameraHealth
from so101_training.policy.virtual_episode import PolicyDelay

FIRST_SEED = 100  # both results are clear there: without a correction each of the three is missed
POLICIES = Path(__file__).parents[2] / "so101_shipped_policies" / "policies"


@pytest.mark.parametrize("policy", [path.parent.name for path in sorted(POLICIES.glob("*/correction.npz"))])
def test_it_fits_its_policy_and_the_virtual_arm(policy: str) -> None:
    file = read(POLICIES / policy / "correction.npz")
    fingerprint = of_checkpoint(POLICIES / policy)
    assert check(file, fingerprint=fingerprint, cameras=CAMERAS, joint_names=JOINT_NAMES, fps=30.0) == ""
    assert {"episodes", "steps", "seed"} <= set(file.trained)


@pytest.mark.parametrize("policy", ["belt", "static"])
def test_both_policies_have_one(policy: str) -> None:
    assert (POLICIES / policy / "correction.npz").is_file()


def test_that_of_one_policy_is_refused_for_the_other() -> None:
    file = read(POLICIES / "static" / "correction.npz")
    fingerprint = of_checkpoint(POLICIES / "belt")
    differs = check(file, fingerprint=fingerprint, cameras=CAMERAS, joint_names=JOINT_NAMES, fps=30.0)
    assert differs.startswith("correction for another policy")


@pytest.mark.long
@pytest.mark.parametrize(("correction", "placed"), [(None, 0), (POLICIES / "static" / "correction.npz", 3)])
def test_a_cube_that_a_hand_moves_is_placed_at_the_first_reach_with_it_only(
    correction: Path | None, placed: int
) -> None:
    cell = ComparedCell(
        task="static_nudged",
        checkpoint=POLICIES / "static",
        mode="aligned",
        delay=PolicyDelay(0.4),
        requests_in_flight=1,
        threshold=None,
        correction=correction,
        health=CameraHealth.LIVE,
        seed=FIRST_SEED,
        episodes=3,
    )
    assert run_cell(cell, lambda _: None)["successes"] == placed
