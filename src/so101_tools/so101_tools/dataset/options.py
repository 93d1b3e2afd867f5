"""How bags are read."""

from dataclasses import dataclass

from so101_policy_server.units import Units

from so101_tools.bag.reader import Bag
from so101_tools.dataset.bag_streams import BagStreams, read_streams
from so101_tools.dataset.mapping import Mapping


@dataclass(frozen=True, slots=True)
class Options:
    """How bags are read.

    Attributes:
        fps: frames a second.
        units: of the arm's joints in the dataset.
        cameras: those that are wanted; empty: all.
        kept: outcomes of the episodes that are kept; empty: all.
        task: language instruction; None: the recorded one.
        max_gap_s: oldest picture of a frame.
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
        """Read what is not pictures. Raises BagError, DatasetError."""
        return read_streams(bag, self.units, self.cameras, self.mapping, self.fps, self.whole)
