# SPDX-License-Identifier: Apache-2.0
"""Fills a queue's history from the topics of one robot."""

from rclpy.node import Node
from so101_msgs.msg import QueueStatus

from so101_viewer.latency_listener import LatencyListener
from so101_viewer.polled import PolledTopic
from so101_viewer.queue_plot.history import ChunkMark, QueueHistory, TickMark

STATUS_DEPTH = 200  # six seconds of ticks, should the drawing be slow


class QueueListener:
    """Hears status and decisions of the action queue; `history` holds what came."""

    def __init__(self, node: Node, window_s: float) -> None:
        self.history = QueueHistory(window_s)
        self._status = PolledTopic(node, QueueStatus, "action_queue/status", STATUS_DEPTH)
        self._latency = LatencyListener(node)

    def look(self, now_ns: int) -> None:
        """Take in what has come since the last look, a few seconds ago at most."""
        for message in self._status.take():
            self.history.add_tick(_mark(message), now_ns)
        for breakdown in self._latency.poll():
            self.history.add_chunk(ChunkMark(now_ns, breakdown))

    def find_cameras(self) -> None:
        """Hear cameras that have appeared; to be called now and then."""
        self._latency.find_cameras()

    def close(self) -> None:
        """Leave all topics."""
        self._status.close()
        self._latency.close()


def _mark(status: QueueStatus) -> TickMark:
    return TickMark(
        tick_ns=status.tick_ns,
        state=status.state,
        cause=status.cause,
        length=status.length,
        chunk_size=status.chunk_size,
        threshold=status.threshold,
        action_age=status.action_age,
        tick_hz=status.tick_hz,
        round_trip_last=status.round_trip_last,
        round_trip_p95=status.round_trip_p95,
        starved_ticks=status.starved_ticks,
    )
