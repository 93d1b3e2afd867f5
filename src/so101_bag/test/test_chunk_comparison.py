# SPDX-License-Identifier: Apache-2.0
"""New chunks against recorded ones: the metrics, and the requests of a bag they belong to."""

import numpy as np
import pytest
from bag_maker import BagMaker
from so101_bag.errors import BagError
from so101_bag.replay.__main__ import main
from so101_bag.replay.chunk_comparison import ChunkComparison
from so101_bag.replay.exchanges import CHUNK, REQUEST, SPEC, STATUS, exchanges
from so101_bag.replay.server_replay import rows_of
from so101_bag.storage.reader import Bag
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus

TIMES = {"inference": 0.1, "server_total": 0.12, "round_trip": 0.15}


def test_the_error_is_told_by_joint_and_by_row():
    comparison = ChunkComparison(joint_names=("pan", "lift"))
    recorded = np.zeros((3, 2))
    replayed = np.array([[0.0, 0.0], [0.1, 0.0], [0.3, -0.4]])
    comparison.add(recorded, replayed, TIMES, {**TIMES, "inference": 0.2})
    comparison.add(recorded, recorded, TIMES, TIMES)
    comparison.add_failure("POLICY_ERROR: out of memory")
    report = comparison.report()
    assert (report["requests"], report["answered"], report["identical_chunks"]) == (3, 2, 1)
    assert report["failures"] == {"POLICY_ERROR: out of memory": 1}
    assert report["error_rad"]["max"] == 0.4
    assert report["error_rad"]["joints"]["pan"] == {"rms": pytest.approx(np.sqrt(0.10 / 6), rel=1e-3), "max": 0.3}
    assert np.allclose(comparison.error_by_row(), np.sqrt([[0, 0], [0.005, 0], [0.045, 0.08]]))
    assert report["latency_ms"]["replayed"]["inference"]["p50"] == 150.0
    assert report["latency_ms"]["recorded"]["inference"]["p50"] == 100.0


def test_rows_that_only_one_chunk_has_are_left_out():
    comparison = ChunkComparison(joint_names=("pan",))
    comparison.add(np.zeros((5, 1)), np.ones((3, 1)), TIMES, TIMES)
    comparison.add(np.zeros((2, 1)), np.zeros((2, 1)), TIMES, TIMES)
    assert comparison.error_by_row()[:, 0] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 1.0])
    assert ChunkComparison().report()["error_rad"]["rms"] is None


def test_columns_are_matched_by_joint_name():
    chunk = ActionChunk(joint_names=["lift", "pan"], rows=2, positions=[1.0, 2.0, 3.0, 4.0])
    assert rows_of(chunk, ("pan", "lift")).tolist() == [[2.0, 1.0], [4.0, 3.0]]


def test_requests_are_found_with_their_frames_and_chunks_whatever_the_repeats(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write(*SPEC, PolicySpec(spec_id=9, task="wave"), 0.0)
    image = "so101_msgs/msg/ObservationImage"
    for number in (1, 2, 3):
        at = number * 1.0
        for copy_s in (0.0, 0.01):
            maker.write(*REQUEST, ObservationRequest(session=5, request_id=number, spec_id=9), at + copy_s)
        for camera in ("top", "wrist"):
            frame = ObservationImage(session=5, request_id=number, camera=camera)
            maker.write(f"{camera}/observation", image, frame, at + 0.005)
        status = ActionChunk.POLICY_ERROR if number == 2 else ActionChunk.OK
        for copy_s in (0.1, 0.11):
            chunk = ActionChunk(session=5, request_id=number, status=status, joint_names=["pan"])
            maker.write(*CHUNK, chunk, at + copy_s)
    with Bag(maker.close()) as bag:
        found = list(exchanges(bag))
    assert [item.request.request_id for item in found] == [1, 3]
    assert all(sorted(item.frames) == ["/top/observation", "/wrist/observation"] for item in found)
    assert all(len(frames) == 1 for item in found for frames in item.frames.values())
    assert [item.round_trip_s for item in found] == pytest.approx([0.1, 0.1])
    assert found[0].spec_id == 9


def test_topics_that_the_recorder_heard_out_of_order_are_still_one_exchange(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write(*SPEC, PolicySpec(spec_id=9, task="wave"), 0.0)
    asked = ObservationRequest(session=5, request_id=1, spec_id=9)
    answer = ActionChunk(session=5, request_id=1, status=ActionChunk.OK, joint_names=["pan"], rows=1, positions=[0.1])
    frame = ObservationImage(session=5, request_id=1, camera="top")
    maker.write("top/observation", "so101_msgs/msg/ObservationImage", frame, 1.0)
    for begin_s in (1.001, 1.2):  # the second copies of request and chunk, when the first chunk is already there
        maker.write(*REQUEST, asked, begin_s)
        maker.write(*CHUNK, answer, begin_s + 0.1)
    with Bag(maker.close()) as bag:
        found = list(exchanges(bag))
    assert [list(exchange.frames) for exchange in found] == [["/top/observation"]]
    assert found[0].round_trip_s == pytest.approx(0.1)


def test_a_bag_without_observations_says_so(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write(*SPEC, PolicySpec(), 0.0)
    maker.write(*REQUEST, ObservationRequest(), 0.1)
    with Bag(maker.close()) as bag, pytest.raises(BagError, match="no messages on action_chunk"):
        list(exchanges(bag))


def test_without_any_server_and_without_its_policy_the_checkpoint_is_required(tmp_path, capsys):
    maker = BagMaker(tmp_path / "run")
    maker.write(*SPEC, PolicySpec(spec_id=9), 0.0)
    maker.write(*STATUS, PolicyStatus(state=PolicyStatus.READY, path="/gone/policy"), 0.0)
    maker.write(*REQUEST, ObservationRequest(session=5, request_id=1), 0.1)
    frame = ObservationImage(session=5, request_id=1)
    maker.write("top/observation", "so101_msgs/msg/ObservationImage", frame, 0.15)
    maker.write(*CHUNK, ActionChunk(session=5, request_id=1, joint_names=["pan"]), 0.2)
    bag = maker.close()
    assert main([str(bag), "--to", "policy_server"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and "was recorded with /gone/policy, which is not here: use --checkpoint" in error[0]
    assert main([str(bag), "--to", "policy_server", "--checkpoint", str(tmp_path / "none")]) == 1
    assert f"{tmp_path / 'none'}: no such policy folder" in capsys.readouterr().err
