"""Learner–course records over a whole history: the fold of `recsys.record` on columns.

A record is a join, so what it was just before any instant follows from its events alone, in whatever order and however
often they came. Each part of it is a *contribution* here: what an event added to a record, from when on, and until
which later event ended it. The record as of an instant holds the contributions whose event came strictly before it and
that no event strictly before it ended. A property test holds this equal to `recsys.record`, at any instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.engagement import LANDMARK_MS, RATING_MIDPOINT
from recsys.model.inputs import Doubles
from recsys.record import FOREVER_MS, MAX_FLOWS, RecordRules
from recsys.vocabulary import FLOWS, PROGRESS, REGISTERS, VOCABULARY, Kind

Times = NDArray[np.int64]

QUARTERS = 4
ENDING_STATES = ("enroll", "complete", "dismiss")


class Contributions(NamedTuple):
    """What the records of some pairs of learner and course are made of, `c` rows.

    Attributes:
        pair: Which record `(c,)`.
        time: When its event came, ms since 1970 UTC `(c,)`.
        until: When an event ended it; later than `time`, `FOREVER_MS` where none did `(c,)`.
        counted: From when its weight decays: the first instant of a flow's bucket, for a state `time` `(c,)`.
        weight: Undecayed `(c,)`.
        done_until: Until when it keeps the course from being recommended; 0 where it does not `(c,)`.
    """

    pair: Times
    time: Times
    until: Times
    counted: Times
    weight: Doubles
    done_until: Times

    def sorted_by_time(self) -> Contributions:
        """The rows in order of time, those of one instant by pair."""
        order = np.lexsort((self.pair, self.time))
        return self._at(order)

    def _at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Contributions:
        return Contributions._make(column[rows] for column in self)


class _Events(NamedTuple):
    """Events of one kind, columns `(n,)` each; `code` is the place of the flow or the state."""

    pair: Times
    time: Times
    code: Times
    left: NDArray[np.bool_]
    value: Doubles

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> _Events:
        return _Events._make(column[rows] for column in self)


def contributions(pair: Times, events: pd.DataFrame, rules: RecordRules) -> Contributions:
    """Folds events into the contributions of their records.

    Args:
        pair: Which record each event belongs to `(n,)`, not negative.
        events: Columns `type`, `timestamp` (ms) and `value` (NaN absent), `(n,)` rows in any order, repeats included;
            no control events.
        rules: How.

    Returns:
        In order of time; the order of the events given changes nothing.
    """
    of_event, distinct = pd.factorize(events["type"])
    kinds = _Kinds(of_event, [*map(str, distinct), ""])  # a place of −1, no type, is the last
    time, value = events["timestamp"].to_numpy(np.int64), events["value"].to_numpy(np.float64)
    every = _Events(pair, time, np.zeros(len(pair), np.int64), np.zeros(len(pair), dtype=bool), value)
    parts = [
        _flows(_coded(every, kinds, FLOWS), rules),
        _registers(_coded(every, kinds, REGISTERS), rules),
        _progress(_coded(every, kinds, [PROGRESS]), rules),
    ]
    return Contributions._make(map(np.concatenate, zip(*parts, strict=True))).sorted_by_time()


class _Kinds(NamedTuple):
    """The type of each event as its place `(n,)` among the distinct ones."""

    of_event: NDArray[np.intp]
    distinct: Sequence[str]


def _coded(events: _Events, kinds: _Kinds, names: Sequence[str]) -> _Events:
    """The events of these flows or states, with the place of each among `names` and whether it leaves its state."""
    state_of = {kind: row.state or kind for kind, row in VOCABULARY.items()}
    code_of = {kind: names.index(state) for kind, state in state_of.items() if state in names}
    of_event, distinct = kinds
    code = np.array([code_of.get(kind, -1) for kind in distinct], np.int64)[of_event]
    left = np.array([kind in VOCABULARY and VOCABULARY[kind].kind is Kind.OPPOSITE for kind in distinct])[of_event]
    return events._replace(code=code, left=left).at(code >= 0)


def _flows(events: _Events, rules: RecordRules) -> Contributions:
    """One for each bucket and type, from its first event until `MAX_FLOWS` larger ones push it out."""
    bucket = (events.time - LANDMARK_MS) // rules.bucket_ms
    order = np.lexsort((events.time, events.code, bucket, events.pair))
    events, bucket = events.at(order), bucket[order]
    first = _starts(events.pair, bucket, events.code)
    events, bucket = events.at(first), bucket[first]
    weights = np.array([rules.weights.by_type[name] for name in FLOWS])
    return Contributions(
        pair=events.pair,
        time=events.time,
        until=_pushed_out(events.pair, bucket, events.time),
        counted=LANDMARK_MS + bucket * rules.bucket_ms,
        weight=weights[events.code],
        done_until=np.zeros(len(bucket), np.int64),
    )


def _pushed_out(pair: Times, bucket: Times, time: Times) -> Times:
    """When each flow had `MAX_FLOWS` larger ones beside it; arguments in order of pair, bucket and type, `(n,)` each.

    Larger are those after it in its own bucket, and all of later buckets, which came later, too: so it is the time of
    the one `MAX_FLOWS` places on, where the flows of a bucket are ordered by time.
    """
    places = np.arange(len(pair)) + MAX_FLOWS
    out = places < _ends(_starts(pair))
    until = np.full(len(pair), FOREVER_MS, np.int64)
    until[out] = time[np.lexsort((time, bucket, pair))][places[out]]
    return until


def _registers(events: _Events, rules: RecordRules) -> Contributions:
    """One for each event that held until a larger one came: by time, then the opposite, then the value."""
    rated = np.where((events.code == REGISTERS.index("rate")) & ~events.left, events.value, 0.0)
    order = np.lexsort((rated, events.left, events.time, events.code, events.pair))
    events, rated = events.at(order), rated[order]
    until = _next_times(events.time, _starts(events.pair, events.code))
    opposite = {row.state: kind for kind, row in VOCABULARY.items() if row.kind is Kind.OPPOSITE}
    entering = np.array([rules.weights.by_type[name] for name in REGISTERS])[events.code]
    entering = np.where(events.code == REGISTERS.index("rate"), entering * (rated - RATING_MIDPOINT), entering)
    leaving = np.array([rules.weights.by_type[opposite[name]] for name in REGISTERS])[events.code]
    ends = np.array([name in ENDING_STATES for name in REGISTERS])[events.code]
    enrolment = events.code == REGISTERS.index("enroll")
    given_back = np.where(enrolment, events.time + rules.give_back_ms, 0)
    held = until > events.time
    return Contributions(
        pair=events.pair[held],
        time=events.time[held],
        until=until[held],
        counted=events.time[held],
        weight=np.where(events.left, leaving, entering)[held],
        done_until=np.where(events.left, given_back, np.where(ends, FOREVER_MS, 0))[held],
    )


def _progress(events: _Events, rules: RecordRules) -> Contributions:
    """One for each quarter that was higher than all before, from when it was first reached."""
    quarter = np.where(events.value >= rules.done_progress, QUARTERS, events.value * QUARTERS).astype(np.int64)
    order = np.lexsort((-quarter, events.time, events.pair))
    pair, time, quarter = events.pair[order], events.time[order], quarter[order]
    starts = _starts(pair)
    # A running maximum within each pair: a pair's numbers lie above those of all pairs before it.
    highest = np.maximum.accumulate(np.cumsum(starts) * (QUARTERS + 1) + quarter)
    rises = starts | (np.diff(highest, prepend=-1) > 0)
    pair, time, quarter = pair[rises], time[rises], quarter[rises]
    return Contributions(
        pair=pair,
        time=time,
        until=_next_times(time, _starts(pair)),
        counted=time,
        weight=rules.weights.by_type[PROGRESS] * quarter.astype(np.float64),
        done_until=np.where(quarter == QUARTERS, FOREVER_MS, 0),
    )


def _starts(*columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a row of sorted columns differs from the one before it `(n,)`."""
    starts = np.zeros(len(columns[0]), dtype=bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def _ends(starts: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The place after the last row of each row's group `(n,)`."""
    places = np.flatnonzero(starts)
    ends: NDArray[np.intp] = np.append(places[1:], len(starts))[np.cumsum(starts) - 1]
    return ends


def _next_times(time: Times, starts: NDArray[np.bool_]) -> Times:
    """The time of the next row of each row's group, `FOREVER_MS` for the last `(n,)`."""
    until = np.full(len(time), FOREVER_MS, np.int64)
    inner = ~starts[1:]
    until[:-1][inner] = time[1:][inner]
    return until
