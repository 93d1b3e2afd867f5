# SPDX-License-Identifier: Apache-2.0
"""The page of parameters."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from parameter_table import table
from so101_node.parameters import parameter

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "parameters.md"
RENEW = "./so101 ros python docs/generators/parameter_table.py > docs/reference/parameters.md"


@dataclass(frozen=True, slots=True)
class ExampleParameters:
    """One of each kind."""

    fps: float = parameter(30.0, "control rate, Hz", lower=10.0, upper=60.0)
    mode: str = parameter("hold", "hold | <stop>", choices=("hold", "stop"), read_only=False)
    names: list[str] = parameter(["a", "b"], "names")


def test_a_table_shows_type_default_range_and_meaning():
    assert table("example", ExampleParameters).splitlines()[4:] == [
        "| `fps` | float | `30.0` | 10 to 60 | control rate, Hz |",
        "| `mode` | str | `hold` | `hold`, `stop` | hold \\| &lt;stop> (*live*) |",
        "| `names` | list[str] | `[a, b]` |  | names |",
    ]


def test_the_page_in_docs_is_what_the_nodes_declare():
    command = [sys.executable, str(PAGE.parents[1] / "generators" / "parameter_table.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == PAGE.read_text(encoding="utf-8"), RENEW
