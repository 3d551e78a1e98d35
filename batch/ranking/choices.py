"""What is chosen by NDCG@10 on a snapshot: the penalty of the item-item matrices, and the newcomers' popularity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from batch.evaluation.metrics import ndcg_at, ranks, ranks_among
from batch.ranking.item_item import Gram
from batch.ranking.snapshots import Snapshot
from recsys.model.course_features import NAMES, POPULARITY_DAYS
from recsys.model.inputs import Floats, Rows

PENALTIES = (100.0, 500.0, 2500.0, 10_000.0)
WITHOUT_NEWCOMERS_DAYS = 14.0
"""Half-life of the newcomers' popularity where no newcomer shows which is best."""


def penalties(at: Snapshot, learners: Rows, gram: Gram) -> dict[float, float]:
    """Mean NDCG@10 of EASE and future ridge for each of `PENALTIES`.

    Args:
        at: The snapshot.
        learners: Rows of learners with engagement and labels, at least one.
        gram: Of the likes before it.
    """
    roots = np.sqrt(at.sums[learners].toarray()).astype(np.float32)
    return {
        l2: float(np.mean([_ndcg(at, learners, scores) for scores in gram.inverse(l2).scores(roots)]))
        for l2 in PENALTIES
    }


def newcomers(at: Snapshot, learners: Rows) -> Floats:
    """Sums of NDCG@10 by popularity over some newcomers, and their number, `(len(POPULARITY_DAYS) + 1,)`."""
    everything = np.ones(at.seen.shape[1], dtype=bool)
    popularities = [(row, np.sort(row)) for row in at.activity.popularity]
    found = np.zeros(len(POPULARITY_DAYS) + 1, np.float32)
    for learner in learners:
        labels = at.labels.indices[at.labels.indptr[learner] : at.labels.indptr[learner + 1]]
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


def _ndcg(at: Snapshot, learners: Rows, scores: Floats) -> float:
    """Mean NDCG@10 of the scores `(u, n)` of some learners."""
    found = []
    for row, learner in zip(scores, learners, strict=True):
        labels = at.labels.indices[at.labels.indptr[learner] : at.labels.indptr[learner + 1]]
        candidates = np.ones(len(row), dtype=bool)
        candidates[at.seen.indices[at.seen.indptr[learner] : at.seen.indptr[learner + 1]]] = False
        candidates[labels] = True
        found.append(ndcg_at(ranks(row, labels, candidates), 10))
    return float(np.mean(found))
