# SPDX-License-Identifier: Apache-2.0
"""The policies that a server has loaded, within a bound of memory: where the next one goes, and which gives way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from so101_node.protocol import PolicyState

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.policy_slot import PolicySlot
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.policy import PolicySource

MB: Final = 1_000_000

IN_USE_S: Final = 30.0
"""A robot that asked within this time keeps its policy; another robot's spec cannot replace it.

So does one that made the server load it, for this long after it became ready.
"""

Users = Mapping[int, str]
"""The places whose policies are in use, and the name of a robot that uses each."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where a policy can be loaded.

    Attributes:
        place: None where there is none.
        gives_way: the places whose policies are unloaded for it.
        reason: why there is none, one line.
    """

    place: int | None
    gives_way: tuple[int, ...] = ()
    reason: str = ""


class PolicyCache:
    """One slot for each place; place 0 is the only one where `max_policies_mb` is 0. Not thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._bound_bytes = config.max_policies_mb * MB
        self._known_bytes: dict[PolicySource, int] = {}
        self.slots: dict[int, PolicySlot] = {0: PolicySlot(config)}

    def find(self, path: str, prefer: int = 0) -> PolicySlot | None:
        """The slot whose policy, loaded or being loaded, a spec's path means; at `prefer` if that is one of them."""
        meant = [slot for slot in self.slots.values() if slot.is_meant(path)]
        return next((slot for slot in meant if slot.place == prefer), meant[0] if meant else None)

    def room(self, source: PolicySource, users: Users) -> Room:
        """Where to load a policy whose size is known only if it was loaded before.

        Those that nobody uses give way, the one that was used longest ago first, as far as that is needed.
        """
        if not self._bound_bytes:
            return Room(None, reason=self._in_use(0, users)) if 0 in users else Room(0)
        needed = max(1, self._known_bytes.get(source, 0))
        gives_way = self._giving_way(self._idle(users), needed)
        if self._held_bytes(gives_way) + needed > self._bound_bytes and self._held(gives_way):
            return Room(None, reason=self._full(self._known_bytes.get(source, 0), gives_way, users))
        return Room(self._free_place(gives_way, users), tuple(gives_way))

    def take_in(self, place: int, users: Users) -> Room:
        """The policy at this place is loaded and has told its size: may it stay, and which give way to it?"""
        slot = self.slots[place]
        self._known_bytes[slot.source] = self._size_bytes(slot)
        gives_way = self._giving_way([other for other in self._idle(users) if other != place], 0)
        others = self._held([*gives_way, place])
        if others and self._held_bytes(gives_way) > self._bound_bytes:
            return Room(None, reason=self._full(self._size_bytes(slot), [*gives_way, place], users))
        return Room(place, tuple(gives_way))

    def unused(self, had: Collection[int], now_ns: int) -> list[PolicySlot]:
        """The slots whose time is over; call it every few tens of milliseconds.

        Args:
            had: places of the policies that robots have which are here.
            now_ns: the server's monotonic clock.
        """
        over = []
        for slot in self.slots.values():
            if slot.place in had or slot.state is not PolicyState.READY:
                slot.unused_since_ns = None
            elif slot.was_had:
                slot.unused_since_ns = now_ns if slot.unused_since_ns is None else slot.unused_since_ns
                if now_ns - slot.unused_since_ns >= self._config.unload_after_s * NS_PER_S:
                    over.append(slot)
        return over

    def slot_at(self, place: int) -> PolicySlot:
        """The slot of a place, made where there is none yet."""
        return self.slots.setdefault(place, PolicySlot(self._config, place))

    def describe(self) -> tuple[str, ...]:
        """Every policy that is loaded or being loaded, and its size."""
        return tuple(
            f"{slot.source.label} ({_megabytes(slot.memory_bytes) if slot.policy else 'loading'})"
            for slot in self.slots.values()
            if slot.is_held
        )

    def _held(self, without: Collection[int] = ()) -> list[PolicySlot]:
        return [slot for slot in self.slots.values() if slot.is_held and slot.place not in without]

    def _held_bytes(self, without: Collection[int]) -> int:
        return sum(self._size_bytes(slot) for slot in self._held(without))

    def _size_bytes(self, slot: PolicySlot) -> int:
        """One that does not tell its size takes all: nothing is known of what would fit beside it."""
        if slot.policy is None:
            return self._known_bytes.get(slot.source, 0)
        return slot.memory_bytes or self._bound_bytes

    def _idle(self, users: Users) -> list[int]:
        idle = [slot for slot in self._held() if slot.place not in users and slot.state is PolicyState.READY]
        return [slot.place for slot in sorted(idle, key=lambda slot: slot.used_ns)]

    def _giving_way(self, idle: list[int], needed_bytes: int) -> list[int]:
        """As many of the idle places, from the first on, as must be unloaded for so many further bytes."""
        gives_way: list[int] = []
        for place in idle:
            if self._held_bytes(gives_way) + needed_bytes <= self._bound_bytes:
                break
            gives_way.append(place)
        return gives_way

    def _free_place(self, gives_way: list[int], users: Users) -> int:
        free = [place for place, slot in self.slots.items() if not slot.is_held and place not in users]
        return min([*gives_way, *free], default=len(self.slots))

    def _in_use(self, place: int, users: Users) -> str:
        label, user = self.slots[place].source.label, users[place] or "/"
        return f"'{label}' is in use by robot {user} until it has not asked for {IN_USE_S:g} s"

    def _full(self, needed_bytes: int, without: list[int], users: Users) -> str:
        """Why there is no room for a policy; 0 bytes: nobody knows yet what it needs."""
        needs = f"it needs {_megabytes(needed_bytes)}; " if needed_bytes else ""
        held = [slot.place for slot in self._held(without)]
        used = ", ".join(self._in_use(place, users) for place in held if place in users) or "others are being loaded"
        bound = f"max_policies_mb is {self._config.max_policies_mb}"
        return f"{needs}{bound}, of which {_megabytes(self._held_bytes(without))} are taken: {used}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / MB:.3g} MB" if size_bytes else "size not known"
