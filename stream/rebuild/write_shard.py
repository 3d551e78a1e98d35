"""Writes what was folded in memory into the shards of the next generation, in commits of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import chain, islice
from typing import TypeVar

from recsys.errors import TopologyMismatch
from recsys.keys import Shard
from recsys.online_store import Effects, ShardStore
from recsys.online_store.contents import ShardContents
from recsys.online_store.operations import CounterAdd, HashText, Operation, PutValues, SortedSetMark

ENTRIES_A_COMMIT = 10_000
ONE_AT_A_TIME = "nothing was switched; let one rebuild end before the next begins"

_Entries = TypeVar("_Entries", bound=Sized)
_Item = TypeVar("_Item")


async def write_shard(contents: ShardContents, store: ShardStore, shard: Shard, *, group: str, fence: int) -> None:
    """Writes one empty shard that no process reads yet, in commits of bounded size.

    Every learner is marked dirty, so that the workers fill the cached lists after the switch. The fence of a partition
    that has no records is −1: the record behind it is the first.

    Raises:
        ServiceUnavailable: Redis does not answer.
        TopologyMismatch: The shard is not empty, or somebody else changes it.
    """
    expected: int | None = None
    operations = ([operation] for operation in _operations(contents))
    for effects in map(Effects, chain(operations, [[]])):
        if not await store.commit(shard, group, expected, fence, effects):
            raise TopologyMismatch(f"shard {shard} is written by another rebuild too: {ONE_AT_A_TIME}")
        expected = fence


def _operations(contents: ShardContents) -> Iterator[Operation]:
    """The state of every projection, whatever it is, as operations of bounded size."""
    for state, hashes in contents.values.items():
        for values in _in_parts({owner: hashed for owner, hashed in hashes.items() if hashed}):
            yield PutValues(state, values, indexed=state in contents.indexed)
    for state, records in contents.texts.items():
        yield from _texts(state, records)
    for state, marks in contents.marks.items():
        yield from (SortedSetMark(state, part) for part in _slices(marks, ENTRIES_A_COMMIT))
    for state, amounts in contents.counters.items():
        yield CounterAdd(state, amounts)


def _texts(state: str, records: Mapping[str, Mapping[str, str]]) -> Iterator[Operation]:
    """Hashes of text by the fields they have: an operation writes the same fields for each owner."""
    alike: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
    for owner, fields in records.items():
        if fields:
            alike.setdefault(tuple(fields), {})[owner] = tuple(fields.values())
    for names, texts in alike.items():
        yield from (HashText(state, names, part) for part in _in_parts(texts))


def _slices(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


def _in_parts(owners: Mapping[str, _Entries]) -> Iterator[dict[str, _Entries]]:
    """As few mappings as keep each below `ENTRIES_A_COMMIT`, as far as one owner's entries do."""
    part: dict[str, _Entries] = {}
    size = 0
    for owner, entries in owners.items():
        if part and size + len(entries) > ENTRIES_A_COMMIT:
            yield part
            part, size = {}, 0
        part[owner] = entries
        size += len(entries)
    if part:
        yield part
