"""Training examples of the towers: a learner's history at some instant, and what they newly liked soon after it.

Both follow the learner's records: a course that was left before the instant is in no history, and one that was left
again before the time for targets is over is no target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from batch.encoding import EncodedEvents, Times
from recsys.engagement import MS_PER_DAY
from recsys.model.history import POOLS, pool_weights, strength
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
    asked = [
        _Learner(encoded, mine, before_ms, half_life_days, hyperparameters).asked(shared, horizon, rng)
        for mine in np.split(order, edges)
        if len(mine) > 1
    ]
    count = sum(len(each.times) for each in asked)
    if not count:
        return None
    kept = np.ones(count, dtype=bool)
    if count > hyperparameters.max_examples:
        kept[:] = False
        kept[rng.choice(count, hyperparameters.max_examples, replace=False)] = True
    ends = np.cumsum([len(each.times) for each in asked])
    parts = [each.some(chosen) for each, chosen in zip(asked, np.split(kept, ends[:-1]), strict=True) if chosen.any()]
    return _stacked([part.learner.examples(part) for part in parts], len(encoded.courses))


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


class _Asked(NamedTuple):
    """When one learner of `c` courses gives an example.

    Attributes:
        learner: Who.
        times: The instants `(q,)`.
        scores: Of the courses just before each `(q, c)`.
        targets: Mask of what was newly liked soon after each `(q, c)`.
    """

    learner: _Learner
    times: Times
    scores: Doubles
    targets: NDArray[np.bool_]

    def some(self, chosen: NDArray[np.bool_]) -> _Asked:
        """Those chosen by a mask `(q,)`."""
        return self._replace(times=self.times[chosen], scores=self.scores[chosen], targets=self.targets[chosen])


class _Examples(NamedTuple):
    """The `q` examples of one learner, as in `TowerExamples`; padded to their own longest history.

    Courses of `targets` and `known` stand one example after the other, with how many each has `(q,)`.
    """

    user: int
    time: Times
    lengths: NDArray[np.intp]
    rows: Rows
    pools: Floats
    strength: Floats
    targets: tuple[NDArray[np.intp], Rows]
    known: tuple[NDArray[np.intp], Rows]


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

    def asked(self, shared: Times, horizon: int, rng: np.random.Generator) -> _Asked:
        """Each instant that has a history before it and a new like within the horizon."""
        own = np.sort(self._first_ms)[1:]
        count = min(self._hyperparameters.own_instants, len(own))
        chosen = rng.choice(own, count, replace=False) if count else own[:0]
        instants = np.unique(np.concatenate([shared, chosen]))
        ends = np.minimum(instants + horizon, self._before_ms)
        new = (self._first_ms >= instants[:, None]) & (self._first_ms < ends[:, None]) & (self._scores(ends) > 0)
        every = _Asked(self, instants, self._scores(instants), new)
        return every.some(np.asarray(every.targets.any(axis=1) & every.scores.any(axis=1), dtype=bool))

    def _scores(self, instants: Times) -> Doubles:
        """Decayed sums of the records just before each instant `(g, courses)`, up to one common factor."""
        held = (self._time < instants[:, None]) & (self._until >= instants[:, None])
        sums: Doubles = np.add.reduceat(held * self._added, self._starts, axis=1)
        return sums

    def examples(self, asked: _Asked) -> _Examples:
        """The examples of some instants."""
        best = np.argsort(-asked.scores, axis=1, kind="stable")[:, : self._hyperparameters.history_length]
        scores = np.take_along_axis(asked.scores, best, axis=1)
        lengths = np.count_nonzero(scores > 0, axis=1)
        best, scores = best[:, : lengths.max()], scores[:, : lengths.max()]
        liked = scores > 0
        relative = np.where(liked, scores / scores[:, :1], 0.0)
        weights = pool_weights(relative, np.broadcast_to(np.arange(scores.shape[1]), scores.shape))
        total = asked.scores.sum(axis=1) * np.exp2((self._last_ms - asked.times) * self._per_ms)
        most = np.cumsum(asked.targets, axis=1) <= self._hyperparameters.max_targets
        return _Examples(
            user=self._user + 1,
            time=asked.times,
            lengths=lengths,
            rows=self._courses[best],
            pools=weights / weights.sum(axis=1, keepdims=True),
            strength=strength(np.count_nonzero(asked.scores, axis=1).astype(np.float64), total),
            targets=self._named(asked.targets & most),
            known=self._named(self._first_ms < asked.times[:, None]),
        )

    def _named(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Rows]:
        """How many courses each row of `(q, c)` names, and which."""
        return np.count_nonzero(mask, axis=1), self._courses[np.nonzero(mask)[1]]


def _stacked(parts: list[_Examples], n_courses: int) -> TowerExamples:
    sizes = [len(part.time) for part in parts]
    length = max(part.rows.shape[1] for part in parts)
    rows = np.full((sum(sizes), length), n_courses, np.int32)
    pools = np.zeros((sum(sizes), length, POOLS), np.float32)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        stop, width = start + size, part.rows.shape[1]
        padded = np.arange(width) >= part.lengths[:, None]
        rows[start:stop, :width] = np.where(padded, n_courses, part.rows)
        pools[start:stop, :width] = part.pools
        start = stop
    return TowerExamples(
        user=np.repeat(np.array([part.user for part in parts], np.int32), sizes),
        time=np.concatenate([part.time for part in parts]),
        rows=rows,
        pools=pools,
        strength=np.concatenate([part.strength for part in parts]),
        targets=_rows_of([part.targets for part in parts], n_courses),
        known=_rows_of([part.known for part in parts], n_courses),
    )


def _rows_of(parts: list[tuple[NDArray[np.intp], Rows]], n_courses: int) -> sparse.csr_array:
    lengths, indices = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(len(lengths), n_courses))
