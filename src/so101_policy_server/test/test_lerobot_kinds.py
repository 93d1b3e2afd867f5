# SPDX-License-Identifier: Apache-2.0
"""Which of LeRobot's policies resize pictures themselves and which do as a task says, over all that it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_policies
from checkpoint_changes import change_json, copy
from so101_policy_server.policy import Observation, PolicySource

pytest.importorskip("lerobot", reason="LeRobot is not installed")

import lerobot.policies  # noqa: F401 - registers every policy type
from lerobot.configs import PreTrainedConfig
from so101_policy_server.lerobot import kinds as lerobot_kinds
from so101_policy_server.lerobot.lerobot_policy import load_policy

TYPES = sorted(
    name
    for name in PreTrainedConfig.get_known_choices()
    if PreTrainedConfig.get_choice_class(name).__module__.startswith("lerobot.policies.")
)


class Pipeline:
    def __init__(self, *steps) -> None:
        self.steps = steps


def configuration(kind: str):
    """The type's configuration with its defaults, not initialised: that of eo1 would fetch Qwen's."""
    chosen = PreTrainedConfig.get_choice_class(kind)
    return chosen.__new__(chosen)


@pytest.mark.parametrize("kind", TYPES)
def test_each_policy_of_lerobot_is_known_to_resize_or_not(kind: str) -> None:
    config = configuration(kind)
    tables = [
        kind in lerobot_kinds.READS_FRAMES_AS_GIVEN,
        kind in lerobot_kinds.RESIZES_ALWAYS,
        kind in lerobot_kinds.RESIZES_WHERE_SET,
    ]
    assert tables.count(True) == 1, f"read modeling_{kind}.py for what it does with pictures"
    field = lerobot_kinds.RESIZES_WHERE_SET.get(kind)
    if field is None:
        assert lerobot_kinds.resizes_itself(config) is (kind in lerobot_kinds.RESIZES_ALWAYS)
        return
    for size in ((96, 96), None):
        setattr(config, field, size)
        assert lerobot_kinds.resizes_itself(config) is (size is not None)


@pytest.mark.parametrize("kind", TYPES)
def test_each_policy_of_lerobot_is_known_to_read_a_task_or_not(kind: str) -> None:
    assert lerobot_kinds.reads_language(configuration(kind), Pipeline()) is (kind not in lerobot_kinds.NO_LANGUAGE)


def test_a_policy_that_makes_tokens_of_the_task_reads_it_whatever_its_type() -> None:
    from lerobot.processor import TokenizerProcessorStep

    tokenizer = TokenizerProcessorStep.__new__(TokenizerProcessorStep)
    assert lerobot_kinds.reads_language(configuration("act"), Pipeline(tokenizer))


def test_real_policies_say_whether_they_read_a_task(tiny_act: Path, tiny_smolvla: Path) -> None:
    from so101_policy_server.lerobot.checkpoint import find_checkpoint
    from so101_policy_server.lerobot.examine import examine

    def reads(folder: Path) -> bool:
        return examine(find_checkpoint(str(folder)), PolicySource(str(folder))).description.reads_task

    assert (reads(tiny_act), reads(tiny_smolvla)) == (False, True)


def test_fastwam_scales_frames_of_any_size_to_its_own() -> None:
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("lerobot.policies.fastwam.modeling_fastwam")
    assert modeling._resize_frames(torch.zeros(1, 3, 480, 640), (224, 224)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("kind", "field", "size"),
    [("diffusion", "resize_shape", [48, 64]), ("multi_task_dit", "image_resize_shape", [40, 40])],
)
def test_a_policy_that_scales_and_stacks_is_given_the_cameras_own_pictures(
    kind: str, field: str, size: list[int], tmp_path: Path
) -> None:
    try:
        source = tiny_policies.cached(kind)
    except ImportError as error:
        pytest.skip(str(error))
    folder = change_json(copy(source, tmp_path / kind), "config.json", lambda content: content.update({field: size}))
    loaded = load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)
    keys = [image.key for image in loaded.description.images]
    assert [(image.native, image.trained_size) for image in loaded.description.images] == [(True, True)] * 3
    given = []
    own = loaded._preprocessor
    spy = lambda batch: given.append({key: tuple(batch[key].shape[-2:]) for key in keys}) or own(batch)  # noqa: E731
    spy.reset = own.reset
    loaded._preprocessor = spy
    steps = loaded.description.n_obs_steps
    for sizes in ([(480, 640)] * 3, [(480, 640), (240, 320), (480, 640)]):
        images = {key: (np.zeros((*one, 3), np.uint8),) * steps for key, one in zip(keys, sizes, strict=True)}
        assert loaded.infer(Observation(np.zeros((steps, 6)), images, "pick"), None).actions.shape[1] == 6
    assert set(given[0].values()) == {(480, 640)}
    assert set(given[-1].values()) == {(48, 64)}  # pictures of two sizes cannot be stacked: all as in training


def test_smolvla_pads_by_itself_and_its_features_do_not_tell_the_trainings_size(tiny_smolvla: Path) -> None:
    from so101_policy_server.lerobot.checkpoint import find_checkpoint
    from so101_policy_server.lerobot.examine import examine

    images = examine(find_checkpoint(str(tiny_smolvla)), PolicySource(str(tiny_smolvla))).description.images
    assert [(image.native, image.trained_size) for image in images] == [(True, False)] * 3
