"""The page about states is what the code does."""

from pathlib import Path

import pytest
from so101_action_queue.decisions import QueueState
from so101_driver.gate_values import State
from so101_tools.state_tables import document, gate_in, queue_in

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_every_state_is_reached() -> None:
    assert [gate_in(state).gate.state for state in State] == list(State)
    assert [queue_in(state).journal.core.state for state in QueueState] == list(QueueState)


@pytest.mark.skipif(not PAGE.exists(), reason="installed without the docs")
def test_the_page_about_states_is_current() -> None:
    said = document()
    assert said == PAGE.read_text(encoding="utf-8"), "python -m so101_tools.state_tables > docs/states.md"
