# SPDX-License-Identifier: Apache-2.0
"""Scenes of training and evaluation never meet."""

from so101_training.policy.recipe import EVALUATION_SEEDS, TRAINING_SEEDS


def test_no_scene_is_both_trained_on_and_evaluated() -> None:
    assert EVALUATION_SEEDS.stop <= TRAINING_SEEDS.start
