# SPDX-License-Identifier: Apache-2.0
"""Training: what only the frames tell is learned by a network that sees, not by a blind one."""

import numpy as np
import pytest
from so101_training.correction.fitting import FitProgress, FitRecipe, fit
from so101_training.correction.samples import STRIDE, CorrectionEpisode

RECIPE = FitRecipe(steps=120, batch_size=32, warm_up_steps=10)
FRAMES, ROWS = 24, 20


def episode(rng: np.random.Generator) -> CorrectionEpisode:
    """The frames' brightness says by how much the commands differ from the base policy's rows."""
    brightness = rng.uniform(0.2, 0.8)
    motion = np.linspace(0.0, 0.5, FRAMES)[:, None] * np.ones(6)
    commands = motion + (brightness - 0.5) * (np.arange(FRAMES) > 0)[:, None]
    chunks = [motion[np.minimum(frame + 1 + np.arange(ROWS), FRAMES - 1)] for frame in range(0, FRAMES, STRIDE)]
    frames = np.full((FRAMES, 16, 20, 3), round(255 * brightness), np.uint8)
    positions = motion.astype(np.float32)
    return CorrectionEpisode(positions, commands.astype(np.float32), {"top": frames}, np.array(chunks, np.float32))


@pytest.fixture(scope="module")
def episodes() -> list[CorrectionEpisode]:
    rng = np.random.default_rng(0)
    return [episode(rng) for _ in range(36)]


def test_a_network_that_sees_corrects_what_a_blind_one_cannot_know(episodes: list[CorrectionEpisode]) -> None:
    told: list[FitProgress] = []
    seeing = fit(episodes, RECIPE, sees=True, told=told.append)
    blind = fit(episodes, RECIPE, sees=False, told=lambda _: None)
    assert [progress.step for progress in told] == list(range(1, RECIPE.steps + 1))
    assert seeing.before_rad > 0.1
    assert seeing.after_rad < 0.6 * seeing.before_rad
    assert blind.after_rad > 2.0 * seeing.after_rad
    assert not any(name.startswith("cameras") for name in blind.network.weights())


def test_the_same_seed_gives_the_same_weights(episodes: list[CorrectionEpisode]) -> None:
    short = FitRecipe(steps=3, batch_size=8)
    first, second = (fit(episodes[:4], short, sees=True, told=lambda _: None).network.weights() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    other = fit(episodes[:4], FitRecipe(seed=1, steps=3, batch_size=8), sees=True, told=lambda _: None)
    assert not np.array_equal(other.network.weights()["mlp.0.weight"], first["mlp.0.weight"])


def test_the_smallest_numbers_are_numbers_again_after_a_training(episodes: list[CorrectionEpisode]) -> None:
    """Training flushes denormals to 0 in the whole process, where a replay compares bit for bit."""
    fit(episodes[:4], FitRecipe(steps=1, batch_size=8), sees=False, told=lambda _: None)
    assert np.nextafter(np.zeros(1), 1.0) > 0.0
