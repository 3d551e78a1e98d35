"""The state of projections in one shard as plain values: what the in-memory store holds, and what a rebuild writes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from recsys.keys import Shard
from recsys.online_store.operations import (
    CounterAdd,
    DeleteFields,
    Drop,
    HashText,
    Operation,
    PutValues,
    Read,
    ReadValues,
    ReadWhole,
    SortedSetMark,
    SortedSetUnmark,
)
from recsys.online_store.values import ShardState

_Value = TypeVar("_Value")


def _by_state(kind: Callable[[], _Value]) -> Callable[[], defaultdict[str, defaultdict[str, _Value]]]:
    """State → owner → an empty hash."""
    return lambda: defaultdict(lambda: defaultdict(kind))


@dataclass(slots=True)
class ShardContents:
    """The state of projections in one shard: state → owner → entries ("" owns what there is one of).

    Attributes:
        values: Hashes of bytes.
        texts: Hashes of text.
        marks: Sorted sets, member → mark.
        counters: Counters.
        indexed: States in `values` whose owners are learners to be found again.
    """

    values: defaultdict[str, defaultdict[str, dict[str, bytes]]] = field(default_factory=_by_state(dict))
    texts: defaultdict[str, defaultdict[str, dict[str, str]]] = field(default_factory=_by_state(dict))
    marks: defaultdict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    counters: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    indexed: set[str] = field(default_factory=set)

    def answer(self, shard: Shard, fence: int | None, reads: Sequence[Read]) -> ShardState:
        """What the reads ask for."""
        state = ShardState(shard, fence, {}, {}, {}, {})
        for read in reads:
            if isinstance(read, ReadValues):
                hashes, owned = self.values[read.state], state.values.setdefault(read.state, {})
                for owner, names in read.fields.items():
                    held = hashes.get(owner, {})
                    owned[owner] = {name: held.get(name) for name in names}
                    if None in owned[owner].values():
                        state.sizes.setdefault(read.state, {})[owner] = len(held)
            elif isinstance(read, ReadWhole):
                hashes = self.values[read.state]
                state.whole[read.state] = {owner: dict(hashes.get(owner, {})) for owner in read.owners}
            else:
                fields = self.texts[read.state]
                state.texts[read.state] = {owner: fields.get(owner, {}).get(read.field, "") for owner in read.owners}
        return state

    def apply(self, operation: Operation, fence: int) -> None:
        """Applies one operation; `fence` is the new one."""
        match operation:
            case PutValues() | DeleteFields() | HashText() | Drop():
                self._change_hashes(operation)
            case SortedSetMark(state, marked):
                self.marks[state].update(dict.fromkeys(marked, fence))
            case SortedSetUnmark(state, unmarked):
                for member in unmarked:
                    self.marks[state].pop(member, None)
            case CounterAdd(state, amounts):
                self.counters[state].update(amounts)

    def _change_hashes(self, operation: PutValues | DeleteFields | HashText | Drop) -> None:
        match operation:
            case PutValues(state, values, indexed):
                self.indexed.update({state} if indexed else ())
                for owner, entries in values.items():
                    self.values[state][owner].update(entries)
            case DeleteFields(state, gone):
                for owner, names in gone.items():
                    self._delete(state, owner, names)
            case HashText(state, fields, texts):
                for owner, entry in texts.items():
                    self.texts[state][owner].update(zip(fields, entry, strict=True))
            case Drop(state, owners):
                for owner in owners:
                    self.values[state].pop(owner, None)
                    self.texts[state].pop(owner, None)

    def _delete(self, state: str, owner: str, names: Collection[str]) -> None:
        held = self.values[state][owner]
        for name in names:
            held.pop(name, None)
        if not held:
            del self.values[state][owner]
