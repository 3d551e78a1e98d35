"""What changes of records add to the sums over courses and take out of them, as one block of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import numpy as np

from recsys.course_sums.activity import Terms
from recsys.course_sums.blocks import encoded
from recsys.engagement import LANDMARK_MS
from recsys.record import EMPTY, RecordRules
from recsys.record.value import FLOW_TYPES
from recsys.vocabulary import FLOWS
from stream.engagement.record_changes import Change


def block_of(changes: Sequence[Change], rules: RecordRules) -> bytes | None:
    """What joins and leaves the sums over courses; None if nothing does. Hot path: one turn an event.

    Nine of ten changes make a record of one flow, or add the latest flow to one: they are told apart first.

    Args:
        changes: Of records.
        rules: Of records.
    """
    new, new_flows, later, later_flows = list[int](), list[int](), list[int](), list[int]()
    others: list[tuple[int, int, int, int, float]] = []
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    plain = all(rules.weights.by_type[flow] > 0 for flow in FLOWS)
    for change in changes:
        was, now = change.was, change.now
        if plain:
            flows = now.flows
            if was is EMPTY:
                if len(flows) == 1 and not now.registers and not now.quarter:
                    new.append(numbers[change.course])
                    new_flows.append(flows[0])
                    continue
            elif now.registers is was.registers and now.quarter == was.quarter and now.reached_ms == was.reached_ms:
                before = was.flows
                if flows is before:  # a later touch is all that is new
                    continue
                if before and flows[1:] == before:
                    later.append(numbers[change.course])
                    later_flows.append(flows[0])
                    continue
        others += [(numbers[change.course], *moved) for moved in _moved(rules.liked(was), rules.liked(now))]
    return _block(numbers, (new, new_flows), (later, later_flows), others, rules) if numbers else None


def _moved(before: list[tuple[int, float]], after: list[tuple[int, float]]) -> Iterator[tuple[int, int, int, float]]:
    """Of each contribution that came or went: its time, and what popularities, first touches and trending change by."""
    first_before, first_after = min(before, default=None), min(after, default=None)
    for each in tuple(before):
        if each in after:
            before.remove(each)
            after.remove(each)
    for at_ms, trend in before:
        yield at_ms, -1, 0, -trend
    for at_ms, trend in after:
        yield at_ms, 1, 0, trend
    if first_before != first_after:
        if first_before is not None:
            yield first_before[0], 0, -1, 0.0
        if first_after is not None:
            yield first_after[0], 0, 1, 0.0


def _block(
    numbers: Mapping[str, int],
    new: tuple[list[int], list[int]],
    later: tuple[list[int], list[int]],
    others: list[tuple[int, int, int, int, float]],
    rules: RecordRules,
) -> bytes:
    course, at_ms, popularity, first_touches, trend = zip(*others, strict=True) if others else ((),) * 5
    flows = new[1] + later[1]
    firsts = (*[1] * len(new[0]), *[0] * len(later[0]), *first_touches)
    times = LANDMARK_MS + np.array(flows, np.int64) // FLOW_TYPES * rules.bucket_ms
    terms = Terms(
        np.array([*new[0], *later[0], *course], np.uint32),
        np.concatenate([times, np.array(at_ms, np.int64)]),
        np.concatenate([np.ones(len(flows), np.int8), np.array(popularity, np.int8)]),
        np.array(firsts, np.int8),
    )
    return encoded(numbers, terms, np.array([*map(rules.flow_trend, flows), *trend], np.float64))
