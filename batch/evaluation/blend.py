"""The tuned linear blend of all baselines: what a careful engineer gets from them without a learned ranker.

Scores of each baseline are standardised over the courses an answer may hold, so that one weight each is enough; the
weights are searched on the validation slice with a fixed budget, the same for every data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.cases import Case, Recommender
from recsys.model.inputs import Doubles, Floats

TRIALS = 160
"""Weightings looked at: half of them drawn, half of them steps from the best one found."""

MAX_CELLS = 12_000_000
"""Scores held while tuning, over members, learners and courses; fewer learners are looked at where there are more."""

_STEPS = (0.0, 0.5, 2.0)
_SMALLEST = 0.05
_TIE = 1e-6
_CUT_OFF = 10


class Blend:
    """A weighted sum of standardised scores.

    Args:
        members: Fitted on one training side.
        weights: Of each member.
        offered: Mask `(n_courses,)` of what may be recommended at all.
    """

    def __init__(
        self, members: Mapping[str, Recommender], weights: Mapping[str, float], offered: NDArray[np.bool_]
    ) -> None:
        self._members = [(members[name], np.float32(weight)) for name, weight in weights.items() if weight]
        self._offered = offered

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        candidates = _candidates(case, self._offered)
        total = np.zeros(len(candidates), np.float32)
        for member, weight in self._members:
            total += weight * standardised(member.score(case), candidates)
        return total


def standardised(scores: Floats, candidates: NDArray[np.bool_]) -> Floats:
    """Scores `(n,)` less their mean over the candidates, over their deviation there; zeros where all are equal."""
    among = scores[candidates].astype(np.float64)
    mean, deviation = among.mean(), among.std()
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return np.zeros(len(scores), np.float32)
    scaled: Floats = ((scores - mean) / deviation).astype(np.float32)
    return scaled


def tune_blend(
    members: Mapping[str, Recommender], cases: Sequence[Case], offered: NDArray[np.bool_], *, seed: int
) -> dict[str, float]:
    """The weights of highest NDCG@10 among `TRIALS`, all alike where there is nobody to ask.

    Args:
        members: Fitted on what came before the cases.
        cases: Of the validation slice.
        offered: Mask `(n_courses,)`.
        seed: Of the drawn weightings.
    """
    rng = np.random.default_rng(seed)
    cases = cases[: max(1, MAX_CELLS // (len(offered) * len(members)))]
    if not cases:
        return dict.fromkeys(members, 1.0)
    scores, labels, ideal = _stacked(list(members.values()), cases, offered)

    def quality(weights: Doubles) -> float:
        return _ndcg(np.tensordot(weights.astype(np.float32), scores, axes=1), labels, ideal)

    tried = [*np.eye(len(members)), np.ones(len(members))]
    tried += list(rng.dirichlet(np.full(len(members), 0.7), TRIALS // 2 - len(tried)))
    found = [quality(weights) for weights in tried]
    best, value = tried[int(np.argmax(found))], max(found)
    for trial in range(TRIALS // 2):
        place, step = trial // len(_STEPS) % len(members), _STEPS[trial % len(_STEPS)]
        other = best.copy()
        other[place] = step * other[place] if other[place] else _SMALLEST * best.sum() * (trial % len(_STEPS) + 1)
        if other.any() and (better := quality(other)) > value:
            best, value = other, better
    return {name: float(weight) for name, weight in zip(members, best / best.sum(), strict=True)}


def _candidates(case: Case, offered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    candidates = offered.copy()
    candidates[case.excluded] = False
    return candidates


def _stacked(
    members: Sequence[Recommender], cases: Sequence[Case], offered: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_], Doubles]:
    """Standardised scores `(m, u, n)`, what is relevant `(u, n)`, and each learner's best possible gain `(u,)`."""
    scores = np.empty((len(members), len(cases), len(offered)), np.float32)
    labels = np.zeros((len(cases), len(offered)), dtype=bool)
    for at, case in enumerate(cases):
        candidates = _candidates(case, offered)
        labels[at, case.relevant] = True
        for member, recommender in enumerate(members):
            scores[member, at] = standardised(recommender.score(case), candidates)
            # What may not be shown is far below everything, whatever the weights.
            scores[member, at, ~candidates] = -1e6
    gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, _CUT_OFF + 2)))])
    return scores, labels, gains[np.minimum(labels.sum(axis=1), _CUT_OFF)]


def _ndcg(scores: Floats, labels: NDArray[np.bool_], ideal: Doubles) -> float:
    """Mean NDCG@10 of scores `(u, n)`; ties count against the relevant."""
    scores = scores - labels.astype(np.float32) * np.float32(_TIE)
    most = min(_CUT_OFF, scores.shape[1])
    top = np.argpartition(-scores, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
    hits = np.take_along_axis(labels, np.take_along_axis(top, order, 1), 1)
    gained = (hits / np.log2(np.arange(2, most + 2))).sum(axis=1)
    return float((gained / ideal).mean())
