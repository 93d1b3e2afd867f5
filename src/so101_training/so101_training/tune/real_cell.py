# SPDX-License-Identifier: Apache-2.0
"""One cell in real time, the whole chain of the demo with two parameters: `python -m so101_training.tune.real_cell`.

A process of its own for each, because the chain leases a ROS domain for the life of its process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from so101_demo.errors import DemoError
from so101_demo.options import DemoOptions
from so101_demo.panel import PlainDisplay
from so101_demo.processes import Chain
from so101_demo.run import DemoRun, Interrupted, StopRequest

from so101_launch_runner import ProcessSpec


class TunedChain(Chain):
    """The demo's chain with other parameters of the action queue."""

    parameters: ClassVar[dict[str, int | float]] = {}

    def _resolve(self, options: DemoOptions) -> list[ProcessSpec]:
        specs = super()._resolve(options)
        return [
            replace(spec, parameters=(*spec.parameters, self.parameters)) if spec.name == "action_queue" else spec
            for spec in specs
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the episodes of one cell and leave the observer's report."""
    parser = argparse.ArgumentParser(prog="so101 tune --validate")
    parser.add_argument("rows", type=int)
    parser.add_argument("threshold", type=float)
    parser.add_argument("policy_delay_s", type=float)
    parser.add_argument("episodes", type=int)
    parser.add_argument("report", type=Path)
    given = parser.parse_args(arguments)
    TunedChain.parameters = {"actions_per_chunk": given.rows, "chunk_size_threshold": given.threshold}
    options = DemoOptions(
        headless=True,
        task="static",
        policy="act",
        checkpoint=None,
        episodes=given.episodes,
        seed=1,
        policy_delay_s=given.policy_delay_s,
        report=given.report,
        film=None,
    )
    stop = StopRequest()
    stop.install()
    try:
        DemoRun(options, PlainDisplay(), stop, chain=TunedChain).run()
    except DemoError as error:
        print(f"tune: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
