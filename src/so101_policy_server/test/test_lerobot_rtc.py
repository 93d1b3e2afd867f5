# SPDX-License-Identifier: Apache-2.0
"""Every policy that LeRobot says can continue a leftover does so through the adaptor, and no other is asked to."""

from __future__ import annotations

import numpy as np
import pytest
from so101_policy_server.policy import Leftover, Observation, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

import tiny_vlas  # noqa: E402 - what needs LeRobot
import torch  # noqa: E402
from lerobot.policies import get_policy_class  # noqa: E402
from lerobot.policies.pretrained import PreTrainedPolicy  # noqa: E402

CONTINUES = ("evo1", "groot", "molmoact2", "pi0", "pi05", "smolvla")
FROZEN, LEFT = 4, 8


def test_these_are_all_that_lerobot_has() -> None:
    import lerobot.policies  # noqa: F401 - registers every policy type
    from lerobot.configs import PreTrainedConfig

    types = [
        name
        for name in PreTrainedConfig.get_known_choices()
        if PreTrainedConfig.get_choice_class(name).__module__.startswith("lerobot.policies.")
    ]
    able = [name for name in types if get_policy_class(name).supports_rtc is not PreTrainedPolicy.supports_rtc]
    assert sorted(able) == list(CONTINUES)


@pytest.mark.long
@pytest.mark.parametrize("kind", CONTINUES)
def test_a_policy_continues_its_leftover(kind: str) -> None:
    try:
        folder = tiny_vlas.cached(kind)
    except ImportError as error:
        pytest.skip(str(error))
    with tiny_vlas.surroundings(kind):
        policy = lerobot_policy.load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)
        noise = np.random.default_rng(0)
        images = {
            image.key: (noise.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8),)
            for image in policy.description.images
        }
        observation = Observation(np.zeros((1, 6)), images, "pick")
        torch.manual_seed(9)
        first = policy.infer(observation, None).actions
        leftover = Leftover(first[2 : 2 + LEFT].astype(np.float64), expected_delay_steps=FROZEN)

        def apart(given: Leftover | None) -> float:
            errors = []
            for seed in range(4):
                torch.manual_seed(seed)
                rows = policy.infer(observation, given).actions
                errors.append(np.abs(rows[:FROZEN] - leftover.rows[:FROZEN]).mean())
            return float(np.mean(errors))

        assert policy.description.supports_rtc
        assert apart(leftover) < 0.2 * apart(None)
