"""What Redis must hold of a partition, in the oracle's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum

from tests.faults.habits import Habits
from tests.faults.pairs import Pair, Sum


@dataclass(slots=True)
class Learner:
    """What is kept of a learner.

    Attributes:
        pairs: Course → what the learner did with it.
        erased_until: The largest time of an erasure, ms; 0 for none.
        merge: When and into whom this id was merged; None where it was not.
        habits: What the bot rules remember; None for nothing.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    erased_until: int = 0
    merge: tuple[int, str] | None = None
    habits: Habits | None = None


@dataclass(slots=True)
class Shard:
    """What one partition's part of the state must be.

    Attributes:
        fence: Offset of the last record; None for an empty partition.
        learners: Those of whom anything is kept.
        trend: Course → stored sum, with the sizes of all terms that were ever part of it.
        likes: Course → when each positive term of its records counts from, ms, and the first of each record.
        counts: Outcome → records.
        refused: Offset → the value of each record that must have a dead letter, and the reason in it ("" for any).
        controls: Offsets of what merges handed on.
        missing: A line for each record that must follow from one of this shard and is not in the log, such as the
            copy of a misrouted one.
    """

    fence: int | None = None
    learners: dict[str, Learner] = field(default_factory=dict)
    trend: dict[str, Sum] = field(default_factory=dict)
    likes: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    refused: dict[int, tuple[bytes | None, str]] = field(default_factory=dict)
    controls: set[int] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)

    @property
    def records(self) -> dict[tuple[str, str], Pair]:
        """(user, course) → record."""
        return {(user, course): pair for user, one in self.learners.items() for course, pair in one.pairs.items()}

    @property
    def erased(self) -> dict[str, int]:
        """User → the largest time of an erasure, ms."""
        return {user: one.erased_until for user, one in self.learners.items() if one.erased_until}

    @property
    def merged(self) -> dict[str, tuple[int, str]]:
        """User → when and into whom this id was merged."""
        return {user: one.merge for user, one in self.learners.items() if one.merge is not None}

    @property
    def done(self) -> dict[str, dict[str, int]]:
        """User → course → until when it must not be recommended, ms."""
        found = {
            user: {course: until for course, pair in one.pairs.items() if (until := pair.done_until()) is not None}
            for user, one in self.learners.items()
        }
        return {user: courses for user, courses in found.items() if courses}

    @property
    def terms(self) -> Counter[str]:
        """Course → records that have a part in its trending."""
        return Counter(course for (_, course), pair in self.records.items() if pair.trend() > 0)

    @property
    def bots(self) -> dict[str, dict[str, str]]:
        """User → the detector's hash."""
        return {user: one.habits.as_stored() for user, one in self.learners.items() if one.habits is not None}

    def join(self, learner: Learner, pairs: Mapping[str, Pair]) -> bool:
        """Adds what happened after the learner's erasure; whether anything was new."""
        changed = False
        for course, added in pairs.items():
            before = learner.pairs.get(course, Pair())
            after = before.joined(added.without(learner.erased_until))
            if after != before:
                learner.pairs[course] = after
                self._note_sizes(course, after)
                changed = True
        return changed

    def erase(self, learner: Learner, until_ms: int) -> bool:
        """Leaves what happened later, and nothing of the bot rules; whether the erasure is new."""
        if until_ms <= learner.erased_until:
            return False
        learner.erased_until = until_ms
        left = {course: pair.without(until_ms) for course, pair in learner.pairs.items()}
        for course, pair in left.items():
            self._note_sizes(course, pair)
        learner.pairs, learner.habits = {course: pair for course, pair in left.items() if pair}, None
        return True

    def sum_up(self) -> None:
        """Trending: the sum of what the records contribute, rounded once; and what activity is summed over."""
        terms: dict[str, list[float]] = {}
        for (_, course), pair in self.records.items():
            terms.setdefault(course, []).append(pair.trend())
            if times := pair.likes():
                every, first = self.likes.setdefault(course, ([], []))
                every += times
                first.append(times[0])
        for course, total in self.trend.items():
            total.value = fsum(terms.get(course, ()))

    def _note_sizes(self, course: str, pair: Pair) -> None:
        self.trend.setdefault(course, Sum()).size += pair.trend()
