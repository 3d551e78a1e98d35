"""Compares the state with the oracle's: what was lost, what counted twice, what is wrong otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.oracle import Shard, Sum
from tests.faults.state import StoredShard
from tests.faults.topic import DeadLetter

RELATIVE = 1e-9
ROUNDING = 1e-13
"""Of the sum of a score's terms without their signs: what cancels to almost nothing cannot be exact to 1e-9 of that."""
SHOWN = 20


@dataclass(slots=True)
class Verdict:
    """How the state differs from what it must be.

    Attributes:
        lost: Records the oracle has and the state has not, by the counters, the dead letters and the scores.
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
        old_workers: Some of the records were folded by a version that did not take progress for a completion.
    """
    verdict = Verdict()
    letters: dict[tuple[int, int], set[tuple[bytes | None, str]]] = {}
    for letter in dead_letters:
        letters.setdefault((letter.partition, letter.offset), set()).add((letter.value, letter.reason))
    for partition, shard in expected.items():
        have = stored[partition]
        _judge_counts(verdict, partition, shard, have)
        _judge_sums(verdict, f"engagement {partition}", shard.engagement, have.engagement)
        _judge_sums(verdict, f"trend {partition}", shard.trend, have.trend)
        if old_workers:
            _judge_between(verdict, f"done {partition}", shard.ended, shard.done, have.done)
        else:
            _judge_equal(verdict, f"done {partition}", shard.done, have.done)
        _judge_equal(verdict, f"bot {partition}", shard.bots, have.bots)
        _judge_letters(verdict, partition, shard, letters)
    strangers = [place for place in letters if place[1] not in expected[place[0]].refused]
    for partition, offset in strangers:
        verdict.differs(f"dead letter of {partition}/{offset}: expected none, received {letters[partition, offset]}")
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
    if shard.fence != have.fence:
        verdict.differs(f"fence {partition}: expected {shard.fence}, received {have.fence}")
    for outcome in sorted(shard.counts.keys() | have.counts.keys()):
        more = have.counts[outcome] - shard.counts[outcome]
        if more:
            verdict.differs(
                f"count {outcome} {partition}: expected {shard.counts[outcome]}, received {have.counts[outcome]}"
            )
    more = have.counts["accepted"] - shard.counts["accepted"]
    verdict.doubled += max(0, more)
    verdict.lost += max(0, -more)


def _judge_sums(verdict: Verdict, what: str, expected: Mapping[Any, Sum], received: Mapping[Any, float]) -> None:
    lost = doubled = 0
    for name, want in expected.items():
        got = received.get(name)
        if got is None:
            lost += 1
            verdict.differs(f"{what} {name}: expected {want.value!r}, received none")
        elif abs(got - want.value) > max(RELATIVE * max(abs(got), abs(want.value)), ROUNDING * want.size):
            lost, doubled = lost + (abs(got) < abs(want.value)), doubled + (abs(got) >= abs(want.value))
            verdict.differs(f"{what} {name}: expected {want.value!r}, received {got!r}")
    for name in received.keys() - expected.keys():
        doubled += 1
        verdict.differs(f"{what} {name}: expected none, received {received[name]!r}")
    if not (verdict.lost or verdict.doubled):  # the counters are exact where they tell; else the scores tell how many
        verdict.lost, verdict.doubled = lost, doubled


def _judge_equal(verdict: Verdict, what: str, expected: Mapping[str, Any], received: Mapping[str, Any]) -> None:
    for name in expected.keys() | received.keys():
        if expected.get(name) != received.get(name):
            verdict.differs(f"{what} {name}: expected {expected.get(name)}, received {received.get(name)}")


def _judge_between(
    verdict: Verdict,
    what: str,
    least: Mapping[str, set[str]],
    most: Mapping[str, set[str]],
    received: Mapping[str, set[str]],
) -> None:
    for name in most.keys() | received.keys():
        got: set[str] = received.get(name, set())
        if not least.get(name, set()) <= got <= most.get(name, set()):
            verdict.differs(f"{what} {name}: expected {least.get(name)} to {most.get(name)}, received {got}")
