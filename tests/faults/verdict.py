"""Compares the state with the oracle's: what was lost, what counted twice, what is wrong otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.faults.pairs import DAY_MS, Sum
from tests.faults.shards import Shard
from tests.faults.state import StoredShard
from tests.faults.topic import DeadLetter

RELATIVE = 1e-9
ROUNDING = 1e-13
"""Of the sum of a score's terms without their signs: what cancels to almost nothing cannot be exact to 1e-9 of that."""
COMPENSATED_ROUNDING = 1e-28
"""The same for trending, which is kept as two doubles; of all terms that were ever part of a sum."""
SHOWN = 20
ACTIVITY_DAYS = ((1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0, np.inf), (7.0, 30.0, np.inf))
"""Half-lives of a course's popularities and of its first touches."""
NOTHING = (0.0,) * 14


@dataclass(slots=True)
class Verdict:
    """How the state differs from what it must be.

    Attributes:
        lost: Records the oracle has and the state has not, by the counters, the dead letters, the state and the log.
        doubled: Records counted more often than the oracle counts them.
        differences: Lines for a person, all of them counted in `wrong`.
        wrong: Values that are not as they must be.
    """

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def add(self, other: Verdict) -> None:
        """Adds what another run of the same case found."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong
        self.differences += other.differences[: SHOWN - len(self.differences)]

    def differs(self, line: str) -> None:
        self.wrong += 1
        if len(self.differences) < SHOWN:
            self.differences.append(line)


def judge(
    expected: Mapping[int, Shard],
    stored: Mapping[int, StoredShard],
    dead_letters: Iterable[DeadLetter],
    *,
    old_workers: bool = False,
) -> Verdict:
    """The verdict over all shards; a second dead letter of one record is allowed, a missing or changed one is not.

    Args:
        expected: What the oracle folded.
        stored: What Redis holds.
        dead_letters: All of the topic.
        old_workers: A version that did not know every type of event read the topic, too: what it refused for its type,
            and what merges handed on, has a dead letter, and counts nevertheless.
    """
    verdict = Verdict()
    letters: dict[tuple[int, int], set[tuple[bytes | None, str]]] = {}
    for letter in dead_letters:
        letters.setdefault((letter.partition, letter.offset), set()).add((letter.value, letter.reason))
    for partition, shard in expected.items():
        have = stored[partition]
        _judge_counts(verdict, partition, shard, have)
        _judge_records(verdict, partition, shard, have)
        _judge_trend(verdict, partition, shard, have)
        _judge_activity(verdict, partition, shard, have)
        _judge_equal(verdict, f"terms of trend {partition}", shard.terms, have.terms)
        _judge_equal(verdict, f"done {partition}", shard.done, have.done)
        _judge_equal(verdict, f"bot {partition}", shard.bots, have.bots)
        _judge_equal(verdict, f"erased {partition}", shard.erased, have.erased)
        _judge_equal(verdict, f"merged {partition}", shard.merged, have.merged)
        _judge_letters(verdict, partition, shard, letters)
        verdict.lost += len(shard.missing)
        for line in shard.missing:
            verdict.differs(line)
    for (partition, offset), received in letters.items():
        reasons = {reason for _, reason in received}
        unknown = reasons == {"unknown_type"} or offset in expected[partition].controls
        if offset not in expected[partition].refused and not (old_workers and unknown):
            verdict.differs(f"dead letter of {partition}/{offset}: expected none, received {received}")
    return verdict


def _judge_letters(
    verdict: Verdict, partition: int, shard: Shard, letters: Mapping[tuple[int, int], set[tuple[bytes | None, str]]]
) -> None:
    for offset, (value, reason) in shard.refused.items():
        received = letters.get((partition, offset))
        if received is None:
            verdict.lost += 1
            verdict.differs(f"dead letter of {partition}/{offset}: expected one, received none")
            continue
        if any(each != value for each, _ in received):
            verdict.differs(f"dead letter of {partition}/{offset}: expected the record's value unchanged")
        if reason and any(each != reason for _, each in received):
            reasons = sorted(each for _, each in received)
            verdict.differs(f"dead letter of {partition}/{offset}: expected reason {reason}, received {reasons}")


def _judge_counts(verdict: Verdict, partition: int, shard: Shard, have: StoredShard) -> None:
    """All records together tell what was lost or counted twice: what is folded again is `unchanged` the second time."""
    if shard.fence != have.fence:
        verdict.differs(f"fence {partition}: expected {shard.fence}, received {have.fence}")
    for outcome in sorted(shard.counts.keys() | have.counts.keys()):
        if have.counts[outcome] != shard.counts[outcome]:
            verdict.differs(
                f"count {outcome} {partition}: expected {shard.counts[outcome]}, received {have.counts[outcome]}"
            )
    more = have.counts.total() - shard.counts.total()
    verdict.doubled += max(0, more)
    verdict.lost += max(0, -more)


def _judge_records(verdict: Verdict, partition: int, shard: Shard, have: StoredShard) -> None:
    """Every record equal, and the engagement in front of it that of the record."""
    lost = 0
    for (user, course), pair in shard.records.items():
        stored, name = have.records.get((user, course)), f"record {partition} {user} {course}"
        if stored is None:
            lost += 1
            verdict.differs(f"{name}: expected {pair}, received none")
        elif stored.pair != pair:
            lost += stored.pair.joined(pair) != stored.pair
            verdict.differs(f"{name}: expected {pair}, received {stored.pair}")
        elif not _equal(stored.engagement, pair.engagement(), ROUNDING):
            verdict.differs(f"{name}: expected engagement {pair.engagement().value!r}, received {stored.engagement!r}")
    for user, course in have.records.keys() - shard.records.keys():
        verdict.differs(f"record {partition} {user} {course}: expected none, received {have.records[user, course]}")
    if not (verdict.lost or verdict.doubled):  # the counters are exact where they tell; else the records tell
        verdict.lost = lost


def _judge_trend(verdict: Verdict, partition: int, shard: Shard, have: StoredShard) -> None:
    """Trending is kept by differences: what was added twice, or not at all, stays in it."""
    lost = doubled = 0
    for course in shard.trend.keys() | have.trend.keys():
        want, got = shard.trend.get(course, Sum()), have.trend.get(course, 0.0)
        if not _equal(got, want, COMPENSATED_ROUNDING):
            lost, doubled = lost + (got < want.value), doubled + (got > want.value)
            verdict.differs(f"trend {partition} {course}: expected {want.value!r}, received {got!r}")
    if not (verdict.lost or verdict.doubled):
        verdict.lost, verdict.doubled = lost, doubled


def _judge_activity(verdict: Verdict, partition: int, shard: Shard, have: StoredShard) -> None:
    """Kept by differences, too; what was added twice, or not at all, is in the counts, which are exact."""
    lost = doubled = 0
    for course in shard.likes.keys() | have.activity.keys():
        likes, (*got, first, last) = shard.likes.get(course, ([], [])), have.activity.get(course, NOTHING)
        for half_lives, times, sums in zip(ACTIVITY_DAYS, likes, (got[:9], got[9:]), strict=True):
            ages = (max(last, *likes[0], 0) - np.array(times, np.float64)) / DAY_MS
            for days, received in zip(half_lives, sums, strict=True):
                expected = float(np.exp2(-ages / days).sum())
                if abs(received - expected) > RELATIVE * max(1.0, received, expected):
                    lost, doubled = lost + (received < expected), doubled + (received > expected)
                    name = f"activity {partition} {course}, {days:g} days"
                    verdict.differs(f"{name}: expected {expected!r}, received {received!r}")
        if likes[0] and not first <= min(likes[0]) <= max(likes[0]) <= last:
            verdict.differs(f"activity {partition} {course}: expected times around {min(likes[0])} … {max(likes[0])}")
    if not (verdict.lost or verdict.doubled):
        verdict.lost, verdict.doubled = lost, doubled


def _equal(received: float, expected: Sum, rounding: float) -> bool:
    bound = max(RELATIVE * max(abs(received), abs(expected.value)), rounding * expected.size)
    return abs(received - expected.value) <= bound


def _judge_equal(verdict: Verdict, what: str, expected: Mapping[str, Any], received: Mapping[str, Any]) -> None:
    for name in expected.keys() | received.keys():
        if expected.get(name) != received.get(name):
            verdict.differs(f"{what} {name}: expected {expected.get(name)}, received {received.get(name)}")
