"""The port of what all processes agree on: model, topology and its owner, worker ids; and of the connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from recsys.keys import Topology
from recsys.online_store.durability import Durability
from recsys.online_store.pointer import ModelPointer
from recsys.owner import StateOwner


class Control(Protocol):
    """What all processes agree on."""

    async def model(self) -> ModelPointer | None:
        """The published model, None before one was published.

        Raises:
            UnreadableState: The value is corrupt, or a newer release wrote it.
        """
        ...

    async def previous_model(self) -> ModelPointer | None:
        """The model published before it; raises as `model`."""
        ...

    async def restore_model(self, pointer: ModelPointer) -> None:
        """Writes the pointer if there is none (Redis lost it); its bundle is the one in use."""
        ...

    async def publish_model(
        self, pointer: ModelPointer, *, replacing: ModelPointer | None, over_unreadable: bool = False
    ) -> bool:
        """Moves the pointer in one atomic step; the pointer it replaces becomes the previous one in that step.

        Args:
            pointer: The new publication; no earlier one has its version and time.
            replacing: What the caller takes to be published. A pointer that Redis has lost may always be replaced.
            over_unreadable: Replace a value that cannot be read, too.

        Returns:
            False, with nothing changed, where another model is published than `replacing`.

        Raises:
            UnreadableState: As `model`, unless `over_unreadable`.
        """
        ...

    async def topology(self) -> Topology | None:
        """The shards in use, None before it was written."""
        ...

    async def establish_topology(self, topology: Topology, owner: StateOwner | None = None) -> Topology:
        """Writes the topology, and whose the state is, if none is there; returns the topology in force."""
        ...

    async def owner(self) -> StateOwner | None:
        """Whose the state is; None where nothing says it: no topology was written, or an earlier release wrote it."""
        ...

    async def claim_state(self, before: StateOwner | None, owner: StateOwner) -> bool:
        """Writes whose the state is beside the topology, if it still says `before`; returns whether it did."""
        ...

    async def switch_topology(
        self, before: Topology | None, topology: Topology, owner: StateOwner | None = None
    ) -> bool:
        """Moves to the shards of another generation if the topology still is `before`; returns whether it did.

        They were folded by `owner` then; None leaves that open.

        A value that cannot be read is as if there was none (`before` is None), unless a newer release wrote it.
        """
        ...

    async def generations(self) -> Sequence[int]:
        """The generations of which a shard has a fence, in ascending order. Walks over all keys."""
        ...

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:
        """Claims or renews a worker id for `ttl_ms`; False while another token holds it."""
        ...

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        """Gives a worker id back if this token holds it."""
        ...

    async def durability(self) -> Durability:
        """Whether the store keeps what it was given; what it does not tell is None."""
        ...

    async def rewrite_log(self, run_id: str) -> bool:
        """Has the server write its append-only file anew, once after each of its starts; it does so in the background.

        A power cut may leave the first part of a commit's transaction in the file, and a later start applies it.

        Args:
            run_id: Of `durability`.

        Returns:
            Whether it was not done before.

        Raises:
            ServiceUnavailable: The store does not answer.
            UnreadableState: The right to BGREWRITEAOF is missing.
        """
        ...

    async def ping(self) -> None:
        """Returns if the store answers."""
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...
