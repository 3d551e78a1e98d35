"""What a projection asks of a shard and what it changes there: typed reads and operations, by the name of the state.

A *state* is a kind of key under a shard's hash tag, `{s3}:NAME` or `{s3}:NAME:OWNER` with one key for each owner (a
learner). A projection declares the reads it needs and returns operations; the store runs all reads of a batch in one
script, and applies all operations in one script under the fence. Neither knows what the values mean.

| state is a | read by | changed by |
|---|---|---|
| hash field → bytes | `ReadValues`, `ReadWhole` | `PutValues`, `DeleteFields` |
| hash field → text | `ReadText` | `HashText` |
| sorted set of ids | | `SortedSetMark`, `SortedSetUnmark` |
| hash field → count | | `CounterAdd` |
| any | | `Drop` |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SHARD_ITSELF = ""
"""The owner of a state that has one key a shard."""


@dataclass(frozen=True, slots=True)
class ReadValues:
    """Values of hashes of bytes, and how many fields a hash has of which one that was asked for is absent.

    Attributes:
        state: Its name.
        fields: Owner → fields.
    """

    state: str
    fields: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class ReadWhole:
    """Every field of hashes of bytes.

    Attributes:
        state: Its name.
        owners: Whose.
    """

    state: str
    owners: Collection[str]


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


Read = ReadValues | ReadWhole | ReadText


@dataclass(frozen=True, slots=True)
class PutValues:
    """Overwrites fields of hashes of bytes.

    Attributes:
        state: Its name.
        values: Owner → {field: value}, at least one each.
        indexed: Whether owners are learners to be found again: a store that cannot list them otherwise keeps an index.
    """

    state: str
    values: Mapping[str, Mapping[str, bytes]]
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class DeleteFields:
    """Deletes fields of hashes.

    Attributes:
        state: Its name.
        fields: Owner → fields, at least one each.
    """

    state: str
    fields: Mapping[str, Collection[str]]


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
class SortedSetMark:
    """Marks members of the shard's sorted set with the new fence.

    Attributes:
        state: Its name.
        members: What is marked.
    """

    state: str
    members: Collection[str]


@dataclass(frozen=True, slots=True)
class SortedSetUnmark:
    """Takes members out of the shard's sorted set.

    Attributes:
        state: Its name.
        members: What is taken out.
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
        indexed: Whether the owners leave the index of learners, too.
    """

    state: str
    owners: Collection[str]
    indexed: bool = False


Operation = PutValues | DeleteFields | HashText | SortedSetMark | SortedSetUnmark | CounterAdd | Drop
