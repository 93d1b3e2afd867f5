# SPDX-License-Identifier: Apache-2.0
"""The way of one chunk, from the message to the rows ahead, enters no module twice."""

import sys
from array import array
from types import FrameType
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.decisions import ChunkDecision
from so101_action_queue.core.intake import ChunkIntake
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_action_queue.translation import chunk_from
from so101_msgs.msg import ActionChunk
from so101_node.protocol import ChunkStatus, ChunkVerdict

PACKAGE = "so101_action_queue."
# Values and arithmetic on them, not stations: `Bounds.clip` is used wherever rows are made.
VALUES = {PACKAGE + "core.inputs", PACKAGE + "core.decisions", PACKAGE + "core.causes", PACKAGE + "errors"}


class Entries:
    """Modules of the package in the order in which calls enter them from another one.

    Up to the moment at which the intake is done with a chunk: what the journal then reads for its log is not its way.
    """

    def __init__(self) -> None:
        self.modules: list[str] = []

    def __enter__(self) -> "Entries":
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is ChunkIntake.take.__code__:
            sys.setprofile(None)
        if event != "call":
            return
        module, caller = _station(frame), frame.f_back
        while caller is not None and _station(caller) == "":
            caller = caller.f_back  # through values and other packages
        if module and (caller is None or _station(caller) != module):
            self.modules.append(module.removeprefix(PACKAGE))


def _station(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", ""))
    constructs = frame.f_code.co_filename.startswith("<") or frame.f_code.co_name == "__post_init__"  # a dataclass
    return name if name.startswith(PACKAGE) and name not in VALUES and not constructs else ""


def session(**settings: Any) -> VirtualSession:
    """A session with a request outstanding and rows ahead, which no chunk has answered yet."""
    chosen = QueueSettings(joint_names=("pan", "lift"), cameras=(), **settings)
    made = VirtualSession(chosen, lambda request: np.zeros((50, 2)))
    made.run(0.3)
    made.start()
    made.run(1.0)
    made.link = VirtualLink(uplink_s=lambda request_id: None)
    count = len(made.trace.requests)
    while len(made.trace.requests) == count:
        made.run(0.04)
    return made


def message(made: VirtualSession, **changes: Any) -> ActionChunk:
    request = made.trace.requests[-1]
    whole = {
        "session": request.session,
        "request_id": request.request_id,
        "spec_id": request.spec_id,
        "step": request.step,
        "server_id": made.server.server_id,
        "server_name": "virtual",
        "period": 1 / 30,
        "joint_names": ["pan", "lift"],
        "rows": 50,
        "positions": array("f", [0.1] * 100),
    }
    return ActionChunk(**{**whole, **changes})


def way(made: VirtualSession, chunk: ActionChunk) -> tuple[list[str], ChunkDecision]:
    with Entries() as entries:
        decision = made.journal.take_chunk(made.now_ns, chunk_from(chunk), chunk)
    return entries.modules, decision


@pytest.mark.parametrize("name", ["weighted_average", "temporal_ensemble", "crossfade", "latest_only"])
def test_a_good_chunk_goes_straight_to_the_rows_ahead(name: str) -> None:
    made = session(aggregate_fn_name=name)
    entered, decision = way(made, message(made))
    assert decision.verdict is ChunkVerdict.ACCEPTED
    assert made.journal.core.length == 50 - decision.rows_trimmed
    assert entered == [
        "translation",
        "record.journal",
        "core.queue_core",
        "core.intake",
        "core.execution",
        "core.blending",
        "core.aggregation",
        "core.requests",
        "core.request_rules",
        "core.under_way",
    ]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"session": 5}, ChunkVerdict.REJECTED_FOREIGN),
        ({"rows": 3}, ChunkVerdict.REJECTED_SHAPE),
        ({"positions": array("f", [float("nan")] * 100)}, ChunkVerdict.REJECTED_NOT_FINITE),
        ({"positions": array("f", [9.0] * 100)}, ChunkVerdict.REJECTED_IMPLAUSIBLE),
        ({"status": int(ChunkStatus.POLICY_ERROR)}, ChunkVerdict.ERROR_ANSWER),
    ],
)
def test_a_chunk_that_is_dropped_enters_no_module_twice_either(changes: dict[str, Any], verdict: ChunkVerdict) -> None:
    made = session()
    entered, decision = way(made, message(made, **changes))
    assert decision.verdict is verdict
    assert len(entered) == len(set(entered))
    assert not {"core.execution", "core.blending"} & set(entered)


def test_the_profile_sees_a_module_that_is_entered_twice() -> None:
    made = session()
    with Entries() as entries:
        chunk_from(message(made))
        chunk_from(message(made))
    assert entries.modules == ["translation", "translation"]
