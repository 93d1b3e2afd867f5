# SPDX-License-Identifier: Apache-2.0
"""The page about states is what the code does."""

from pathlib import Path

from so101_node.protocol import QueueState
from state_tables import document, queue_in

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "states.md"
RENEW = "./so101 ros python docs/generators/state_tables.py > docs/reference/states.md"


def test_every_state_is_reached() -> None:
    assert [queue_in(state).journal.core.state for state in QueueState] == list(QueueState)


def test_the_page_about_states_is_current() -> None:
    said = document()
    assert said == PAGE.read_text(encoding="utf-8"), RENEW
