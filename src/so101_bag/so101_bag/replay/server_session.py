# SPDX-License-Identifier: Apache-2.0
"""All requests of a bag to one policy server: one that runs, or one that is started for it."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from so101_msgs.msg import PolicySpec, PolicyStatus

from so101_bag.errors import BagError, ReplayError
from so101_bag.replay.chunk_comparison import ChunkComparison
from so101_bag.replay.exchanges import STATUS, Exchange, exchanges
from so101_bag.replay.options import ReplayOptions
from so101_bag.replay.own_processes import OwnProcesses, policy_server
from so101_bag.replay.server_replay import ServerReplay, describe
from so101_bag.storage.reader import Bag

FIND_TIMEOUT_S = 3.0
RUNNING_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 300.0  # a cold import of torch took 170 s on a machine with ten times as much to do as it can


def compare_all(
    bag: Bag, options: ReplayOptions, into: ChunkComparison, check: Callable[[], None]
) -> dict[str, dict[str, Any]]:
    """Send every request of the bag, and return which policies replied, then and now.

    Raises:
        BagError: the bag lacks what is needed.
        ReplayError: no server, or it refuses.
    """
    in_order = exchanges(bag)
    first = next(in_order, None)
    if first is None:
        raise BagError(f"{bag.folder} holds no request with its chunk: nothing to send to a policy server")
    recorded = _recorded_status(bag)
    with ExitStack() as stack:
        client = _client(stack, bag, options, first, recorded, check)
        wanted = options.limit or None
        for exchange in islice(_again(first, in_order), wanted):
            check()
            client.compare(exchange, into, LOAD_TIMEOUT_S)
        return {"recorded_policy": describe(recorded), "policy": describe(client.status)}


def _again(first: Exchange, rest: Any) -> Any:
    yield first
    yield from rest


def _client(
    stack: ExitStack,
    bag: Bag,
    options: ReplayOptions,
    first: Exchange,
    recorded: PolicyStatus | None,
    check: Callable[[], None],
) -> ServerReplay:
    """Return a client that has heard its server."""
    namespace = options.namespace or ""
    if options.checkpoint is None:
        client = ServerReplay(namespace, check)
        if client.find_server(RUNNING_TIMEOUT_S if options.running else FIND_TIMEOUT_S):
            stack.callback(client.close)
            return client
        client.close()
        if options.running:
            raise ReplayError(
                "no policy_status in this ROS domain and namespace: start a policy server, or name a policy folder "
                "with --checkpoint"
            )
    path = options.checkpoint or _recorded_path(bag, recorded)
    spec = deserialize_message(first.spec, PolicySpec)
    device = options.device or (recorded.device if recorded else "") or "cpu"
    own = stack.enter_context(OwnProcesses([policy_server(path, spec, device)]))

    def both() -> None:
        check()
        own.check()

    client = ServerReplay(namespace, both)
    stack.callback(client.close)
    if not client.find_server(LOAD_TIMEOUT_S):
        raise ReplayError(f"the policy server with {path} does not report within {LOAD_TIMEOUT_S:g} s")
    return client


def _recorded_status(bag: Bag) -> PolicyStatus | None:
    """Return the last status of a READY server in the bag."""
    ready = None
    for received in bag.messages(bag.find(*STATUS)):
        if received.message.state == PolicyStatus.READY:
            ready = received.message
    return ready


def _recorded_path(bag: Bag, recorded: PolicyStatus | None) -> Path:
    path = Path(recorded.path) if recorded is not None and recorded.path else None
    if path is None or not path.is_dir():
        said = "does not name its policy" if path is None else f"was recorded with {path}, which is not here"
        raise ReplayError(f"no policy server runs in this ROS domain, and {bag.folder} {said}: use --checkpoint")
    return path
