# SPDX-License-Identifier: Apache-2.0
"""Pictures as LeRobot's own preparation makes them, without its copies."""

from __future__ import annotations

import numpy as np
import pytest

KEY = "observation.images.front"


@pytest.mark.parametrize(("height", "width"), [(256, 3), (48, 64), (37, 53)])
def test_a_planar_picture_has_the_values_that_lerobot_makes_of_it(height: int, width: int) -> None:
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference
    from so101_policy_server.lerobot.stacking import planar

    # 256 rows of 3 columns and channels hold each value in each channel.
    picture = np.random.default_rng(0).permuted(
        np.resize(np.arange(256, dtype=np.uint8)[:, None, None], (height, width, 3)), axis=1
    )
    theirs = prepare_observation_for_inference({KEY: picture.copy()}, torch.device("cpu"))[KEY]
    ours = prepare_observation_for_inference({KEY: planar(picture)}, torch.device("cpu"))[KEY]
    assert ours.shape == (1, 3, height, width)
    assert ours.is_contiguous()
    assert torch.equal(ours, theirs)


def test_lerobot_copies_nothing_of_a_planar_picture() -> None:
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference
    from so101_policy_server.lerobot.stacking import planar

    given = planar(np.zeros((48, 64, 3), np.uint8))
    prepared = prepare_observation_for_inference({KEY: given}, torch.device("cpu"))[KEY]
    assert np.shares_memory(prepared.numpy(), given)
