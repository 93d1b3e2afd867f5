# SPDX-License-Identifier: Apache-2.0
"""Values that a node was given and does not take, because a later section or file gives another one.

Layers of files are how ROS is configured, and a section for all nodes before one for a single node is a default: that
is said in passing. A section for all nodes that comes after the node's own one, in the same file, is probably meant the
other way round.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from so101_node.parameters.files import Section


@dataclass(frozen=True, slots=True)
class Findings:
    """Lines about values that are not taken: `surprising` ones, and those of layers that do as layers do."""

    surprising: tuple[str, ...]
    usual: tuple[str, ...]


def look(full_name: str, keys: Collection[str], sections: Sequence[Section]) -> Findings:
    """Compare what the sections that reach node `full_name` say about its parameters `keys`; the last one wins.

    Of a `-p` that wins nothing is said: it was typed for that.
    """
    mine = [section for section in sections if section.reaches(full_name)]
    surprising, usual = [], []
    for key in keys:
        given = [section for section in mine if key in section.keys]
        if len(given) < 2 or not given[-1].file:
            continue
        taken = given[-1]
        for other in given[:-1]:
            if other.values[key] == taken.values[key]:
                continue
            line = (
                f"{key} is {taken.values[key]} ({taken.place(key)}), not {other.values[key]} ({other.place(key)}):"
                " the last one counts"
            )
            if not other.file:
                surprising.append(f"{line}; write -p behind --params-file if that is not meant")
            elif other.file == taken.file and other.names_a_node and not taken.names_a_node:
                surprising.append(f"{line}; put section {taken.pattern} before {other.pattern} if that is not meant")
            else:
                usual.append(line)
    return Findings(tuple(surprising), tuple(usual))
