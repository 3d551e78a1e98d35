"""What changes of records add to the activity of courses and take out of it (`recsys.model.course_activity`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recsys.engagement import LANDMARK_MS
from recsys.model.course_activity import Terms
from recsys.record import EMPTY, RecordRules
from recsys.record.value import FLOW_TYPES
from recsys.vocabulary import FLOWS
from stream.engagement.record_changes import Change


def terms_of(changes: Sequence[Change], numbers: Mapping[str, int], rules: RecordRules) -> Terms:
    """What joins and leaves the vectors of courses.

    Nine of ten changes make a record of one flow, or add the latest flow to one: they are told apart first.

    Args:
        changes: Of records.
        numbers: Course → its number in the terms; of all courses, but where touches alone are new.
        rules: Of records.
    """
    new, new_flows, later, later_flows = list[int](), list[int](), list[int](), list[int]()
    others: list[tuple[int, int, int, int]] = []
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
                if flows is before:
                    continue
                if before and flows[1:] == before:
                    later.append(numbers[change.course])
                    later_flows.append(flows[0])
                    continue
        others += _moved(change, numbers, rules)
    return _terms((new, new_flows), (later, later_flows), others, rules)


def is_touch_alone(change: Change) -> bool:
    """Whether a later touch is all that is new in a record."""
    was, now = change.was, change.now
    return (
        was.flows == now.flows
        and was.registers == now.registers
        and was.quarter == now.quarter
        and was.reached_ms == now.reached_ms
    )


def _moved(change: Change, numbers: Mapping[str, int], rules: RecordRules) -> list[tuple[int, int, int, int]]:
    """Number, time, and what is added to popularities and first touches, of each contribution that came or went."""
    after = rules.liked_ms(change.now)
    if change.was is EMPTY:
        if not after:
            return []
        number, first = numbers[change.course], min(after)
        after.remove(first)
        return [(number, first, 1, 1), *((number, at_ms, 1, 0) for at_ms in after)]
    before = rules.liked_ms(change.was)
    firsts = min(before, default=0), min(after, default=0)
    for at_ms in tuple(before):
        if at_ms in after:
            before.remove(at_ms)
            after.remove(at_ms)
    moved = [(at_ms, -1, 0) for at_ms in before] + [(at_ms, 1, 0) for at_ms in after]
    if firsts[0] != firsts[1]:
        moved += [(at_ms, 0, sign) for at_ms, sign in zip(firsts, (-1, 1), strict=True) if at_ms]
    if not moved:
        return []
    number = numbers[change.course]
    return [(number, *each) for each in moved]


def _terms(
    new: tuple[list[int], list[int]],
    later: tuple[list[int], list[int]],
    others: list[tuple[int, int, int, int]],
    rules: RecordRules,
) -> Terms:
    rest = np.array(others, np.int64).reshape(-1, 4).T
    flows = np.array(new[1] + later[1], np.int64)
    first = np.zeros(len(flows))
    first[: len(new[1])] = 1.0
    return Terms(
        np.concatenate([np.array(new[0] + later[0], np.int64), rest[0]]),
        np.concatenate([LANDMARK_MS + flows // FLOW_TYPES * rules.bucket_ms, rest[1]]).astype(np.float64),
        np.concatenate([np.ones(len(flows)), rest[2]]),
        np.concatenate([first, rest[3]]),
    )
