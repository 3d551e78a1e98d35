"""What a projection asks of a shard and what it changes there: typed reads and operations, by the name of the state.

A *state* is a kind of key under a shard's hash tag, `{s3}:NAME` or `{s3}:NAME:OWNER` with one key for each owner (a
learner, a dedupe bucket). A projection declares the reads it needs and returns operations; the store runs all reads of
a batch in one script, and applies all operations in one script under the fence. Neither knows what the numbers mean.

| state is a | read by | changed by |
|---|---|---|
| hash field → 8-byte double | `ReadFloats` | `HashFloats` |
| hash field → text | `ReadText` | `HashText` |
| set of ids | | `SetAdd` |
| set of `ID_DIGEST_BYTES` digests | `ReadKnown` | `DigestAdd` |
| sorted set of ids | | `SortedSetMark` |
| hash field → count | | `CounterAdd` |
| any | | `Drop` |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

ID_DIGEST_BYTES = 12
"""Length of an event's digest: 96 bits, so that 10⁹ remembered ids collide with odds of 10⁻¹¹."""

SHARD_ITSELF = ""
"""The owner of a state that has one key a shard."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How large a hash or a set may grow.

    It is cut back after the commit that left it larger than `limit + slack`, down to `limit`, so that the work of it is
    shared by many commits. Of a hash, fields that `spared` says no to go first, then the lowest values; of a set,
    arbitrary members.

    Attributes:
        limit: Entries that stay.
        slack: Entries above it that are put up with; default a quarter of `limit`.
        spared: Whether a field is to be kept before others; None treats all alike.
    """

    limit: int
    slack: int = -1
    spared: Callable[[str], bool] | None = None

    @property
    def most(self) -> int:
        """Entries above which it is cut back."""
        return self.limit + (self.limit // 4 if self.slack < 0 else self.slack)


@dataclass(frozen=True, slots=True)
class ReadFloats:
    """Values of hashes of doubles; 0.0 where absent.

    Attributes:
        state: Its name.
        fields: Owner → fields.
    """

    state: str
    fields: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class ReadText:
    """One field of hashes of text; "" where absent.

    Attributes:
        state: Its name.
        owners: Whose.
        field: The field.
    """

    state: str
    owners: Collection[str]
    field: str


@dataclass(frozen=True, slots=True)
class ReadKnown:
    """Which digests any of several sets holds.

    Attributes:
        state: Its name.
        owners: The sets looked at.
        digests: `ID_DIGEST_BYTES` each.
    """

    state: str
    owners: Sequence[str]
    digests: Sequence[bytes]


Read = ReadFloats | ReadText | ReadKnown


@dataclass(frozen=True, slots=True)
class HashFloats:
    """Overwrites fields of hashes of doubles.

    Attributes:
        state: Its name.
        values: Owner → {field: value}.
        bound: Of each hash.
        indexed: Whether owners are learners to be found again: a store that cannot list them otherwise keeps an index.
    """

    state: str
    values: Mapping[str, Mapping[str, float]]
    bound: Bound | None = None
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class HashText:
    """Overwrites the same fields of many hashes of text.

    Attributes:
        state: Its name.
        fields: The fields.
        values: Owner → values, aligned with `fields`.
    """

    state: str
    fields: Sequence[str]
    values: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class SetAdd:
    """Adds members to sets.

    Attributes:
        state: Its name.
        members: Owner → members, at least one.
        bound: Of each set.
    """

    state: str
    members: Mapping[str, Collection[str]]
    bound: Bound | None = None


@dataclass(frozen=True, slots=True)
class DigestAdd:
    """Adds digests to a set, which then has no time to live any more.

    Attributes:
        state: Its name.
        owner: Whose set.
        digests: `ID_DIGEST_BYTES` each.
    """

    state: str
    owner: str
    digests: Collection[bytes]


@dataclass(frozen=True, slots=True)
class SortedSetMark:
    """Marks members of the shard's sorted set with the new fence.

    Attributes:
        state: Its name.
        members: What is marked.
    """

    state: str
    members: Collection[str]


@dataclass(frozen=True, slots=True)
class CounterAdd:
    """Adds to the shard's counters.

    Attributes:
        state: Its name.
        amounts: Counter → how many; integers, because a sum of doubles must not be added to in Redis.
    """

    state: str
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Drop:
    """Deletes the keys of owners.

    Attributes:
        state: Its name.
        owners: Whose.
    """

    state: str
    owners: Sequence[str]


Operation = HashFloats | HashText | SetAdd | DigestAdd | SortedSetMark | CounterAdd | Drop
