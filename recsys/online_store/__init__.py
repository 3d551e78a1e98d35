"""The online store: what the speed layer writes and the serving layer reads.

Comes in: a shard read, a set of effects guarded by the fence, cached lists. Goes out: state and lists.
Holds: a commit is all or nothing and happens only if the fence still is what it was; adapters are `RedisStore`
(`redis.py`) and `MemoryStore` (`memory.py`, for tests), and one contract suite runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recsys.keys import Topology

ID_DIGEST_BYTES = 12


@dataclass(frozen=True, slots=True)
class ShardRead:
    """What a fold needs to know of its shard before it runs.

    Attributes:
        ids: One `ID_DIGEST_BYTES` digest per accepted event, in order.
        bucket: The current dedupe bucket; the one before it is looked at too.
        touched: user id → the courses the events touch.
        courses: All courses the events touch, whose trending sums are needed.
    """

    ids: Sequence[bytes]
    bucket: int
    touched: Mapping[str, Sequence[str]]
    courses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ShardState:
    """The state of a shard at one instant.

    Attributes:
        fence: Last applied offset; None before the first commit.
        seen: For each id asked for, whether it is a duplicate.
        engagement: user id → stored sums, aligned with `ShardRead.touched[user]` (0.0 where absent).
        bots: user id → the detector's packed features, "" where absent.
        trend: Stored trending sums of the shard, aligned with `ShardRead.courses` (0.0 where absent).
    """

    fence: int | None
    seen: Sequence[bool]
    engagement: Mapping[str, Sequence[float]]
    bots: Mapping[str, str]
    trend: Sequence[float] = ()


@dataclass(slots=True)
class Effects:
    """What one chunk changes. Applied in one atomic step, or not at all.

    Attributes:
        engagement: user id → {course id: new stored sum}; overwrites.
        done: user id → courses never to recommend again; adds.
        trend: course id → the shard's new trending sum; overwrites.
        bots: user id → {field: value} of the detector's hash; overwrites.
        ids: The digests of the events that counted.
        bucket: The dedupe bucket they go to; the one two before it is dropped.
        counts: Counter → records, added to the shard's totals.
    """

    engagement: dict[str, dict[str, float]] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    trend: dict[str, float] = field(default_factory=dict)
    bots: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: list[bytes] = field(default_factory=list)
    bucket: int = 0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a partition is not read any further until an operator says so.

    Attributes:
        offset: The first record that was not applied.
        reason: For a person.
        at_ms: When, ms since 1970 UTC.
        log_start: Where the log began then, if records from `offset` on were deleted by retention; else None.
    """

    offset: int
    reason: str
    at_ms: int
    log_start: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """What is remembered of a shard so that a bad record stops neither its partition nor the dead letters' use.

    Attributes:
        starts: Writers that began at the present fence, this one included; more than one means the others died there.
        suspect: The record last begun on its own; None where none was.
        stop: Set while the partition stands still.
        refusals_until: Refused records before this offset are passed whatever their share: the operator's word.
        expired_until: Records before this offset are passed if retention deleted them: the operator's word.
        condemned: Offsets of records that ended workers and became dead letters unread.
        rebuilt_until: Records before this offset were folded by a rebuild, those behind it by workers.
    """

    starts: int = 0
    suspect: int | None = None
    stop: Stop | None = None
    refusals_until: int = 0
    expired_until: int = 0
    condemned: tuple[int, ...] = ()
    rebuilt_until: int = 0


@dataclass(frozen=True, slots=True)
class CachedTop:
    """A cached top-N.

    Attributes:
        user_id: Whose list this is; a reader checks it against whom it asked for.
        model_version: The bundle that ranked it.
        computed_at_ms: When, ms since 1970 UTC.
        course_ids: Best first.
        scores: float, aligned with `course_ids`, non-increasing.
    """

    user_id: str
    model_version: str
    computed_at_ms: int
    course_ids: Sequence[str]
    scores: Sequence[float]


@dataclass(frozen=True, slots=True)
class UserState:
    """What a ranking needs to know of a learner: stored engagement sums and the done set."""

    engagement: Mapping[str, float]
    done: frozenset[str]


@dataclass(frozen=True, slots=True)
class ModelPointer:
    """Which bundle is in use.

    Attributes:
        version: The bundle's version.
        path: Its folder, as the publisher saw it.
        published_at_ms: When, ms since 1970 UTC.
    """

    version: str
    path: str
    published_at_ms: int


@dataclass(frozen=True, slots=True)
class Trending:
    """The merged trending list: scores decayed to `computed_at_ms`, best first."""

    computed_at_ms: int
    course_ids: tuple[str, ...]
    scores: tuple[float, ...]


