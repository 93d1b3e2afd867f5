# SPDX-License-Identifier: Apache-2.0
"""Services of both drivers with one call."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from so101_node.timing import clock
from std_srvs.srv import Trigger

REPLY_S: Final = 2.0
"""A driver that has not replied after this long is said not to have."""


class PairServices:
    """`so101_driver/NAME`, each of which calls the service of that name of both drivers at once.

    Callbacks wait for the drivers' replies as coroutines: the node's one thread goes on meanwhile.
    """

    def __init__(self, node: Node, arms: Sequence[str], refusals: dict[str, Callable[[], str]]) -> None:
        """`refusals`: by service, what says in one line why neither driver is called now, or ""."""
        self._node = node
        self._log: Any = node.get_logger()  # type: ignore[no-untyped-call]
        self._waiting: dict[Future, int] = {}
        # The node's own group runs one callback at a time, and one that waits is running: replies, commands and all
        # else would wait for it.
        group = ReentrantCallbackGroup()
        for name, refusal in refusals.items():
            clients = {
                arm: node.create_client(Trigger, f"{arm}/so101_driver/{name}", callback_group=group) for arm in arms
            }
            respond = self._service(name, clients, refusal)
            node.create_service(Trigger, f"so101_driver/{name}", respond, callback_group=group)

    def watch(self, now_ns: int) -> None:
        """Give up on drivers that do not reply; call often."""
        for future, asked_ns in list(self._waiting.items()):
            if now_ns - asked_ns > REPLY_S * 1e9:
                future.cancel()

    def _service(self, name: str, clients: dict[str, Any], refusal: Callable[[], str]) -> Callable[..., Any]:
        async def respond(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.message = refusal()
            if not response.message:
                replies = await self._ask(clients)
                response.success = all(reply is not None and reply.success for reply in replies.values())
                response.message = "; ".join(
                    f"{arm}: {'no reply' if reply is None else reply.message}" for arm, reply in replies.items()
                )
            self._log.info(f"{name}: {response.message}")
            return response

        return respond

    async def _ask(self, clients: dict[str, Any]) -> dict[str, Trigger.Response | None]:
        """Ask all drivers, then wait; None where one is not there or does not reply."""
        futures = {arm: client.call_async(Trigger.Request()) for arm, client in clients.items() if _is_there(client)}
        self._waiting |= dict.fromkeys(futures.values(), clock.now_ns())
        replies: dict[str, Trigger.Response | None] = dict.fromkeys(clients)
        for arm, future in futures.items():
            replies[arm] = await future
            if future.cancelled():
                clients[arm].remove_pending_request(future)
            del self._waiting[future]
        return replies


def _is_there(client: Any) -> bool:
    return bool(client.service_is_ready())
