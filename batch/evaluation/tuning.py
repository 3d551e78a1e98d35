"""Choices made on the validation slice, cut by time too: the options of the baselines.

The hybrid chooses its one option itself, on the end of its training side (`batch.ranking.fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from batch.encoding import EncodedEvents
from batch.evaluation.baselines import Ease, ItemKnn, Popularity, TextProfile
from batch.evaluation.cases import Case, Recommender
from batch.evaluation.evaluate import CatalogueFacts, evaluate

METRIC = "ndcg@10"
MAX_CASES = 600
"""Learners of the validation slice looked at in each choice; enough to choose, and quick."""

POPULARITY = "popularity"
RECENT_POPULARITY = "recent_popularity"

Options = Mapping[str, float]
Baseline = Callable[[EncodedEvents, sparse.csr_array, Options], Recommender]

BASELINES: dict[str, tuple[Baseline, Sequence[Options]]] = {
    POPULARITY: (lambda encoded, _text, _options: Popularity(encoded), [{}]),
    RECENT_POPULARITY: (
        lambda encoded, _text, options: Popularity(encoded, options["half_life_days"]),
        [{"half_life_days": days} for days in (3.0, 7.0, 14.0, 30.0, 90.0)],
    ),
    "item_knn": (
        lambda encoded, _text, options: ItemKnn(encoded, 100, options["half_life_days"]),
        [{"half_life_days": days} for days in (30.0, 365.0)],
    ),
    "ease": (
        lambda encoded, _text, options: Ease(encoded, options["l2"], 60.0),
        [{"l2": l2} for l2 in (50.0, 500.0, 2000.0)],
    ),
    "tfidf_profile": (
        lambda encoded, text, options: TextProfile(encoded, text, options["half_life_days"]),
        [{"half_life_days": days} for days in (7.0, 30.0, 365.0)],
    ),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """A training side with the cases that came after it."""

    encoded: EncodedEvents
    cases: Sequence[Case]
    facts: CatalogueFacts

    def sample(self, seed: int) -> Sequence[Case]:
        """At most `MAX_CASES` of the cases, drawn from the seed."""
        if len(self.cases) <= MAX_CASES:
            return self.cases
        drawn = np.random.default_rng(seed).choice(len(self.cases), MAX_CASES, replace=False)
        return [self.cases[i] for i in np.sort(drawn)]


def tune_baselines(part: Slice, *, seed: int) -> dict[str, Options]:
    """The best options of each baseline on the validation slice, by NDCG@10."""
    cases = part.sample(seed)
    chosen = {}
    for name, (build, grid) in BASELINES.items():
        if len(grid) == 1 or not cases:
            chosen[name] = grid[0]
            continue
        figures = [
            evaluate(build(part.encoded, part.facts.text, options), cases, part.facts).mean(METRIC) for options in grid
        ]
        chosen[name] = grid[int(np.argmax(figures))]
    return chosen