class OnlineStore(Protocol):
    """Everything the rooms ask of Redis. Methods raise `ServiceUnavailable` when it does not answer."""

    async def read_shard(self, shard: int, group: str, request: ShardRead) -> ShardState:
        """The fence and all state a fold needs, in one round trip."""
        ...

    async def fence(self, shard: int, group: str) -> int | None:
        """The last applied offset of the shard's partition."""
        ...

    async def commit(
        self, shard: int, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        """Applies the effects and moves the fence in one atomic step.

        Returns:
            False, with nothing changed, if the fence is not `expected_fence` any more.
        """
        ...

    async def begin(self, shard: int, group: str) -> tuple[int | None, Guard]:
        """The fence and the guard as a writer begins; counts it among the starts at this fence."""
        ...

    async def end(self, shard: int, group: str) -> None:
        """A writer ended in order: it is no longer counted among the starts."""
        ...

    async def suspect(self, shard: int, group: str, offset: int) -> int:
        """Remembers that a record is begun on its own; returns how often it was, this time included."""
        ...

    async def condemn(self, shard: int, group: str, offset: int) -> None:
        """Remembers a record that ends workers, so that a rebuild leaves it unread too."""
        ...

    async def set_rebuilt_until(self, shard: int, group: str, offset: int) -> None:
        """Remembers up to where a rebuild filled a shard."""
        ...

    async def stop_partition(self, shard: int, group: str, stop: Stop) -> None:
        """Remembers that the partition stands still."""
        ...

    async def resume_partition(
        self, shard: int, group: str, *, refusals_until: int | None = None, expired_until: int | None = None
    ) -> None:
        """The operator's word: the partition goes on. None leaves what was said earlier.

        Args:
            shard: The shard.
            group: Consumer group.
            refusals_until: Refused records before this offset are passed.
            expired_until: Records before this offset are passed if retention deleted them.
        """
        ...

    async def guard(self, shard: int, group: str) -> Guard:
        """The guard as it is."""
        ...

    async def dirty_users(self, shard: int, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        """Up to `limit` users whose cached top-N is out of date, with their marks: longest waiting or newest first."""
        ...

    async def user_states(self, shard: int, user_ids: Sequence[str]) -> Sequence[UserState]:
        """Engagement and done set of each user, aligned with `user_ids`."""
        ...

    async def write_tops(
        self, shard: int, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> None:
        """Writes cached lists; clears each user's dirty mark if it still is the one given.

        Args:
            shard: The shard.
            tops: Lists, each with the mark it was computed for (None: no mark).
            only_if_marked: Write a list only where its mark still stands, so that a slow batch job never replaces a
                fresher list.
        """
        ...

    async def top(self, shard: int, user_id: str) -> tuple[CachedTop | None, frozenset[str]]:
        """The cached top-N and the done set, in one round trip. A list that names another user is not returned."""
        ...

    async def mark_all_dirty(self, shard: int) -> int:
        """Marks every user with engagement for refresh (a new model was published); returns how many."""
        ...

    async def trend(self, shard: int, limit: int) -> Mapping[str, float]:
        """The highest stored trending sums of the shard, best first."""
        ...

    async def write_trending(self, trending: Trending) -> None:
        """Replaces the merged trending list."""
        ...

    async def trending(self) -> Trending | None:
        """The merged trending list, None before it was first written."""
        ...

    async def model(self) -> ModelPointer | None:
        """The model in use, None before one was published."""
        ...

    async def restore_model(self, pointer: ModelPointer) -> None:
        """Writes the pointer if there is none (Redis lost it); its bundle is the one in use."""
        ...

    async def publish_model(self, pointer: ModelPointer) -> None:
        """Moves the pointer; the pointer it replaces becomes `model:previous`."""
        ...

    async def topology(self) -> Topology | None:
        """The shards in use, None before it was written."""
        ...

    async def establish_topology(self, topology: Topology) -> Topology:
        """Writes the topology if none is there; returns the one in force."""
        ...

    async def switch_topology(self, before: Topology | None, topology: Topology) -> bool:
        """Moves to the shards of another generation if the topology still is `before`; returns whether it did."""
        ...

    async def drop_shard(self, shard: int) -> None:
        """Deletes every key of a shard that is not in use any more."""
        ...

    def engagement(self, shard: int) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        """Every user of a shard with the stored engagement sums."""
        ...

    async def counts(self, shard: int) -> Mapping[str, int]:
        """Records accepted, duplicate, refused, rerouted and expired so far, moved with the fence."""
        ...

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:
        """Claims or renews a worker id for `ttl_ms`; False while another token holds it."""
        ...

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        """Gives a worker id back if this token holds it."""
        ...

    async def ping(self) -> None:
        """Returns if the store answers."""
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...
