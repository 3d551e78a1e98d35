"""Training examples of the towers: a learner's history at some instant, and what they newly liked soon after it.

Both follow the learner's records: a course that was left before the instant is in no history, and one that was left
again before the time for targets is over is no target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from batch.encoding import EncodedEvents, Times
from recsys.engagement import MS_PER_DAY
from recsys.model.history import pool_weights, strength
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.record import FOREVER_MS

FIRST_SHARE, LAST_SHARE = 0.25, 0.98
"""Between these quantiles of the events' times lie the instants that all learners share."""

LEARNERS_FACTOR = 3
"""Learners looked at could give so many times `max_examples` if each gave one at every instant; about a third do."""

HORIZON_SHARE = 0.1
"""Targets come from the time that the last share of the events takes."""


@dataclass(frozen=True, slots=True)
class TowerExamples:
    """`e` examples; histories are padded to `history_length`.

    Attributes:
        user: User embedding row: user row + 1 `(e,)`.
        time: The instant, ms since 1970 UTC `(e,)`.
        rows: Most engaged courses, best first `(e, history_length)`; `n_courses` where padded.
        pools: Their weight in each pool, each pool summing to 1 `(e, history_length, POOLS)`.
        strength: `(e, STRENGTH_DIM)`.
        targets: 1 for what was newly liked within the horizon `(e, n_courses)`.
        known: 1 for what was liked at any time before the instant, which is neither target nor negative
            `(e, n_courses)`.
    """

    user: Rows
    time: Times
    rows: Rows
    pools: Floats
    strength: Floats
    targets: sparse.csr_array
    known: sparse.csr_array


def tower_examples(
    encoded: EncodedEvents, before_ms: int, hyperparameters: HyperParameters, half_life_days: float
) -> TowerExamples | None:
    """Builds the examples from what came strictly before an instant; None where nobody liked a new course again.

    Args:
        encoded: Contributions in time order.
        before_ms: Nothing at or after this is looked at, targets neither.
        hyperparameters: How many instants, targets and examples.
        half_life_days: Of the engagement sums.
    """
    rng = np.random.default_rng(hyperparameters.seed)
    end = int(np.searchsorted(encoded.time, before_ms))
    liked = np.flatnonzero(encoded.weight[:end] > 0)
    if not len(liked):
        return None
    order = liked[np.argsort(encoded.user[liked], kind="stable")]
    order = order[np.isin(encoded.user[order], _drawn_learners(encoded.user[liked], hyperparameters))]
    edges = np.flatnonzero(np.diff(encoded.user[order])) + 1
    times = encoded.time[liked]
    shared = np.quantile(times, np.linspace(FIRST_SHARE, LAST_SHARE, hyperparameters.shared_instants)).astype(np.int64)
    horizon = int(times[-1] - np.quantile(times, 1 - HORIZON_SHARE)) + 1
    found = [
        queried
        for mine in np.split(order, edges)
        if len(mine) > 1
        for queried in _Learner(encoded, mine, before_ms, half_life_days, hyperparameters).queries(shared, horizon, rng)
    ]
    if not found:
        return None
    if len(found) > hyperparameters.max_examples:
        kept = rng.choice(len(found), hyperparameters.max_examples, replace=False)
        found = [found[at] for at in np.sort(kept)]
    return _stacked(found, len(encoded.courses))


