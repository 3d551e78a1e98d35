"""The ports of the online store: four Protocols, so that a package depends on what it uses and on nothing else.

| port | holds | used by |
|---|---|---|
| `ShardStore` | a shard's state and its fence | the fold, rebuild, `recsys status` |
| `Lists` | cached lists, trending, learners that wait for a list | refresh, publishing, serving |
| `Control` | model pointer, topology, worker ids; the connection | every process |
| `Guards` | what has to outlive a worker: isolation mode, quarantine, stops | worker, rebuild, operator |

Every method raises `ServiceUnavailable` when the store does not answer (a later try may succeed), and `UnreadableState`
when it answers with what no retry mends: a key of another type, a missing right, a value that cannot be read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from recsys.keys import Shard, Topology
from recsys.online_store.durability import Durability
from recsys.online_store.operations import Read
from recsys.online_store.values import (
    AllActivity,
    CachedTop,
    Effects,
    Guard,
    Listed,
    ModelPointer,
    ShardState,
    ShardTrend,
    Stop,
    Trending,
    UserState,
    Waiting,
)
from recsys.owner import StateOwner


class ShardStore(Protocol):
    """The state of one Kafka partition, guarded by its fence."""

    async def read_shard(self, shard: Shard, group: str, reads: Sequence[Read]) -> ShardState:
        """The fence and all state a fold needs, in one round trip.

        Raises:
            ShardDamaged: An earlier commit was applied in part.
        """
        ...

    async def fence(self, shard: Shard, group: str) -> int | None:
        """The last applied offset of the shard's partition."""
        ...

    async def commit(
        self, shard: Shard, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        """Applies the effects and moves the fence in one atomic step.

        Returns:
            False, with nothing changed, if the fence is not `expected_fence` any more.

        Raises:
            UnreadableState: The state cannot be written; nothing was.
            ShardDamaged: The effects were applied in part. Nothing but a rebuild heals the shard.
        """
        ...

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        """Records accepted, unchanged, refused, rerouted and expired so far, moved with the fence."""
        ...

    def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        """Every user of a shard with the stored engagement sums."""
        ...

    async def records(self, shard: Shard, user_id: str) -> Mapping[str, bytes]:
        """A learner's records: course → what `recsys.record.unpack` reads. Rankings read their scores alone."""
        ...

    async def drop_shards(self, shards: Sequence[Shard]) -> None:
        """Deletes every key of shards that are not in use any more."""
        ...

    async def self_test(self, shard: Shard) -> None:
        """Runs every script with every operation on scratch keys of the shard, which are deleted again.

        Raises:
            UnreadableState: A command is refused or unknown, so that a commit would fail; names it.
        """
        ...


class Lists(Protocol):
    """What is shown to learners, and what it is computed from."""

    async def listed(self, shard: Shard, group: str, user_id: str) -> Listed:
        """The learner's cached top-N, what they are done with, and what is known of how fresh the list is.

        One round trip. What cannot be read of the freshness alone (fence, mark, merge) is as if it was not known.

        Args:
            shard: The learner's shard.
            group: Consumer group; names the fence.
            user_id: Whose.
        """
        ...

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        """Engagement and done courses of each user, aligned with `user_ids`."""
        ...

    async def dirty_users(self, shard: Shard, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        """Up to `limit` users whose cached top-N is out of date, with their marks: longest waiting or newest first."""
        ...

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        """Users whose cached top-N is out of date, in one round trip: the `newest` marks and the `oldest`, each ≥ 1."""
        ...

    async def write_tops(
        self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> int:
        """Writes cached lists; clears each user's dirty mark if it still is the one given.

        A list of another model than the published one, as the shard's copy of the pointer has it, is refused in the
        same atomic step and its user's mark stays. Before a copy was written (`sync_publication`) any model's is taken.

        Args:
            shard: The shard.
            tops: Lists, each with the mark it was computed for (None: no mark). A list with a mark is written only
                where one is left, this or a later one: else a worker that lost the shard meanwhile, or stood still,
                would replace a fresher list for good.
            only_if_marked: Write a list only where its own mark still stands: for a slow batch job.

        Returns:
            How many lists were written.
        """
        ...

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        """Brings the shards' copies of the model pointer up to date.

        Returns:
            What is published, and what every one of the copies says; None where nothing is published, or the pointer
            moved again and again meanwhile.

        Raises:
            UnreadableState: The pointer is none that this release can read; the copies stay.
        """
        ...

    async def drop_outdated_lists(self, shard: Shard) -> int:
        """Deletes every list of another model than the shard's copy of the pointer names, and marks its learner.

        Goes through the learners in slices, each one atomic step. Returns how many lists it deleted.
        """
        ...

    async def trend(self, shard: Shard, limit: int, *, known: Callable[[str], bool] | None = None) -> ShardTrend:
        """The highest stored trending sums of the shard, read in pages.

        Args:
            shard: The shard.
            limit: Courses returned at most.
            known: Whether a catalogue knows a course; others are left out. None knows all.
        """
        ...

    async def write_trending(self, trending: Trending) -> None:
        """Replaces the merged trending list."""
        ...

    async def trending(self) -> Trending | None:
        """The merged trending list, None before it was first written."""
        ...

    async def activity(self, shard: Shard) -> Mapping[str, bytes]:
        """Course → packed activity in a shard (`recsys.course_sums.activity`), read in pages."""
        ...

    async def write_all_activity(self, merged: AllActivity) -> None:
        """Replaces the merged activity of courses."""
        ...

    async def all_activity(self) -> AllActivity | None:
        """The merged activity of courses; None before it was first written.

        Raises:
            UnreadableState: The value is none, or of another release's form.
        """
        ...


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


class Guards(Protocol):
    """What is remembered of a shard's partition so that a bad record stops neither the partition nor its workers."""

    async def begin(self, shard: Shard, group: str) -> tuple[int | None, Guard]:
        """The fence and the guard as a writer begins; counts it among the starts at this fence."""
        ...

    async def end(self, shard: Shard, group: str) -> None:
        """A writer ended in order: it is no longer counted among the starts."""
        ...

    async def count_attempt(self, shard: Shard, group: str, offset: int) -> int:
        """Remembers that a record is begun on its own; returns how often it was, this time included."""
        ...

    async def quarantine(self, shard: Shard, group: str, offset: int) -> None:
        """Remembers a poison record, one that ends workers, so that a rebuild leaves it unread too."""
        ...

    async def set_rebuilt_until(self, shard: Shard, group: str, offset: int) -> None:
        """Remembers up to where records of the partition lie as a lower partition count put them."""
        ...

    async def stop_partition(self, shard: Shard, group: str, stop: Stop) -> None:
        """Remembers that the partition is stopped."""
        ...

    async def resume_partition(
        self, shard: Shard, group: str, *, refusals_until: int | None = None, expired_until: int | None = None
    ) -> None:
        """An operator lets the partition go on. None leaves an earlier override.

        Args:
            shard: The shard.
            group: Consumer group.
            refusals_until: Refused records before this offset are passed.
            expired_until: Records before this offset are passed if retention deleted them.
        """
        ...

    async def guard(self, shard: Shard, group: str) -> Guard:
        """The guard as it is."""
        ...


class OnlineStore(ShardStore, Lists, Control, Guards, Protocol):
    """All four ports: what a composition root makes and hands out."""
