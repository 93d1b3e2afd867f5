# SPDX-License-Identifier: Apache-2.0
"""A LeRobot policy that is loaded beside one that serves: the chunks of that stay what they are, to the bit."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from so101_policy_server.policy import Observation, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

import torch  # noqa: E402 - what needs LeRobot
from so101_policy_server.lerobot import beside_others  # noqa: E402
from so101_policy_server.lerobot.beside_others import a_pass, loading  # noqa: E402
from transformers import LlamaConfig, LlamaModel  # noqa: E402

WAIT_S = 60.0


def load(folder: Path):
    return lerobot_policy.load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)


def observation(policy) -> Observation:
    described, noise = policy.description, np.random.default_rng(1)
    images = {
        image.key: (noise.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8),)
        for image in described.images
    }
    return Observation(noise.uniform(-30, 30, (1, 6)), images, "pick")


def test_chunks_stay_bit_equal_while_another_policy_is_loaded_under_another_default_dtype(
    tiny_act: Path, tiny_smolvla: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = load(tiny_act)
    asked = observation(serving)
    expected = serving.infer(asked, None).actions
    seen: set[torch.dtype] = set()
    predict = serving._predict

    def watched(*arguments):
        seen.add(torch.get_default_dtype())
        return predict(*arguments)

    monkeypatch.setattr(serving, "_predict", watched)
    built: list[torch.dtype] = []
    load_weights = lerobot_policy.load_weights

    def with_a_model_in_bfloat16(*arguments):
        config = LlamaConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=8
        )
        for _ in range(40):  # as SmolVLA's language model is built; the tiny one is in float32
            built.append(LlamaModel._from_config(config, dtype=torch.bfloat16).dtype)
        return load_weights(*arguments)

    monkeypatch.setattr(lerobot_policy, "load_weights", with_a_model_in_bfloat16)
    loader = threading.Thread(target=load, args=(tiny_smolvla,))
    loader.start()
    chunks = []
    while loader.is_alive() or not chunks:
        chunks.append(serving.infer(asked, None).actions)
    loader.join()
    assert all(np.array_equal(chunk, expected) for chunk in chunks)
    assert seen == {torch.float32}
    assert built == [torch.bfloat16] * 40
    assert torch.get_default_dtype() == torch.float32


def test_a_pass_has_the_default_dtype_to_itself_and_does_not_wait_for_the_end_of_the_building() -> None:
    warm, changed, passed = threading.Event(), threading.Event(), threading.Event()
    home = torch.get_default_dtype()
    built: set[torch.dtype] = set()
    seen: set[torch.dtype] = set()

    def other_loads() -> None:
        with loading():
            torch.set_default_dtype(torch.float64)
            changed.set()
            end = time.monotonic() + WAIT_S
            while not passed.is_set() and time.monotonic() < end:
                built.add(torch.zeros(1).dtype)
            with a_pass():  # its own, as in warming up
                built.add(torch.zeros(1).dtype)
            torch.set_default_dtype(home)

    def passes() -> None:
        with a_pass():  # as each thread warms its policy up
            warm.set()
        assert changed.wait(WAIT_S)
        for _ in range(5):
            with a_pass():
                seen.update(torch.zeros(1).dtype for _ in range(20))
        passed.set()

    threads = [threading.Thread(target=other_loads), threading.Thread(target=passes)]
    threads[1].start()
    assert warm.wait(WAIT_S)
    threads[0].start()
    for thread in threads:
        thread.join(WAIT_S)
    assert passed.is_set()  # within the building, which goes on until then
    assert (seen, built) == ({home}, {torch.float64})
    assert torch.get_default_dtype() == home


def test_building_is_not_slowed_where_no_other_thread_has_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_others._DTYPE, "_passes", Counter())
    home, looks = torch.get_default_dtype(), []

    def builds() -> None:
        with loading(), a_pass():  # as a policy does that loads a part of it when it warms up
            torch.set_default_dtype(torch.bfloat16)
            looks.append(sys.getprofile() is not None)
            torch.set_default_dtype(home)

    for _ in range(2):
        thread = threading.Thread(target=builds)
        thread.start()
        thread.join(WAIT_S)
        with a_pass():  # this thread has a policy from now on
            pass
    assert looks == [False, True]


def test_a_part_that_is_loaded_within_the_first_pass_waits_for_no_pass_of_its_own() -> None:
    home = torch.get_default_dtype()
    with loading(), a_pass():
        torch.set_default_dtype(torch.bfloat16)
        torch.set_default_dtype(home)


def test_whatever_loading_leaves_behind_the_default_dtype_is_the_one_before() -> None:
    home, own = torch.get_default_dtype(), torch.set_default_dtype
    with pytest.raises(ValueError, match="half"), loading():
        torch.set_default_dtype(torch.bfloat16)
        raise ValueError("half way")
    assert (torch.get_default_dtype(), torch.set_default_dtype) == (home, own)
    with a_pass():
        pass


def test_a_policy_tells_its_size_and_gives_its_memory_back(tiny_act: Path) -> None:
    policy = load(tiny_act)
    weights = sum(tensor.nbytes for tensor in policy.lerobot_policy.state_dict().values())
    assert policy.description.memory_bytes == pytest.approx(weights, rel=0.01)
    network = weakref.ref(policy.lerobot_policy)
    policy.close()
    assert network() is None
    assert gc.get_freeze_count() > 0  # what else was loaded is still left alone