def _drawn_learners(users: Rows, hyperparameters: HyperParameters) -> Rows:
    """The learners that examples are made from: all, or as many drawn ones as give enough of them.

    Args:
        users: Of each liking event.
        hyperparameters: How many examples, and at how many instants.
    """
    known = np.flatnonzero(np.bincount(users) > 1).astype(np.int32)
    each = hyperparameters.shared_instants + hyperparameters.own_instants
    most = -(-LEARNERS_FACTOR * hyperparameters.max_examples // each)
    if len(known) <= most:
        return known
    rng = np.random.default_rng([hyperparameters.seed, most])
    return np.sort(rng.choice(known, most, replace=False))


@dataclass(frozen=True, slots=True)
class _Query:
    """One example before it is padded and stacked."""

    user: int
    time: int
    rows: Rows
    pools: Floats
    strength: Floats
    targets: Rows
    known: Rows


class _Learner:
    """One learner's liking contributions before an end, in order of course and then of time."""

    def __init__(
        self,
        encoded: EncodedEvents,
        mine: NDArray[np.intp],
        before_ms: int,
        half_life_days: float,
        hyperparameters: HyperParameters,
    ) -> None:
        self._user, self._before_ms, self._hyperparameters = int(encoded.user[mine[0]]), before_ms, hyperparameters
        mine = mine[np.argsort(encoded.course[mine], kind="stable")]
        self._courses, self._starts = np.unique(encoded.course[mine], return_index=True)
        self._time = encoded.time[mine]
        self._until = np.where(encoded.until[mine] < before_ms, encoded.until[mine], FOREVER_MS)
        self._first_ms = self._time[self._starts]
        self._last_ms = int(self._time.max())
        self._per_ms = 1.0 / (half_life_days * MS_PER_DAY)
        # Relative to the last event, so that no exponent leaves a double's span.
        self._added = encoded.weight[mine] * np.exp2((encoded.counted[mine] - self._last_ms) * self._per_ms)

    def queries(self, shared: Times, horizon: int, rng: np.random.Generator) -> Iterator[_Query]:
        """One example for each instant that has a history before it and a new like within the horizon."""
        own = np.sort(self._first_ms)[1:]
        count = min(self._hyperparameters.own_instants, len(own))
        chosen = rng.choice(own, count, replace=False) if count else own[:0]
        instants = np.unique(np.concatenate([shared, chosen]))
        ends = np.minimum(instants + horizon, self._before_ms)
        new = (self._first_ms >= instants[:, None]) & (self._first_ms < ends[:, None]) & (self._scores(ends) > 0)
        for at, scores, targets in zip(instants, self._scores(instants), new, strict=True):
            if targets.any() and scores.any():
                yield self._query(int(at), scores, np.flatnonzero(targets))

    def _scores(self, instants: Times) -> Doubles:
        """Decayed sums of the records just before each instant `(g, courses)`, up to one common factor."""
        held = (self._time < instants[:, None]) & (self._until >= instants[:, None])
        sums: Doubles = np.add.reduceat(held * self._added, self._starts, axis=1)
        return sums

    def _query(self, at: int, scores: Doubles, targets: NDArray[np.integer[Any]]) -> _Query:
        best = np.argsort(-scores, kind="stable")[: self._hyperparameters.history_length]
        best = best[scores[best] > 0]
        weights = pool_weights(scores[best] / scores[best[0]], np.arange(len(best)))
        total = scores.sum() * np.exp2((self._last_ms - at) * self._per_ms)
        known = np.flatnonzero(self._first_ms < at)
        return _Query(
            user=self._user + 1,
            time=at,
            rows=self._courses[best],
            pools=weights / weights.sum(axis=0),
            strength=strength(np.array(np.count_nonzero(scores), np.float64), np.asarray(total)),
            targets=self._courses[targets[: self._hyperparameters.max_targets]],
            known=self._courses[known],
        )


def _stacked(found: list[_Query], n_courses: int) -> TowerExamples:
    length = max(len(query.rows) for query in found)
    rows = np.full((len(found), length), n_courses, np.int32)
    pools = np.zeros((len(found), length, found[0].pools.shape[1]), np.float32)
    for at, query in enumerate(found):
        rows[at, : len(query.rows)], pools[at, : len(query.rows)] = query.rows, query.pools
    return TowerExamples(
        user=np.array([query.user for query in found], np.int32),
        time=np.array([query.time for query in found], np.int64),
        rows=rows,
        pools=pools,
        strength=np.stack([query.strength for query in found]),
        targets=_rows_of([query.targets for query in found], n_courses),
        known=_rows_of([query.known for query in found], n_courses),
    )


def _rows_of(columns: list[Rows], n_courses: int) -> sparse.csr_array:
    lengths = [len(some) for some in columns]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = np.concatenate(columns)
    return sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(len(columns), n_courses))
