# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from so101_sim.arm.shared_state import SIZE, SharedState, SharedStateError, StateSnapshot

HAMMER = """
import sys, time
from pathlib import Path
import numpy as np
from so101_sim.arm.shared_state import SharedState, StateSnapshot
with SharedState.create(Path(sys.argv[1])) as state:
    end, n = time.monotonic() + 20, 0
    while time.monotonic() < end:
        n += 1
        state.write(StateSnapshot(float(n), n, n, n, np.full(60, float(n)), np.full(50, float(n))))
"""


def snapshot(value: float) -> StateSnapshot:
    return StateSnapshot(value, 17, 2**64 - 1, 3, np.arange(13.0) + value, np.arange(12.0) - value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state") as writer, SharedState.open(tmp_path / "state") as reader:
        writer.write(snapshot(1.5))
        state = reader.read()
        assert state is not None
        assert (state.sim_time_s, state.monotonic_ns, state.scene_seed, state.scene_count) == (1.5, 17, 2**64 - 1, 3)
        np.testing.assert_array_equal(state.qpos, np.arange(13.0) + 1.5)
        np.testing.assert_array_equal(state.qvel, np.arange(12.0) - 1.5)


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state") as writer:
        writer.write(snapshot(2.0))
    raw = (tmp_path / "state").read_bytes()
    assert len(raw) == SIZE == 48 + 2 * 64 * 8
    assert int.from_bytes(raw[:8], "little") == 2
    assert np.frombuffer(raw, "<f8", 1, 8)[0] == 2.0
    assert np.frombuffer(raw, "<u4", 2, 40).tolist() == [13, 12]
    assert np.frombuffer(raw, "<f8", 2, 48).tolist() == [2.0, 3.0]
    assert np.frombuffer(raw, "<f8", 1, 48 + 512)[0] == -2.0


def test_before_the_first_write_there_is_nothing(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state"), SharedState.open(tmp_path / "state") as reader:
        assert reader.read() is None


def test_a_snapshot_does_not_change_when_the_next_state_is_written(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state") as writer, SharedState.open(tmp_path / "state") as reader:
        writer.write(snapshot(1.0))
        state = reader.read()
        writer.write(snapshot(9.0))
        assert state is not None
        assert state.qpos[0] == 1.0


def test_every_read_is_one_whole_write_while_another_process_writes_without_pause(tmp_path: Path) -> None:
    path = tmp_path / "state"
    writer = subprocess.Popen([sys.executable, "-c", HAMMER, str(path)])
    try:
        reader = open_soon(path)
        seen = set()
        end = time.monotonic() + 1.0
        while time.monotonic() < end or len(seen) < 10:
            state = reader.read()
            if state is None:
                continue
            assert state.scene_count == state.sim_time_s == state.monotonic_ns
            assert set(state.qpos) == set(state.qvel) == {state.sim_time_s}
            seen.add(state.scene_count)
        reader.close()
    finally:
        writer.kill()
        writer.wait()


def open_soon(path: Path) -> SharedState:
    deadline = time.monotonic() + 10
    while True:
        try:
            return SharedState.open(path)
        except SharedStateError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_readers_of_an_earlier_run_see_the_next_one(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state") as first:
        first.write(snapshot(1.0))
    with SharedState.open(tmp_path / "state") as reader, SharedState.create(tmp_path / "state") as second:
        second.write(snapshot(5.0))
        state = reader.read()
        assert state is not None
        assert state.sim_time_s == 5.0


def test_a_write_after_a_writer_was_killed_at_work_makes_the_state_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with SharedState.create(path) as writer:
        writer.write(snapshot(1.0))
    raw = bytearray(path.read_bytes())
    raw[0] |= 1
    path.write_bytes(raw)
    with SharedState.open(path) as reader:
        with pytest.raises(SharedStateError, match="restart"):
            reader.read()
        with SharedState.create(path) as writer:
            writer.write(snapshot(4.0))
            state = reader.read()
        assert state is not None
        assert state.sim_time_s == 4.0


def test_only_one_process_may_write(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state"), pytest.raises(SharedStateError, match="live process"):
        SharedState.create(tmp_path / "state")
    SharedState.create(tmp_path / "state").close()


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SharedStateError, match=r"nowhere.*start virtual_arm"):
        SharedState.open(tmp_path / "nowhere")
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(SharedStateError, match="not a state file"):
        SharedState.open(tmp_path / "short")


def test_readers_cannot_write_and_what_is_too_large_is_refused(tmp_path: Path) -> None:
    with SharedState.create(tmp_path / "state") as writer, SharedState.open(tmp_path / "state") as reader:
        with pytest.raises(ValueError, match="reading"):
            reader.write(snapshot(1.0))
        with pytest.raises(ValueError, match="at most 64"):
            writer.write(StateSnapshot(0.0, 0, 0, 0, np.zeros(65), np.zeros(1)))
