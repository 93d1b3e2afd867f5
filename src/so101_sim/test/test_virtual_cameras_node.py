# SPDX-License-Identifier: Apache-2.0
"""The virtual cameras as their own process, over DDS."""

import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, CompressedImage
from so101_camera.image_codec import decode_image
from so101_msgs.msg import ObservationImage, ObservationRequest, PolicySpec
from so101_node.topics import qos
from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.virtual_arm_client import STATE_NAME
from so101_sim.world import rendering, scene


@pytest.fixture
def sim_dir(tmp_path: Path) -> Path:
    """A run folder whose virtual arm stands still."""
    data = scene.new_data(scene.build_model())
    with SharedState.create(tmp_path / STATE_NAME) as file:
        file.write(StateSnapshot(0.0, time.monotonic_ns(), 0, 1, data.qpos, data.qvel))
    return tmp_path


def test_each_request_is_answered_by_the_cameras_of_the_spec_with_pictures_of_the_simulation(
    sim_dir: Path, peer
) -> None:
    images = {
        camera: peer.collect(ObservationImage, f"{camera}/observation", qos.OBSERVATION) for camera in scene.CAMERAS
    }
    spec = peer.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
    request = peer.node.create_publisher(ObservationRequest, "observation_request", qos.REQUEST_WRITER)
    node = peer.start("virtual_cameras_node", sim_dir=sim_dir)
    assert peer.wait(lambda: request.get_subscription_count() == 3)
    spec.publish(PolicySpec(session=5, spec_id=9, fps=30.0, cameras=["top", "front"]))
    asked = 0
    while not (images["top"] and images["front"]):
        asked += 1
        assert asked <= 40, "no answer"
        for _ in range(2):
            request.publish(ObservationRequest(session=5, request_id=asked, spec_id=9, history=1))
        # As the queue does: a camera that has no frame yet forgets a request after half a second.
        peer.wait(lambda: images["top"] and images["front"], 1.0)
    peer.spin_for(0.3)
    for camera in ("top", "front"):
        answered = [image.request_id for image in images[camera]]
        assert len(set(answered)) == len(answered)
    assert not images["wrist"]

    model = scene.build_model()
    with rendering.CameraRenderer(model) as renderer:
        renderer.show(scene.new_data(model).qpos)
        for camera in ("top", "front"):
            answer = images[camera][0]
            assert (answer.session, answer.camera, answer.history_index) == (5, camera, 0)
            assert 1 <= answer.request_id <= asked
            assert 0 <= answer.capture_age < 5
            expected = renderer.render(camera)[..., ::-1].astype(int)
            assert np.abs(decode_image(bytes(answer.image.data)) - expected).mean() < 3
    assert node.interrupt() == 0
    assert "Traceback" not in node.said


def test_a_camera_is_rendered_for_a_listener_and_described_by_its_intrinsics(sim_dir: Path, peer) -> None:
    peer.start("virtual_cameras_node", sim_dir=sim_dir)
    pictures = peer.collect(CompressedImage, "wrist/image_raw/compressed", qos.IMAGE)
    infos = peer.collect(CameraInfo, "wrist/camera_info", qos.IMAGE)
    states = peer.collect(DiagnosticArray, "/diagnostics", 10)
    assert peer.wait(lambda: len(pictures) >= 3 and infos)
    assert decode_image(bytes(pictures[0].data)).shape == (480, 640, 3)
    assert (infos[0].width, infos[0].height) == (640, 480)
    focal = 240 / np.tan(np.radians(scene.build_model().camera("wrist").fovy[0]) / 2)
    assert infos[0].k[0] == pytest.approx(focal)

    def messages() -> dict[str, str]:
        return {status.name.split(": ")[1]: status.message for state in states[-1:] for status in state.status}

    assert peer.wait(lambda: "frames/s" in messages().get("wrist", ""))
    assert messages()["top"] == "UNWATCHED: nobody looks through it"


def test_a_remapped_camera_is_rendered_for_its_listener(sim_dir: Path, peer) -> None:
    peer.start("virtual_cameras_node", "-r", "wrist/image_raw/compressed:=/hand/jpeg", sim_dir=sim_dir)
    pictures = peer.collect(CompressedImage, "/hand/jpeg", qos.IMAGE)
    assert peer.wait(lambda: len(pictures) >= 3)


def test_a_virtual_arm_that_never_comes_ends_the_node_with_one_line(peer, tmp_path: Path) -> None:
    node = peer.start("virtual_cameras_node", sim_dir=tmp_path / "nowhere", connect_timeout_s=1.0)
    assert node.process.wait(timeout=40) == 1
    last = node.said.splitlines()[-1]
    assert "waited" in last
    assert "start virtual_arm with this folder first" in last
    assert "Traceback" not in node.said
