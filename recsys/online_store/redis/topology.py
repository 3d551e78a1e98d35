"""The topology's value in Redis: read by every process, and written by releases of any age.

Format 1 is `{"partitions", "generation", "owner"}`, of shards that hold sums of weights. Format 2 has the shards in an
object of their own: release d1a576b knows no formats and would take any value with `partitions` for its own, restart
itself and write its sums among the records. Here it finds no topology and ends. Later releases read `format` first, say
that a newer release wrote it, and go on with the generation that they know until they are ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from recsys.errors import REBUILD, USE_NEWER_RELEASE, OutdatedState, UnreadableState
from recsys.keys import SHARDS_A_GENERATION, STATE_FORMAT, Topology
from recsys.owner import StateOwner

REMEDY = f"{REBUILD}; or delete the key while a worker runs: it writes its own topology back"


@dataclass(frozen=True, slots=True)
class _Format:
    """What a value of any format says first: which it is."""

    format: int = 1


@dataclass(frozen=True, slots=True)
class _Shards:
    """Which shards are in use."""

    partitions: int
    generation: int = 0


@dataclass(frozen=True, slots=True)
class _Sharded:
    """A value of format 2."""

    shards: _Shards


@dataclass(frozen=True, slots=True)
class _Owned:
    """What a value of any format says of its owner; releases up to d1a576b write none and read over it."""

    owner: StateOwner | None = None


def encode_topology(topology: Topology, owner: StateOwner | None = None) -> bytes:
    """The value that is written; of the format of the shards that it names."""
    shards = msgspec.to_builtins(_Shards(topology.partitions, topology.generation))
    value = shards if topology.state_format == 1 else {"format": topology.state_format, "shards": shards}
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
        OutdatedState: An earlier release folded the shards.
        UnreadableState: It is no topology, or one of a newer format.
    """
    stored = decode_any_topology(key, value)
    if stored is None or stored.state_format == STATE_FORMAT:
        return stored
    raise OutdatedState(
        key,
        partitions=stored.partitions,
        generation=stored.generation,
        state_format=stored.state_format,
        folded_here=STATE_FORMAT,
    )


def decode_any_topology(key: str, value: bytes | None) -> Topology | None:
    """The value of `key` in this format or an earlier one; None where there is no key.

    Raises:
        UnreadableState: It is no topology, or one of a newer format.
    """
    if value is None:
        return None
    try:
        written_as = msgspec.json.decode(value, type=_Format).format
        if written_as > STATE_FORMAT:
            problem = f"was written by a newer release (format {written_as}; this release reads {STATE_FORMAT})"
            raise UnreadableState(key, problem, remedy=USE_NEWER_RELEASE)
        if written_as == 1:
            shards = msgspec.json.decode(value, type=_Shards)
        else:
            shards = msgspec.json.decode(value, type=_Sharded).shards
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableState(key, "holds no topology", remedy=REMEDY) from None
    if not 1 <= shards.partitions <= SHARDS_A_GENERATION or shards.generation < 0 or written_as < 1:
        raise UnreadableState(key, "holds a topology that cannot be", remedy=REMEDY)
    return Topology(shards.partitions, shards.generation, written_as)
