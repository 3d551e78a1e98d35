"""The plain values that the ports of the online store take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.handed_on import HandedOn
from recsys.keys import STATE_FORMAT, KeySpace, Shard, key_under
from recsys.online_store.operations import Operation


@dataclass(frozen=True, slots=True)
class ShardState:
    """What was asked of a shard, at one instant.

    Attributes:
        shard: Which.
        fence: Last applied offset; None before the first commit.
        values: State → owner → {field: value}; None where absent.
        sizes: State → owner → fields of its hash, of owners that lack a field that was asked for.
        whole: State → owner → every field of its hash.
        texts: State → {owner: value}; "" where absent.
        tag: What the shard's keys begin with; default as under the default prefix.
        derived: State → what a projection made of what was read, so that it is made once.
    """

    shard: Shard
    fence: int | None
    values: dict[str, dict[str, Mapping[str, bytes | None]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    whole: dict[str, dict[str, Mapping[str, bytes]]] = field(default_factory=dict)
    texts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    tag: str = ""
    derived: dict[str, Any] = field(default_factory=dict, compare=False)

    def add(self, more: ShardState) -> None:
        """Takes over what was read later, under the same fence."""
        for state, owners in more.values.items():
            held = self.values.setdefault(state, {})
            for owner, found in owners.items():
                held[owner] = {**held.get(owner, {}), **found}
        for state, hashes in more.whole.items():
            self.whole.setdefault(state, {}).update(hashes)

    def key(self, state: str, owner: str = "") -> str:
        """The key of a state, to be named in an error."""
        return key_under(self.tag or KeySpace().tag(self.shard), state, owner)


@dataclass(slots=True)
class Effects:
    """What one batch changes. Applied in one atomic step, or not at all.

    Attributes:
        operations: In the order in which they are applied.
        counts: Outcome → records of the batch.
        users: How many learners' state changes.
        handed_on: What is to be produced for other learners, and acknowledged, before this is applied.
    """

    operations: Sequence[Operation] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    handed_on: Sequence[HandedOn] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a partition is not read any further until an operator says so.

    Attributes:
        offset: The first record that was not applied.
        reason: For a person.
        at_ms: When, ms since 1970 UTC.
        log_start: Where the log began then, if records from `offset` on were deleted by retention; else None.
        unreadable: The key in Redis that no retry mends, if that is why; `recsys rebuild` heals it. Else None.
    """

    offset: int
    reason: str
    at_ms: int
    log_start: int | None = None
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """What is remembered of a shard so that a bad record stops neither its partition nor the dead letters' use.

    Attributes:
        starts: Writers that began at the present fence, this one included; more than one means the others died there.
        attempted: The record last begun in isolation mode; None where none was.
        stop: Set while the partition stands still.
        refusals_until: Refused records before this offset are passed whatever their share: the operator's override.
        expired_until: Records before this offset are passed if retention deleted them: the operator's override.
        quarantined: Offsets of poison records: they ended workers and became dead letters unread.
        rebuilt_until: Records before this offset lie where a lower partition count put them; a rebuild applies them
            where they lie. (Up to release 31e9a26: all that a rebuild folded.)
    """

    starts: int = 0
    attempted: int | None = None
    stop: Stop | None = None
    refusals_until: int = 0
    expired_until: int = 0
    quarantined: tuple[int, ...] = ()
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
        included_offset: Every record of the learner's partition up to and including this offset is in the state that
            the list was ranked from; None where its writer did not say (a retrain, an earlier release).
    """

    user_id: str
    model_version: str
    computed_at_ms: int
    course_ids: Sequence[str]
    scores: Sequence[float]
    included_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What serving reads of a learner at once.

    Attributes:
        top: The cached list; None where there is none, or one that names another learner.
        done: As `UserState.done`.
        fence: Last applied offset of the learner's partition, read before everything else; None where it is not known.
        marked: Whether the list is out of date.
        merged: Whether the learner was merged into another, in whose partition later events are applied.
    """

    top: CachedTop | None
    done: Mapping[str, int]
    fence: int | None = None
    marked: bool = False
    merged: bool = False

    @property
    def included_offset(self) -> int | None:
        """The highest offset up to which all records of the learner's partition are in the list; None if not known.

        A list that is not marked is that of the state at the fence: a commit that changes a learner marks them, and
        only a list ranked from state read after that mark takes it away.
        """
        if self.top is None or self.merged:
            return None
        known = [self.top.included_offset, None if self.marked else self.fence]
        return max((offset for offset in known if offset is not None), default=None)


@dataclass(frozen=True, slots=True)
class UserState:
    """What a ranking needs to know of a learner.

    Attributes:
        engagement: Course → stored sum.
        done: Course → until when it is not to be recommended, ms since 1970 UTC; one whose time has passed was given
            back (`recsys.exclusion`).
    """

    engagement: Mapping[str, float]
    done: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Some of the learners whose cached list is out of date.

    Attributes:
        users: Learners with their marks, each once.
        count: How many wait in all.
        oldest_mark: The mark of the learner who waits longest; None where nobody waits.
    """

    users: Sequence[tuple[str, int]]
    count: int
    oldest_mark: int | None


@dataclass(frozen=True, slots=True)
class ShardTrend:
    """A shard's part of trending.

    Attributes:
        sums: Course id → stored sum; best first.
        unjoined: Courses left out because no catalogue knows them.
    """

    sums: Mapping[str, float]
    unjoined: int = 0


@dataclass(frozen=True, slots=True)
class Trending:
    """The merged trending list, best first.

    Attributes:
        computed_at_ms: When, ms since 1970 UTC.
        course_ids: Best first.
        scores: Aligned with `course_ids`, relative: 1 is the top. (Earlier workers wrote them decayed to
            `computed_at_ms`, which can be as little as 1e-56.)
        unjoined: Courses that learners touched and no catalogue knows: left out, and back once one does.
    """

    computed_at_ms: int
    course_ids: tuple[str, ...]
    scores: tuple[float, ...]
    unjoined: int = 0


@dataclass(frozen=True, slots=True)
class AllActivity:
    """The activity of courses over all shards, merged.

    Attributes:
        computed_at_ms: When, ms since 1970 UTC.
        course_ids: Courses.
        vectors: The packed vector of each, one after the other (`recsys.course_sums.activity`).
        form: Of the vectors: the format of the shards that they were merged from (`recsys.keys.STATE_FORMAT`).
    """

    computed_at_ms: int
    course_ids: tuple[str, ...]
    vectors: bytes
    form: int = STATE_FORMAT
