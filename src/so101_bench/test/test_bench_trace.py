# SPDX-License-Identifier: Apache-2.0
"""Trace files: what is written comes back, also after a kill."""

from pathlib import Path

from so101_bench.trace import Chunk, FrameAge, Sent, TraceWriter, read_trace
from so101_node.metrics.statistics import TickSample

SAMPLE = TickSample(1, 2, 3, True, 4, 5, 6, 7, 8, 9, 10)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "a")
    writer.tick(SAMPLE, acting=True)
    writer.sent(10, 2000, 0.5)
    writer.frame_age(FrameAge(11, 7, 8, 0.02))
    writer.chunk(Chunk(20, 15, 0.1, 0.2, {"decode": 0.01}, 0.004, 0.02))
    writer.mark("ready", 30)
    trace = read_trace([tmp_path / "a"])
    assert [(tick.sample, tick.acting) for tick in trace.ticks] == [(SAMPLE, True)]
    assert trace.sent == [Sent(10, 2000, 0.5)]
    assert trace.frame_ages == [FrameAge(11, 7, 8, 0.02)]
    assert trace.chunks == [Chunk(20, 15, 0.1, 0.2, {"decode": 0.01}, 0.004, 0.02)]
    assert trace.marks == [("ready", 30)]


def test_the_clients_chunk_and_the_servers_times_meet_by_their_key(tmp_path: Path) -> None:
    TraceWriter(tmp_path / "client").received(20, 15, key=1.5)
    TraceWriter(tmp_path / "client").received(40, 35, key=2.5)  # whose times the server did not live to note
    TraceWriter(tmp_path / "server").computed(1.5, 0.1, 0.2)
    assert read_trace([tmp_path / "client", tmp_path / "server"]).chunks == [Chunk(20, 15, 0.1, 0.2)]


def test_a_line_cut_short_and_a_file_never_begun_are_left_out(tmp_path: Path) -> None:
    TraceWriter(tmp_path / "a").sent(10, 2000)
    with (tmp_path / "a").open("a") as file:
        file.write('{"kind": "sent", "at_')
    assert read_trace([tmp_path / "a", tmp_path / "missing"]).sent == [Sent(10, 2000)]


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "a")
    writer.mark("ready", 1)
    assert read_trace([tmp_path / "a"]).marks == [("ready", 1)]
