"""What it costs in NDCG to make the hybrid's lists less alike (`recsys.model.diversity`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from batch.evaluation.cases import Case, Recommender
from batch.evaluation.evaluate import LIST_LENGTH, CatalogueFacts, mean_diversity
from batch.metrics import bootstrap, ndcg_at, paired_bootstrap
from recsys.catalog import Course
from recsys.model.diversity import capped, mmr
from recsys.model.inputs import Floats, Rows
from recsys.model.top_k import top_rows

POOL = 50
"""Courses that are re-ranked."""

MMR_WEIGHTS = (0.9, 0.7, 0.5)
CAPS = (3, 1)

Rerank = Callable[[Rows, Floats], Sequence[int]]


def diversity_cost(
    model: Recommender, cases: Sequence[Case], facts: CatalogueFacts, courses: Sequence[Course], *, seed: int
) -> dict[str, Any]:
    """NDCG@10, diversity and coverage of each re-ranking, as JSON values; the model's own lists first.

    Args:
        model: Whose lists are re-ranked.
        cases: Learners with something relevant.
        facts: Of the training side.
        courses: The catalogue.
        seed: Of the intervals.
    """
    ways = _ways(facts.text, courses)
    values: dict[str, list[float]] = {name: [] for name in ways}
    lists: dict[str, list[list[int]]] = {name: [] for name in ways}
    for case in cases:
        scores = model.score(case)
        candidates = facts.offered.copy()
        candidates[case.excluded] = False
        pool = np.array(top_rows(np.where(candidates, scores, -np.inf), POOL), np.int32)
        for name, rerank in ways.items():
            shown = pool[list(rerank(pool, scores[pool]))]
            places = np.flatnonzero(np.isin(shown, case.relevant)) + 1.0
            missed = np.full(len(case.relevant) - len(places), np.inf)
            values[name].append(ndcg_at(np.concatenate([places, missed]), LIST_LENGTH))
            lists[name].append(shown.tolist())
    whole = np.array(values["as ranked"])
    offered = max(1, int(facts.offered.sum()))
    rows = [
        {
            "name": name,
            "ndcg": bootstrap(np.array(found), seed=seed)._asdict(),
            "difference": paired_bootstrap(whole, np.array(found), seed=seed)._asdict(),
            "diversity": mean_diversity(lists[name], facts.text),
            "coverage": len({row for rows in lists[name] for row in rows}) / offered,
        }
        for name, found in values.items()
    ]
    return {"pool": POOL, "learners": len(cases), "rows": rows}


def _ways(text: sparse.csr_array, courses: Sequence[Course]) -> dict[str, Rerank]:
    def by_mmr(weight: float) -> Rerank:
        def rerank(pool: Rows, scores: Floats) -> Sequence[int]:
            rows = text[pool]
            return mmr(scores, (rows @ rows.T).toarray().astype(np.float32), LIST_LENGTH, weight=weight)

        return rerank

    def by_cap(most: int) -> Rerank:
        return lambda pool, _scores: capped([courses[row].category for row in pool], LIST_LENGTH, most=most)

    ways: dict[str, Rerank] = {"as ranked": lambda pool, _scores: range(min(LIST_LENGTH, len(pool)))}
    if text.nnz:
        ways |= {f"MMR, weight {weight:g} on relevance": by_mmr(weight) for weight in MMR_WEIGHTS}
    if any(course.category for course in courses):
        ways |= {f"at most {most} of a category": by_cap(most) for most in CAPS}
    return ways
