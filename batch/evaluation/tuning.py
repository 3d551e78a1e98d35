"""Choices made on the validation slice, cut by time too: the options of the baselines, and the weights of their blend.

The budget is the same for every data set: the grids of `BASELINES` and `batch.evaluation.blend.TRIALS` weightings, on
at most `MAX_CASES` learners. The hybrid chooses its one option itself, on the end of its training side
(`batch.ranking.fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from batch.encoding import EncodedEvents
from batch.evaluation.baselines import Ease, Ials, ItemKnn, Popularity, TextProfile
from batch.evaluation.blend import TRIALS, Blend, tune_blend
from batch.evaluation.cases import Case, Recommender
from batch.evaluation.evaluate import CatalogueFacts, ndcg
from batch.evaluation.labels import named

METRIC = "ndcg@10"
MAX_CASES = 600
"""Learners of the validation slice looked at in each choice; enough to choose, and quick."""

POPULARITY = "popularity"
RECENT_POPULARITY = "recent_popularity"
TEXT = "tfidf_profile"
BLEND = "blend"

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
        [{"l2": l2} for l2 in (50.0, 500.0, 2000.0, 10_000.0)],
    ),
    "ials": (
        lambda encoded, _text, options: Ials(encoded, options["alpha"], options["half_life_days"], seed=0),
        [{"alpha": alpha, "half_life_days": days} for alpha in (2.0, 20.0) for days in (60.0, 3650.0)],
    ),
    TEXT: (
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
        return sampled(self.cases, MAX_CASES, seed)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the validation slice chose.

    Attributes:
        options: Baseline → its options.
        weights: Of each baseline in the blend.
        learners: How many were looked at.
    """

    options: dict[str, Options]
    weights: dict[str, float]
    learners: int

    def fitted(
        self, encoded: EncodedEvents, text: sparse.csr_array, offered: NDArray[np.bool_]
    ) -> dict[str, Recommender]:
        """All baselines and their blend, fitted on a training side."""
        members = {name: build(encoded, text, self.options[name]) for name, (build, _) in BASELINES.items()}
        return {**members, BLEND: Blend(members, self.weights, offered)}

    def budget(self) -> str:
        """What was tried, as one sentence."""
        sizes = {named(name): len(grid) for name, (_, grid) in BASELINES.items() if len(grid) > 1}
        grids = ", ".join(f"{size} options of {name}" for name, size in sizes.items())
        return (
            f"Tuned on {self.learners:,} learners of the validation slice: {grids}, {TRIALS} weightings of the blend."
        )


def sampled(cases: Sequence[Case], most: int, seed: int) -> Sequence[Case]:
    """At most so many of the cases, in their order, drawn from the seed."""
    if len(cases) <= most:
        return cases
    drawn = np.random.default_rng(seed).choice(len(cases), most, replace=False)
    return [cases[i] for i in np.sort(drawn)]


def tune_baselines(part: Slice, *, seed: int) -> Tuned:
    """The best options of each baseline on the validation slice, by NDCG@10, and the best weights of all together."""
    cases, offered = part.sample(seed), part.facts.offered
    chosen: dict[str, Options] = {}
    members: dict[str, Recommender] = {}
    for name, (build, grid) in BASELINES.items():
        best = -1.0
        for options in grid if cases else grid[:1]:
            model = build(part.encoded, part.facts.text, options)
            value = float(ndcg(model, cases, offered).mean()) if cases else 0.0
            if value > best:
                best, chosen[name], members[name] = value, options, model
    return Tuned(chosen, tune_blend(members, cases, offered, seed=seed), len(cases))
