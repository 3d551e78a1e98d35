"""Offline evaluation: full-catalogue ranking at one cut-off of what an answer may hold, nothing sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from batch.encoding import EncodedEvents
from batch.evaluation.cases import Case, Recommender
from batch.metrics import bootstrap, ndcg_at, ranks, ranks_among, recall_at, reciprocal_rank
from recsys.model.inputs import Doubles, Floats
from recsys.model.top_k import top_rows

KS = (5, 10, 20)
LIST_LENGTH = 10
HEAD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model's figures.

    Attributes:
        per_user: Metric name → values `(u,)`, aligned with the cases.
        overall: Metrics of the lists taken together: coverage, novelty, intra-list diversity, head share.
    """

    per_user: dict[str, Doubles]
    overall: dict[str, float]

    def mean(self, metric: str) -> float:
        """Average over the learners it is defined for; 0 without any."""
        values = self.per_user.get(metric, np.zeros(0))
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else 0.0

    def summary(self, *, seed: int) -> dict[str, Any]:
        """All figures as JSON values, with 95 % intervals beside the means."""
        figures: dict[str, Any] = {metric: self.mean(metric) for metric in self.per_user}
        figures |= self.overall
        figures["intervals"] = {
            metric: list(bootstrap(values[~np.isnan(values)], seed=seed)[1:])
            for metric, values in self.per_user.items()
        }
        return figures


class CatalogueFacts:
    """What the metrics need to know of the training side: popularity for novelty and segments, text for diversity.

    Args:
        encoded: The training side.
        text: TF-IDF rows of the catalogue, unit length or empty, `(n, v)`.
    """

    def __init__(self, encoded: EncodedEvents, text: sparse.csr_array) -> None:
        self.offered = np.array([not course.retired for course in encoded.courses], dtype=bool)
        self.users = np.asarray(encoded.touched().sum(axis=0)).ravel()
        self.self_information = -np.log2((self.users + 1.0) / (len(encoded.users) + 1.0))
        self.head = np.zeros(len(self.users), dtype=bool)
        self.head[np.argsort(-self.users, kind="stable")[: int(len(self.users) * HEAD_SHARE)]] = True
        self.cold = self.users == 0
        self.text = text


def evaluate(
    model: Recommender,
    cases: Sequence[Case],
    facts: CatalogueFacts,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ranks the catalogue for every case.

    Args:
        model: What is evaluated.
        cases: Learners with something relevant.
        facts: Of the training side.
        progress: Called after each case.
    """
    rows: list[dict[str, float]] = []
    lists: list[list[int]] = []
    for case in cases:
        scores = model.score(case)
        candidates = facts.offered.copy()
        candidates[case.excluded] = False
        rows.append(_figures(case, scores, candidates, facts))
        lists.append(top_rows(np.where(candidates, scores, -np.inf), LIST_LENGTH))
        progress()
    names = rows[0] if rows else {}
    per_user = {name: np.array([row[name] for row in rows]) for name in names}
    return Evaluation(per_user, _overall(lists, facts))


def ndcg(model: Recommender, cases: Sequence[Case], offered: NDArray[np.bool_]) -> Doubles:
    """NDCG@10 of each case `(u,)`, as `evaluate` computes it, and nothing else.

    Args:
        model: What is evaluated.
        cases: Learners with something relevant.
        offered: Mask `(n_courses,)` of what may be recommended at all.
    """
    values = np.zeros(len(cases))
    for place, case in enumerate(cases):
        candidates = offered.copy()
        candidates[case.excluded] = False
        values[place] = ndcg_at(ranks(model.score(case), case.relevant, candidates), LIST_LENGTH)
    return values


def _figures(case: Case, scores: Floats, candidates: NDArray[np.bool_], facts: CatalogueFacts) -> dict[str, float]:
    clean = np.where(np.isnan(scores), -np.inf, scores)
    ascending = np.sort(clean[candidates])
    places = ranks_among(clean, case.relevant, candidates, ascending)
    figures = {"mrr": reciprocal_rank(places)}
    for k in KS:
        figures[f"ndcg@{k}"] = ndcg_at(places, k)
        figures[f"recall@{k}"] = recall_at(places, k)
    for name, segment in (("head", facts.head), ("tail", ~facts.head), ("cold_courses", facts.cold)):
        part = case.relevant[segment[case.relevant]]
        figures[f"recall@20_{name}"] = (
            recall_at(ranks_among(clean, part, candidates, ascending), 20) if part.size else np.nan
        )
    return figures


def _overall(lists: Sequence[Sequence[int]], facts: CatalogueFacts) -> dict[str, float]:
    shown = [row for rows in lists for row in rows]
    if not shown:
        return {"coverage@10": 0.0, "novelty@10": 0.0, "diversity@10": 0.0, "head_share@10": 0.0}
    return {
        "coverage@10": len(set(shown)) / max(1, int(facts.offered.sum())),
        "novelty@10": float(facts.self_information[shown].mean()),
        "diversity@10": mean_diversity(lists, facts.text),
        "head_share@10": float(facts.head[shown].mean()),
    }


def mean_diversity(lists: Sequence[Sequence[int]], text: sparse.csr_array) -> float:
    """1 − mean cosine similarity of the pairs of a list, on average over the lists of more than one; 0 without any.

    Args:
        lists: Course rows, each at most once in a list.
        text: TF-IDF rows of the catalogue, unit length or empty, `(n, v)`.
    """
    lists = [rows for rows in lists if len(rows) > 1]
    if not lists:
        return 0.0
    sizes = np.array([len(rows) for rows in lists])
    bounds = np.concatenate([[0], sizes.cumsum()])
    shown = sparse.csr_array((np.ones(bounds[-1]), np.concatenate(lists), bounds), shape=(len(lists), text.shape[0]))
    pairs = (shown @ text).power(2).sum(axis=1) - shown @ text.power(2).sum(axis=1)
    return float((1.0 - pairs / (sizes * (sizes - 1))).mean())
