"""The record's value and the operations that make it a semilattice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from recsys.vocabulary import FLOWS, REGISTERS

MAX_FLOWS = 24
"""Flows kept in a record: the largest of the set. Keeping the N largest of a union is itself a join."""

FLOW_TYPES = len(FLOWS)

Register = tuple[int, int, int, float]
"""`(state, time_ms, left, value)`: the number of the state in `REGISTERS`, when it was entered or left, 1 if it was
left, and the rating (0.0 where the state has none). Of two registers of one state the larger wins: a later time over an
earlier, at one time leaving over entering, then the larger value."""


class State(NamedTuple):
    """A state of a learner and a course, as the latest event left it.

    Attributes:
        entered: Whether it holds; False after the opposite.
        at_ms: When it was entered or left, ms since 1970 UTC.
        value: The rating 1..5; None for every other state, and where it was left.
    """

    entered: bool
    at_ms: int
    value: float | None


class Record(msgspec.Struct, frozen=True, gc=False):
    """What one learner did with one course. Equal records hold the same.

    Attributes:
        touch_ms: The largest event time, ms since 1970 UTC; 0 where there was none.
        flows: Each flow as `bucket · 3 + type`, largest first, at most `MAX_FLOWS`: the bucket is counted from
            `recsys.engagement.LANDMARK_MS` (negative before it), the type is its place in `FLOWS`.
        registers: One for each state that was ever entered or left, by the state's number.
        quarter: Quarters of the course reached, 0..4. 4 is a completed course: see `RecordRules.done_progress`.
        reached_ms: The earliest time at which `quarter` was reached, ms since 1970 UTC; 0 where it is 0.
    """

    touch_ms: int = 0
    flows: tuple[int, ...] = ()
    registers: tuple[Register, ...] = ()
    quarter: int = 0
    reached_ms: int = 0

    @property
    def states(self) -> Mapping[str, State]:
        """State → how it stands; without those that were never entered nor left."""
        return {REGISTERS[state]: State(not left, at_ms, value or None) for state, at_ms, left, value in self.registers}


EMPTY = Record()
"""Nothing: the neutral element of `join`."""


def join(one: Record, other: Record) -> Record:
    """The record of what two records hold together; commutative, associative, idempotent.

    Returns:
        `one` itself where `other` adds nothing to it.
    """
    if not one.touch_ms:
        return other
    flows, registers, quarter, reached_ms = one.flows, one.registers, one.quarter, one.reached_ms
    if other.flows and other.flows != flows:
        flows = tuple(sorted({*flows, *other.flows}, reverse=True)[:MAX_FLOWS]) if flows else other.flows
    if other.registers and other.registers != registers:
        registers = _joined(registers, other.registers) if registers else other.registers
    if other.quarter > quarter or (other.quarter == quarter and other.reached_ms < reached_ms):
        quarter, reached_ms = other.quarter, other.reached_ms
    joined = Record(max(one.touch_ms, other.touch_ms), flows, registers, quarter, reached_ms)
    return one if joined == one else joined


def join_flow(record: Record, touch_ms: int, flow: int) -> Record:
    """`join(record, Record(touch_ms, (flow,)))`: what nearly every event does, in a third of the time."""
    flows, last_ms = record.flows, record.touch_ms
    if not last_ms:
        return Record(touch_ms, (flow,))
    if not flows or flow > flows[0]:  # the commonest: events come in about the order of their times
        flows = (flow, *flows)[:MAX_FLOWS]
    elif flow not in flows and (len(flows) < MAX_FLOWS or flow > flows[-1]):
        flows = tuple(sorted((*flows, flow), reverse=True)[:MAX_FLOWS])
    elif touch_ms <= last_ms:
        return record
    return Record(max(touch_ms, last_ms), flows, record.registers, record.quarter, record.reached_ms)


def _joined(one: tuple[Register, ...], other: tuple[Register, ...]) -> tuple[Register, ...]:
    largest = {register[0]: register for register in one}
    for register in other:
        state = register[0]
        if state not in largest or register > largest[state]:
            largest[state] = register
    return tuple(sorted(largest.values()))


def without(record: Record, erased_until_ms: int, *, bucket: int) -> Record:
    """What an erase leaves of a record: what happened after it.

    A flow in the bucket of the erase is gone with it, as its bucket is all that is known of its time: so an erase and
    an event on the same day give the same record in either order. `without` of a join is the join of what `without`
    leaves of its parts, with one exception: where the highest quarter was first reached before the erase, the progress
    is gone although it may have been reported again later.

    Args:
        record: A record.
        erased_until_ms: The time of the erase, ms since 1970 UTC; what happened up to and including it is nothing.
        bucket: The bucket of that time (`RecordRules.bucket`).
    """
    if record.touch_ms <= erased_until_ms:
        return EMPTY
    first_kept = (bucket + 1) * FLOW_TYPES
    progressed = record.reached_ms > erased_until_ms
    return Record(
        record.touch_ms,
        tuple(flow for flow in record.flows if flow >= first_kept),
        tuple(register for register in record.registers if register[1] > erased_until_ms),
        record.quarter if progressed else 0,
        record.reached_ms if progressed else 0,
    )
