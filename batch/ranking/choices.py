"""Chosen by NDCG@10 on a snapshot: the penalty of the item-item matrices, what newcomers get, new courses' bonus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from batch.metrics import ndcg_at, ranks, ranks_among
from batch.ranking.snapshots import Snapshot
from recsys.course_sums.activity import POPULARITY_DAYS
from recsys.model.course_features import NAMES
from recsys.model.inputs import Floats, Rows
from recsys.model.item_item import Gram
from recsys.model.top_k import top_rows

PENALTIES = (100.0, 500.0, 2500.0, 10_000.0)
WITHOUT_NEWCOMERS_DAYS = 14.0
"""Half-life of the newcomers' popularity where no newcomer shows which is best."""


BONUSES = tuple(0.25 * step for step in range(17))
SHARE_OF = 20
"""New courses are counted in the first so many places."""

LOST_AT_MOST = 0.01
"""Share of NDCG@10 that new courses may cost."""

_CELLS = 1 << 22
"""Scores held at a time while penalties are compared: 16 MiB, some copies of it."""


def penalties(at: Snapshot, learners: Rows, gram: Gram) -> dict[float, float]:
    """Mean NDCG@10 of EASE and future ridge for each of `PENALTIES`.

    Args:
        at: The snapshot.
        learners: Rows of learners with engagement and labels, at least one.
        gram: Of the likes before it.
    """
    parts = np.array_split(learners, -(-len(learners) * at.seen.shape[1] // _CELLS))
    found = {}
    for l2 in PENALTIES:
        inverse, gained = gram.inverse(l2), 0.0
        for some in parts:
            roots = np.sqrt(at.sums[some].toarray()).astype(np.float32)
            gained += sum(_gained(at, some, scores) for scores in inverse.scores(roots))
        found[l2] = gained / (2 * len(learners))
    return found


def newcomers(at: Snapshot, learners: Rows) -> Floats:
    """Sums of NDCG@10 by popularity over some newcomers, and their number, `(len(POPULARITY_DAYS) + 1,)`."""
    everything = np.ones(at.seen.shape[1], dtype=bool)
    popularities = [(row, np.sort(row)) for row in at.activity.popularity]
    found = np.zeros(len(POPULARITY_DAYS) + 1, np.float32)
    for learner in learners:
        labels = _labels(at, learner)
        found[:-1] += [ndcg_at(ranks_among(row, labels, everything, ascending), 10) for row, ascending in popularities]
        found[-1] += 1
    return found


def best_popularity(found: Sequence[Floats]) -> Floats:
    """Feature weights of newcomers `(len(NAMES),)`: all on the popularity of highest NDCG@10 over some snapshots."""
    total = np.sum(found, axis=0)
    best = int(np.argmax(total[:-1])) if total[-1] else POPULARITY_DAYS.index(WITHOUT_NEWCOMERS_DAYS)
    weights = np.zeros(len(NAMES), np.float32)
    weights[best] = 1.0
    return weights


def new_course_bonus(
    at: Snapshot, learners: Rows, score: Callable[[int], Floats], untouched: NDArray[np.bool_]
) -> float:
    """What is added to the score of courses that nobody touched yet.

    A ranking by expected gain shows new courses less often than learners take them: each alone is less sure than a
    known one. So the bonus is the largest at which they have no larger share of the lists than of the new likes
    (calibration: Steck, "Calibrated recommendations", RecSys 2018), as long as NDCG@10 falls by no more than
    `LOST_AT_MOST`.

    Args:
        at: The snapshot.
        learners: Rows with engagement and labels.
        score: The scores of all courses for a learner `(n,)`.
        untouched: Mask `(n,)` of courses without any event before the snapshot.

    Returns:
        One of `BONUSES`; 0 where nobody took a new course.
    """
    labels = [_labels(at, learner) for learner in learners]
    share = float(np.mean([untouched[taken].mean() for taken in labels])) if labels else 0.0
    if not share:
        return 0.0
    gained, shown = np.zeros(len(BONUSES)), np.zeros(len(BONUSES))
    for learner, taken in zip(learners, labels, strict=True):
        scores, candidates = score(int(learner)), _candidates(at, learner)
        for place, bonus in enumerate(BONUSES):
            raised = scores + np.float32(bonus) * untouched.astype(np.float32)
            gained[place] += ndcg_at(ranks(raised, taken, candidates), 10)
            first = top_rows(np.where(candidates, raised, -np.inf), SHARE_OF)
            shown[place] += untouched[first].mean() if len(first) else 0.0
    allowed = (gained >= (1 - LOST_AT_MOST) * gained[0]) & (shown <= share * len(labels))
    return max((bonus for bonus, good in zip(BONUSES, allowed, strict=True) if good), default=0.0)


def _labels(at: Snapshot, learner: int) -> Rows:
    rows: Rows = at.labels.indices[at.labels.indptr[learner] : at.labels.indptr[learner + 1]]
    return rows


def _candidates(at: Snapshot, learner: int) -> NDArray[np.bool_]:
    """What a list at the snapshot could hold `(n,)`: labels, and all that the learner has not seen."""
    candidates = np.ones(at.seen.shape[1], dtype=bool)
    candidates[at.seen.indices[at.seen.indptr[learner] : at.seen.indptr[learner + 1]]] = False
    candidates[_labels(at, learner)] = True
    return candidates


def _gained(at: Snapshot, learners: Rows, scores: Floats) -> float:
    """The sum of NDCG@10 of the scores `(u, n)` of some learners."""
    pairs = zip(scores, learners, strict=True)
    return sum(ndcg_at(ranks(row, _labels(at, learner), _candidates(at, learner)), 10) for row, learner in pairs)
