"""The topology's value in Redis: read by every process, and written by releases of any age."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from recsys.errors import REBUILD, USE_NEWER_RELEASE, UnreadableState
from recsys.keys import SHARDS_A_GENERATION, Topology
from recsys.owner import StateOwner

FORMAT = 1
"""The format that this release writes and reads; a value without a format has this one."""

REMEDY = f"{REBUILD}; or delete the key while a worker runs: it writes its own topology back"


@dataclass(frozen=True, slots=True)
class _Format:
    """What a value of any format says first: which it is."""

    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class _Owned:
    """What a value says of its owner; releases up to d1a576b write none and read over it."""

    owner: StateOwner | None = None


def encode_topology(topology: Topology, owner: StateOwner | None = None) -> bytes:
    """The value that is written."""
    value = msgspec.to_builtins(topology)
    return msgspec.json.encode(value if owner is None else {**value, "owner": msgspec.to_builtins(owner)})


def decode_owner(key: str, value: bytes | None) -> StateOwner | None:
    """The owner that a value of `key` names; None where it names none, or is none.

    Raises:
        UnreadableState: The owner is of another form.
    """
    try:
        return None if value is None else msgspec.json.decode(value, type=_Owned).owner
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableState(key, "names no owner that this release can read", remedy=REMEDY) from None


def decode_topology(key: str, value: bytes | None) -> Topology | None:
    """The value of `key` as it was read; None where there is no key.

    Raises:
        UnreadableState: It is no topology, or one of a newer format.
    """
    if value is None:
        return None
    try:
        written_as = msgspec.json.decode(value, type=_Format).format
        if written_as > FORMAT:
            problem = f"was written by a newer release (format {written_as}; this release reads {FORMAT})"
            raise UnreadableState(key, problem, remedy=USE_NEWER_RELEASE)
        stored = msgspec.json.decode(value, type=Topology)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableState(key, "holds no topology", remedy=REMEDY) from None
    if not 1 <= stored.partitions <= SHARDS_A_GENERATION or stored.generation < 0:
        raise UnreadableState(key, "holds a topology that cannot be", remedy=REMEDY)
    return stored
