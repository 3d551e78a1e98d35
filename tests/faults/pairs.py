"""The state of a learner and a course, written anew from DESIGN's definition: the oracle's own record.

Nothing of `recsys.record`, `recsys.engagement` or `recsys.vocabulary` is in it. A record is what is left of the
events of one pair: the largest of each register, the largest of the flows' set, the largest progress, the latest
touch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from recsys.events import Interaction

LANDMARK_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
DAY_MS = 86_400_000
ENGAGEMENT_HALF_LIFE_DAYS = 30.0
TRENDING_HALF_LIFE_DAYS = 10.0
GIVEN_BACK_AFTER_MS = 30 * DAY_MS
FOR_EVER_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
QUARTERS = 4
WATCHED = 0.9
"""A progress of at least this is all four quarters."""

FLOWS = ("view", "click", "play")
FLOW_WEIGHTS = (1.0, 5.0, 2.0)
KEPT_FLOWS = 24
STATES = ("bookmark", "enroll", "complete", "rate", "dismiss")
ENTERED_WEIGHTS = {"bookmark": 4.0, "enroll": 10.0, "complete": 12.0, "dismiss": -5.0}
LEFT_WEIGHTS = {"enroll": -10.0}

Register = tuple[int, bool, float]
"""Event time in ms, whether the state was left, and the value (of `rate`; 0 elsewhere). The largest holds."""


@dataclass(slots=True)
class Pair:
    """What a learner did with a course.

    Attributes:
        flows: (day since 1970, position in `FLOWS`), the 24 largest.
        states: State → its register.
        progress: (quarter reached, minus the earliest time it was reached at); None if none was.
        touched: Time of the latest event, ms since 1970 UTC; 0 for none.
    """

    flows: frozenset[tuple[int, int]] = frozenset()
    states: dict[str, Register] = field(default_factory=dict)
    progress: tuple[int, int] | None = None
    touched: int = 0

    def __bool__(self) -> bool:
        return bool(self.flows or self.states or self.progress or self.touched)

    def joined(self, other: Pair) -> Pair:
        """What is left of the events of both."""
        states = dict(self.states)
        for name, register in other.states.items():
            states[name] = max(states.get(name, register), register)
        reached = [each for each in (self.progress, other.progress) if each is not None]
        return Pair(
            self.flows if other.flows <= self.flows else _largest(self.flows | other.flows),
            states,
            max(reached, default=None),
            max(self.touched, other.touched),
        )

    def without(self, until_ms: int) -> Pair:
        """What is left of the events after an erasure: of flows those of later days.

        The highest quarter goes if it was first reached before the erasure, be it that it was reached again later: the
        record does not know.
        """
        return Pair(
            frozenset(each for each in self.flows if each[0] > until_ms // DAY_MS),
            {name: register for name, register in self.states.items() if register[0] > until_ms},
            self.progress if self.progress is not None and -self.progress[1] > until_ms else None,
            self.touched if self.touched > until_ms else 0,
        )

    def terms(self) -> Iterator[tuple[float, int]]:
        """Weight and time of each contribution."""
        for day, flow in self.flows:
            yield FLOW_WEIGHTS[flow], day * DAY_MS
        if self.progress is not None:
            yield 2.0 * self.progress[0], -self.progress[1]
        for name, (at, left, value) in self.states.items():
            if name == "rate" and not left:
                yield 3.0 * (value - 3.0), at
            elif name != "rate":
                yield (LEFT_WEIGHTS if left else ENTERED_WEIGHTS).get(name, 0.0), at

    def engagement(self) -> Sum:
        """The stored sum."""
        total = Sum()
        for weight, at in self.terms():
            total.add(decayed(weight, at, ENGAGEMENT_HALF_LIFE_DAYS))
        return total

    def trend(self) -> float:
        """What it contributes to trending: positive terms only."""
        return sum(decayed(weight, at, TRENDING_HALF_LIFE_DAYS) for weight, at in self.terms() if weight > 0)

    def likes(self) -> list[int]:
        """When each positive term counts from, ms: what its course's activity is summed over."""
        return sorted(at for weight, at in self.terms() if weight > 0)

    def done_until(self) -> int | None:
        """Until when the course must not be recommended to the learner, ms; None if it may be."""
        holds = {name for name, (_, left, _) in self.states.items() if not left}
        if holds & {"enroll", "complete", "dismiss"}:
            return FOR_EVER_MS
        if self.progress is not None and self.progress[0] == QUARTERS:
            return FOR_EVER_MS
        if "enroll" in self.states:
            return self.states["enroll"][0] + GIVEN_BACK_AFTER_MS
        return None


@dataclass(slots=True)
class Sum:
    """A sum with the sum of its terms' sizes, which says how exact it can be."""

    value: float = 0.0
    size: float = 0.0

    def add(self, term: float) -> None:
        self.value += term
        self.size += abs(term)


def pair_of(event: Interaction) -> Pair:
    """What is left of one event."""
    at, kind = event.timestamp, event.type
    if kind in FLOWS:
        return Pair(flows=frozenset([(at // DAY_MS, FLOWS.index(kind))]), touched=at)
    if kind == "progress":
        assert event.value is not None
        quarter = QUARTERS if event.value >= WATCHED else int(event.value * QUARTERS)
        return Pair(progress=(quarter, -at) if quarter else None, touched=at)
    left = kind.startswith("un")
    value = float(event.value or 0.0) if kind == "rate" else 0.0
    return Pair(states={kind.removeprefix("un"): (at, left, value)}, touched=at)


def decayed(weight: float, at_ms: int, half_life_days: float) -> float:
    """Forward decay: `w · 2^((t − L)/h)`."""
    return float(weight * 2.0 ** ((at_ms - LANDMARK_MS) / (half_life_days * DAY_MS)))


def _largest(flows: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    return flows if len(flows) <= KEPT_FLOWS else frozenset(sorted(flows)[-KEPT_FLOWS:])
