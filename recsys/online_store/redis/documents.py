"""The arguments and answers of the shard's scripts (`shard_scripts.py` has their form)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec

from recsys.online_store.operations import (
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

_encode = msgspec.msgpack.Encoder().encode
_KNOWN = ord("1")


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
        """Doubles and digests, in the order of the steps."""
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
        if isinstance(read, ReadFloats):
            groups = read.fields.values()
            return ["floats", read.state, *map(self._number, (read.fields, map(len, groups), chain(*groups)))]
        if isinstance(read, ReadText):
            return ["text", read.state, self._number(read.owners), read.field]
        self._blob += read.digests
        return ["known", read.state, self._number(read.owners), len(read.digests)]

    def write_step(self, operation: Operation) -> list[Any] | None:  # noqa: PLR0911 - one for each kind
        """An operation as `COMMIT` takes it; None if it changes nothing."""
        match operation:
            case HashFloats(state, values, bound, indexed):
                groups = values.values()
                floats = [value for group in groups for value in group.values()]
                self._blob.append(struct.pack(f"<{len(floats)}d", *floats))
                numbers = map(self._number, (values, map(len, groups), chain(*groups)))
                return ["floats", state, *numbers, bound.most if bound else 0, indexed] if values else None
            case HashText(state, fields, texts):
                return ["text", state, self._number(texts), list(fields), self._number(chain(*texts.values()))]
            case SetAdd(state, members, bound):
                groups_of = members.values()
                numbers = map(self._number, (members, map(len, groups_of), chain(*groups_of)))
                return ["members", state, *numbers, bound.most if bound else 0] if members else None
            case DigestAdd(state, owner, digests):
                self._blob += digests
                return ["digests", state, owner, len(digests)] if digests else None
            case SortedSetMark(state, marked):
                return ["marks", state, self._number(marked)] if marked else None
            case CounterAdd(state, amounts):
                return ["counters", state, *map(self._number, (amounts, amounts.values()))] if amounts else None
            case _:
                return ["drop", operation.state, self._number(operation.owners)] if operation.owners else None


def take_answer(state: ShardState, read: Read, answer: Any) -> None:
    """Puts what `READ_SHARD` answered to one read where the fold looks for it."""
    if isinstance(read, ReadFloats):
        values, start = struct.unpack(f"<{len(answer) // 8}d", answer), 0
        floats: dict[str, dict[str, float]] = {}
        for owner, fields in read.fields.items():
            end = start + len(fields)
            floats[owner] = dict(zip(fields, values[start:end], strict=True))
            start = end
        state.floats[read.state] = floats  # type: ignore[index]
    elif isinstance(read, ReadText):
        state.texts[read.state] = dict(zip(read.owners, map(bytes.decode, answer), strict=True))  # type: ignore[index]
    else:
        known = {digest for digest, flag in zip(read.digests, answer, strict=True) if flag == _KNOWN}
        state.known[read.state] = known  # type: ignore[index]
