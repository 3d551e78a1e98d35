"""The state of projections in one shard as plain values: what the in-memory store holds, and what a rebuild writes."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from recsys.keys import Shard
from recsys.online_store.operations import (
    Bound,
    CounterAdd,
    DigestAdd,
    HashFloats,
    HashText,
    Operation,
    Read,
    ReadFloats,
    ReadText,
    SetAdd,
    SortedSetMark,
)
from recsys.online_store.values import ShardState

_Entries = TypeVar("_Entries")


def _by_state(kind: Callable[[], _Entries]) -> Callable[[], defaultdict[str, defaultdict[str, _Entries]]]:
    """State → owner → an empty hash, set or the like."""
    return lambda: defaultdict(lambda: defaultdict(kind))


@dataclass(slots=True)
class ShardContents:
    """The state of projections in one shard: state → owner → entries ("" owns what there is one of).

    Attributes:
        floats: Hashes of doubles.
        texts: Hashes of text.
        sets: Sets of ids.
        digests: Sets of digests.
        marks: Sorted sets, member → mark.
        counters: Counters.
        indexed: States in `floats` whose owners are learners to be found again.
    """

    floats: defaultdict[str, defaultdict[str, dict[str, float]]] = field(default_factory=_by_state(dict))
    texts: defaultdict[str, defaultdict[str, dict[str, str]]] = field(default_factory=_by_state(dict))
    sets: defaultdict[str, defaultdict[str, set[str]]] = field(default_factory=_by_state(set))
    digests: defaultdict[str, defaultdict[str, set[bytes]]] = field(default_factory=_by_state(set))
    marks: defaultdict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    counters: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    indexed: set[str] = field(default_factory=set)

    def answer(self, shard: Shard, fence: int | None, reads: Sequence[Read]) -> ShardState:
        """What the reads ask for."""
        floats: dict[str, dict[str, dict[str, float]]] = {}
        texts: dict[str, dict[str, str]] = {}
        known: dict[str, set[bytes]] = {}
        for read in reads:
            if isinstance(read, ReadFloats):
                hashes, wanted = self.floats[read.state], read.fields.items()
                floats[read.state] = {
                    owner: {name: hashes[owner].get(name, 0.0) for name in names} for owner, names in wanted
                }
            elif isinstance(read, ReadText):
                fields = self.texts[read.state]
                texts[read.state] = {owner: fields[owner].get(read.field, "") for owner in read.owners}
            else:
                held = set[bytes]().union(*(self.digests[read.state][owner] for owner in read.owners))
                known[read.state] = held.intersection(read.digests)
        return ShardState(shard, fence, floats, texts, known)

    def apply(self, operation: Operation, fence: int) -> None:
        """Applies one operation; `fence` is the new one."""
        match operation:
            case HashFloats():
                self._put_floats(operation)
            case HashText(state, fields, texts):
                for owner, entry in texts.items():
                    self.texts[state][owner].update(zip(fields, entry, strict=True))
            case SetAdd():
                self._add_members(operation)
            case DigestAdd(state, owner, digests):
                self.digests[state][owner].update(digests)
            case SortedSetMark(state, marked):
                self.marks[state].update(dict.fromkeys(marked, fence))
            case CounterAdd(state, amounts):
                self.counters[state].update(amounts)
            case _:
                for owner in operation.owners:
                    for kind in (self.floats, self.texts, self.sets, self.digests):
                        kind[operation.state].pop(owner, None)

    def _put_floats(self, operation: HashFloats) -> None:
        if operation.indexed:
            self.indexed.add(operation.state)
        bound = operation.bound
        for owner, entries in operation.values.items():
            hashed = self.floats[operation.state][owner]
            hashed.update(entries)
            if bound is not None and len(hashed) > bound.most:
                _drop_lowest(hashed, bound)

    def _add_members(self, operation: SetAdd) -> None:
        bound = operation.bound
        for owner, added in operation.members.items():
            held = self.sets[operation.state][owner]
            held.update(added)
            if bound is not None and len(held) > bound.most:
                held.difference_update(sorted(held - set(added))[: len(held) - bound.limit])


def _drop_lowest(hashed: MutableMapping[str, float], bound: Bound) -> None:
    spared = bound.spared or (lambda _: True)
    surplus = heapq.nsmallest(len(hashed) - bound.limit, hashed, key=lambda name: (spared(name), hashed[name], name))
    for name in surplus:
        del hashed[name]
