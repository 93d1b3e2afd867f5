# SPDX-License-Identifier: Apache-2.0
"""How bags are read."""

from dataclasses import dataclass

from so101_node.protocol.units import Units

from so101_bag.dataset.bag_streams import BagStreams, read_streams
from so101_bag.dataset.mapping import Mapping
from so101_bag.storage.reader import Bag


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """How bags are read.

    Attributes:
        fps: frames a second.
        units: of the arm's joints in the dataset.
        cameras: those that are wanted; empty: all.
        kept: outcomes of the episodes that are kept; empty: all.
        task: language instruction; None: the recorded one.
        max_gap_s: oldest image of a frame.
        mapping: where things are in the bag.
        whole: make one episode of each bag.
    """

    fps: int
    units: Units
    cameras: tuple[str, ...]
    kept: tuple[str, ...]
    task: str | None
    max_gap_s: float
    mapping: Mapping
    whole: bool

    def streams(self, bag: Bag) -> BagStreams:
        """Read what is not images. Raises BagError, DatasetError."""
        return read_streams(bag, self.units, self.cameras, self.mapping, self.fps, self.whole)
