# SPDX-License-Identifier: Apache-2.0
"""Policies that pad pictures themselves see what the cameras give, from the wire to the network's input."""

from __future__ import annotations

import json
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from so101_node.protocol import ChunkStatus
from so101_policy_server.core.request import ReceivedFrame, ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.inference.raw_image import RawLayout
from so101_policy_server.policy import PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

WAIT_S = 60.0
SIZES = {"front": (480, 640), "wrist": (240, 320), "top": (720, 1280)}
"""Height and width of what each camera gives; none has the shape of the features."""


def picture(camera: str) -> np.ndarray:
    coarse = np.random.default_rng(len(camera)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    height, width = SIZES[camera]
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def smolvla(tiny_smolvla: Path, tmp_path_factory: pytest.TempPathFactory):
    """With the features of smolvla_base, which fine-tuning keeps whatever pictures it is given."""
    folder = tmp_path_factory.mktemp("nominal") / "smolvla"
    shutil.copytree(tiny_smolvla, folder)
    config = json.loads((folder / "config.json").read_text())
    for key in config["input_features"]:
        if "image" in key:
            config["input_features"][key]["shape"] = [3, 256, 256]
    (folder / "config.json").write_text(json.dumps(config))
    return lerobot_policy.load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)


class Bench:
    """The server's threads around the policy, without ROS; keeps what the network was given."""

    def __init__(self, examples, policy) -> None:
        self.examples = examples
        self.answers: queue.Queue[ServedChunk] = queue.Queue()
        self.announced: queue.Queue[None] = queue.Queue()
        self.batches: list[dict] = []
        core = PolicyServer(examples.config())
        core.activate()
        core.spec("", examples.spec(cameras=tuple(SIZES)), 0)
        self.thread = InferenceThread(
            core, lambda _source, _progress: policy, self.answers.put, print, lambda: self.announced.put(None)
        )
        self.thread.start()
        self.announced.get(timeout=WAIT_S)

    def ask(self, request_id: int, frames: list[ReceivedFrame]) -> ServedChunk:
        request = self.examples.request(request_id, task="pick the cube to place")
        self.thread.call(lambda core, now: core.request(request, now))
        for frame in frames:
            self.thread.call(lambda core, _now, frame=frame: core.frame(frame))
        return self.answers.get(timeout=WAIT_S)


@pytest.fixture
def bench(examples, smolvla, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(examples, smolvla)
    own = smolvla._policy.predict_action_chunk
    monkeypatch.setattr(
        smolvla._policy, "predict_action_chunk", lambda batch: made.batches.append(dict(batch)) or own(batch)
    )
    yield made
    assert made.thread.stop(WAIT_S)


def compressed(examples, camera: str, request_id: int) -> ReceivedFrame:
    data = cv2.imencode(".png", cv2.cvtColor(picture(camera), cv2.COLOR_RGB2BGR))[1].ravel()
    return examples.frame(camera, request_id, data=data)


def raw(examples, camera: str, request_id: int) -> ReceivedFrame:
    height, width = SIZES[camera]
    layout = RawLayout("rgb8", height, width, 3 * width)
    return examples.frame(camera, request_id, data=picture(camera).ravel(), format="", raw=layout)


@pytest.mark.parametrize("encoded", [compressed, raw])
def test_the_network_is_given_what_lerobot_itself_makes_of_the_native_picture(
    bench, examples, smolvla, encoded
) -> None:
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    assert [(image.height, image.width, image.native) for image in smolvla.description.images] == [(256, 256, True)] * 3
    answer = bench.ask(1, [encoded(examples, camera, 1) for camera in SIZES])
    assert (answer.status, answer.positions.shape) == (ChunkStatus.OK, (50, 6)), answer.message
    pictures = {f"observation.images.{camera}": picture(camera) for camera in SIZES}
    theirs = prepare_observation_for_inference(dict(pictures), torch.device("cpu"))
    (ours,) = bench.batches
    for key in pictures:
        assert torch.equal(ours[key], theirs[key])
    for mine, its in zip(
        smolvla._policy.prepare_images(ours)[0], smolvla._policy.prepare_images(theirs)[0], strict=True
    ):
        assert torch.equal(mine, its)
