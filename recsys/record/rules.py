"""What a deployment's settings make of events and records: an event's record, and the scores of a record.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, 2009; see `recsys.engagement`): a contribution of weight `w` at time
`t` counts `w · 2^((t − L)/h)` with a fixed landmark `L` and half-life `h`. A flow counts from the first instant of its
bucket, a state from the time at which it was entered (or left, for the weight of an opposite), progress from the
earliest time at which the quarter was reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import exp2, fsum
from typing import Final

from recsys.engagement import LANDMARK_MS, MS_PER_DAY, RATING_MIDPOINT, EngagementWeights, ForwardDecay
from recsys.errors import ConfigurationError
from recsys.events import DONE_PROGRESS, Interaction
from recsys.record.packing import pack
from recsys.record.value import FLOW_TYPES, Record, without
from recsys.vocabulary import DEFAULT_WEIGHTS, FLOWS, PROGRESS, REGISTERS, VOCABULARY, Kind

FOREVER_MS: Final = 253_402_300_799_999
"""The end of the year 9999: a course of which this is said is never given back by time alone."""

REMEMBERED_FLOWS: Final = 65_536
"""Days of 60 years, for each type of flow."""

GIVE_BACK_MS: Final = 30 * MS_PER_DAY
QUARTERS: Final = 4

FLOW_NUMBER: Final = {name: number for number, name in enumerate(FLOWS)}
_REGISTER_OF: Final = {
    name: (REGISTERS.index(row.state), int(row.kind is Kind.OPPOSITE))
    for name, row in VOCABULARY.items()
    if row.state in REGISTERS
}
_ENROLLED, _COMPLETED, _DISMISSED, _RATED = (
    REGISTERS.index(state) for state in ("enroll", "complete", "dismiss", "rate")
)
_ENDED_BY: Final = frozenset({_ENROLLED, _COMPLETED, _DISMISSED})


class _Memo(dict[int, float]):
    """A function of a flow, remembered; bounded, as times may be anything."""

    def __init__(self, function: Callable[[int], float]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, flow: int) -> float:
        if len(self) >= REMEMBERED_FLOWS:
            self.clear()
        value = self[flow] = self._function(flow)
        return value


@dataclass(frozen=True, slots=True)
class RecordRules:
    """Weights, decay and limits. The record of an event depends on `bucket_ms` and `done_progress`; its scores on all.

    Changing any of them needs a rebuild: what is stored was computed under what they were.

    Attributes:
        weights: Weight of each event type.
        decay: Decay of engagement.
        trending_decay: Decay of trending.
        bucket_ms: Length of a bucket of flows in ms, at least 1; buckets begin at the landmark, 2020-01-01 UTC.
        done_progress: A `progress` of at least this completes a course, 0 < x ≤ 1: it counts as all four quarters.
        give_back_ms: How long after its `unenroll` a course is not recommended, ms.
        flow_engagement: What a flow (`Record.flows`) adds to engagement; remembered, as the next.
        flow_trend: What it adds to its course's trending.

    Raises:
        ConfigurationError: For a bucket shorter than 1 ms.
    """

    weights: EngagementWeights = field(default_factory=lambda: EngagementWeights(DEFAULT_WEIGHTS))
    decay: ForwardDecay = field(default_factory=lambda: ForwardDecay(30.0))
    trending_decay: ForwardDecay = field(default_factory=lambda: ForwardDecay(10.0))
    bucket_ms: int = MS_PER_DAY
    done_progress: float = DONE_PROGRESS
    give_back_ms: int = GIVE_BACK_MS
    flow_engagement: Callable[[int], float] = field(init=False, repr=False, compare=False)
    flow_trend: Callable[[int], float] = field(init=False, repr=False, compare=False)
    _of_register: Mapping[tuple[int, int], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.bucket_ms < 1:
            raise ConfigurationError(f"expected a bucket of at least 1 ms, received {self.bucket_ms}")
        by_type = self.weights.by_type
        object.__setattr__(self, "flow_engagement", _Memo(lambda flow: self._flow(flow)[0]).__getitem__)
        object.__setattr__(self, "flow_trend", _Memo(lambda flow: self._flow(flow)[1]).__getitem__)
        object.__setattr__(self, "_of_register", {place: by_type[name] for name, place in _REGISTER_OF.items()})

    def bucket(self, time_ms: int) -> int:
        """The bucket that a time lies in, counted from the landmark."""
        return (time_ms - LANDMARK_MS) // self.bucket_ms

    def quarter(self, progress: float) -> int:
        """The quarters that a `progress` of 0..1 reaches, rounded down; all four from `done_progress` on."""
        return QUARTERS if progress >= self.done_progress else int(progress * QUARTERS)

    def without(self, record: Record, erased_until_ms: int) -> Record:
        """What an erase at this time leaves of a record (`recsys.record.value.without`)."""
        return without(record, erased_until_ms, bucket=self.bucket(erased_until_ms))

    def engagement(self, record: Record) -> float:
        """The forward-decayed sum of what was done and of the states that hold, at the landmark."""
        of_flows = map(self.flow_engagement, record.flows)
        if record.registers or record.quarter:
            return fsum([*of_flows, *(self._contribution(*each)[0] for each in self._weighted(record))])
        return fsum(of_flows)

    def trend(self, record: Record) -> float:
        """What the record adds to its course's trending: its positive contributions at trending's half-life; ≥ 0."""
        of_flows = map(self.flow_trend, record.flows)
        if record.registers or record.quarter:
            return fsum([*of_flows, *(self._contribution(*each)[1] for each in self._weighted(record))])
        return fsum(of_flows)

    def _weighted(self, record: Record) -> Iterator[tuple[float, int]]:
        """Weight and ms since the landmark of each state and of progress."""
        for state, at_ms, left, value in record.registers:
            weight = self._of_register[state, left]
            if state == _RATED and not left:
                weight *= value - RATING_MIDPOINT
            if weight:
                yield weight, at_ms - LANDMARK_MS
        if record.quarter:
            yield self.weights.by_type[PROGRESS] * record.quarter, record.reached_ms - LANDMARK_MS

    def liked(self, record: Record) -> list[tuple[int, float]]:
        """What courses are popular by: each positive contribution of a record.

        Returns:
            From when it counts, ms since 1970 UTC, and what it adds to the course's trending.
        """
        found = [
            (LANDMARK_MS + flow // FLOW_TYPES * self.bucket_ms, trend)
            for flow in record.flows
            if (trend := self.flow_trend(flow))
        ]
        if record.registers or record.quarter:
            found += [
                (LANDMARK_MS + after_landmark_ms, self._contribution(weight, after_landmark_ms)[1])
                for weight, after_landmark_ms in self._weighted(record)
                if weight > 0
            ]
        return found

    def packed(self, record: Record) -> bytes:
        """The record as the online store keeps it."""
        return pack(record, self.engagement(record))

    def done_until(self, record: Record) -> int | None:
        """Until when its course is not to be recommended, ms since 1970 UTC; None where it may be.

        `FOREVER_MS` while the learner is enrolled, has completed or has dismissed it.
        """
        if record.quarter == QUARTERS:
            return FOREVER_MS
        until = None
        for state, at_ms, left, _ in record.registers:
            if state in _ENDED_BY:
                if not left:
                    return FOREVER_MS
                if state == _ENROLLED:
                    until = at_ms + self.give_back_ms
        return until

    def _flow(self, flow: int) -> tuple[float, float]:
        bucket, kind = divmod(flow, FLOW_TYPES)
        return self._contribution(self.weights.by_type[FLOWS[kind]], bucket * self.bucket_ms)

    def _contribution(self, weight: float, after_landmark_ms: int) -> tuple[float, float]:
        """What a weight adds to engagement and to trend."""
        engagement = weight * exp2(after_landmark_ms * self.decay.per_ms)
        return engagement, weight * exp2(after_landmark_ms * self.trending_decay.per_ms) if weight > 0 else 0.0


def flow_of(kind: str, time_ms: int, bucket_ms: int) -> int:
    """The flow of an event of a flow type at a time (`Record.flows`)."""
    return (time_ms - LANDMARK_MS) // bucket_ms * FLOW_TYPES + FLOW_NUMBER[kind]


def record_of(event: Interaction, rules: RecordRules) -> Record:
    """The record of a learner who did nothing but this; `EMPTY` for an event that names no course."""
    kind, at_ms = event.type, event.timestamp
    if kind in FLOW_NUMBER:
        return Record(at_ms, (flow_of(kind, at_ms, rules.bucket_ms),))
    register = _REGISTER_OF.get(kind)
    if register is not None:
        state, left = register
        value = event.value or 0.0 if state == _RATED and not left else 0.0
        return Record(at_ms, (), ((state, at_ms, left, value),))
    if kind != PROGRESS:
        return Record()
    quarter = rules.quarter(event.value or 0.0)
    return Record(at_ms, (), (), quarter, at_ms if quarter else 0)
