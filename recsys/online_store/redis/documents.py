"""The arguments and answers of the shard's scripts (`script_steps.py` has their form)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec

from recsys.online_store.operations import (
    CounterAdd,
    DeleteFields,
    Drop,
    HashText,
    Operation,
    PutValues,
    Read,
    ReadText,
    ReadValues,
    SortedSetMark,
    SortedSetUnmark,
)
from recsys.online_store.values import ShardState

_encode = msgspec.msgpack.Encoder().encode


class Document:
    """Steps of one script run; a list that several steps name is sent once.

    Args:
        tag: The hash tag of the keys, and whatever follows it in all of them.
    """

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._lists: list[list[Any]] = []
        self._blob: list[bytes] = []

    def packed(self, steps: list[list[Any]]) -> bytes:
        """The document."""
        return _encode([self._tag, self._lists, steps])

    def blob(self) -> bytes:
        """The values, in the order of the steps."""
        return b"".join(self._blob)

    def _number(self, items: Iterable[Any]) -> int:
        """The number of a list, from 1 as Lua counts. Comparing is cheap: equal lists hold the same objects."""
        wanted = list(items)
        for number, known in enumerate(self._lists, 1):
            if known == wanted:
                return number
        self._lists.append(wanted)
        return len(self._lists)

    def read_step(self, read: Read) -> list[Any]:
        """A read as `READ_SHARD` takes it."""
        if isinstance(read, ReadValues):
            groups = read.fields.values()
            return ["values", read.state, *map(self._number, (read.fields, map(len, groups), chain(*groups)))]
        if isinstance(read, ReadText):
            return ["text", read.state, self._number(read.owners), read.field]
        return ["whole", read.state, self._number(read.owners)]

    def write_step(self, operation: Operation) -> list[Any] | None:  # noqa: PLR0911 - one for each kind
        """An operation as `COMMIT` takes it; None if it changes nothing."""
        match operation:
            case PutValues(state, values, indexed):
                groups = values.values()
                flat = [value for group in groups for value in group.values()]
                self._blob += flat
                parts = (values, map(len, groups), chain(*groups), map(len, flat))
                return ["values", state, *map(self._number, parts), indexed] if values else None
            case DeleteFields(state, fields):
                names = fields.values()
                return (
                    ["fields", state, *map(self._number, (fields, map(len, names), chain(*names)))] if fields else None
                )
            case HashText(state, names_of, texts):
                return ["text", state, self._number(texts), list(names_of), self._number(chain(*texts.values()))]
            case SortedSetMark(state, marked):
                return ["marks", state, self._number(marked)] if marked else None
            case SortedSetUnmark(state, unmarked):
                return ["unmark", state, self._number(unmarked)] if unmarked else None
            case CounterAdd(state, amounts):
                return ["counters", state, *map(self._number, (amounts, amounts.values()))] if amounts else None
            case Drop(state, owners, indexed):
                return ["drop", state, self._number(owners), indexed] if owners else None


def take_answer(state: ShardState, read: Read, answer: Any) -> None:
    """Puts what `READ_SHARD` answered to one read where the fold looks for it."""
    if isinstance(read, ReadValues):
        values, sizes = answer
        if not values:  # none of the hashes is there
            state.values[read.state] = {owner: dict.fromkeys(names) for owner, names in read.fields.items()}
            state.sizes[read.state] = dict.fromkeys(read.fields, 0)
            return
        found = iter(values)
        state.values[read.state] = {
            owner: dict(zip(names, found, strict=False)) for owner, names in read.fields.items()
        }
        state.sizes[read.state] = {owner: size for owner, size in zip(read.fields, sizes, strict=True) if size >= 0}
    elif isinstance(read, ReadText):
        state.texts[read.state] = dict(zip(read.owners, map(bytes.decode, answer), strict=True))
    else:
        state.whole[read.state] = {
            owner: {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
            for owner, flat in zip(read.owners, answer, strict=True)
        }
