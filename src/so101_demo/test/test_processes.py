# SPDX-License-Identifier: Apache-2.0
"""The processes that the demo starts itself."""

from pathlib import Path

import pytest
from so101_demo.execution_modes import MODES, beside_a_correction, queue_parameters
from so101_demo.processes import WATCHERS, _tool, with_late_wire, with_parameters
from so101_launch_runner.find_file import find_launch_file

from so101_launch_runner import ProcessSpec, resolve


@pytest.mark.parametrize("executable", sorted(WATCHERS))
def test_each_node_beside_the_chain_is_an_installed_program(executable: str) -> None:
    """Without one the demo runs on and only its page, film or bag is missing."""
    spec = _tool(executable, {})
    assert spec.package == WATCHERS[executable]
    assert Path(spec.program).is_file()


def chain() -> list[ProcessSpec]:
    return resolve(find_launch_file("sim.launch.xml"), {"checkpoint": "/policy"})


def test_a_late_wire_stands_between_the_server_and_the_queue_and_nothing_else_changes() -> None:
    specs = with_late_wire(chain(), 0.8)
    remapped = {spec.name: spec.remappings for spec in specs if spec.remappings}
    assert remapped == {"policy_server": (("action_chunk", "late_wire/action_chunk"),)}
    assert specs[-1].name == "late_wire" and specs[-1].parameters == ({"delay_s": 0.8},)
    assert [spec.name for spec in specs[:-1]] == [spec.name for spec in chain()]


def test_more_requests_under_way_are_the_queues_last_word() -> None:
    specs = with_parameters(chain(), "action_queue", {"max_requests_in_flight": 3})
    changed = [new for new, old in zip(specs, chain(), strict=True) if len(new.parameters) != len(old.parameters)]
    assert [(spec.name, spec.parameters[-1]) for spec in changed] == [("action_queue", {"max_requests_in_flight": 3})]


def test_beside_a_correction_an_arm_that_has_waited_begins_with_the_first_row() -> None:
    assert queue_parameters("belt_changing", MODES[0])["alignment"] == "elapsed_time"
    assert beside_a_correction(MODES[0], 0.4) == {"chunk_size_threshold": 1.0, "alignment": "executed_steps"}
    for compared in MODES[1:]:
        assert "alignment" not in beside_a_correction(compared, 0.4), "what is compared with stays what it is"


def test_beside_a_correction_a_policy_that_is_quick_has_time_to_begin_something() -> None:
    thresholds = [beside_a_correction(MODES[0], delay_s)["chunk_size_threshold"] for delay_s in (0.0, 0.1, 0.17, 0.4)]
    assert thresholds == [0.9, 0.9, 1.0, 1.0]
