"""What one comparison of the hybrid with its baselines found.

`batch.evaluation.comparison` makes one; the gate, the figures (`batch.evaluation.figures`) and the report read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batch.encoding import EncodedEvents
from batch.evaluation.cases import Case
from batch.evaluation.evaluate import CatalogueFacts, Evaluation
from batch.evaluation.leakage import Check
from batch.evaluation.tuning import METRIC, Tuned
from batch.metrics import Interval, paired_bootstrap
from batch.text_encoders import TextEncoder
from batch.train import Hybrid
from recsys.exclusion import Exclusion
from recsys.model.bundle import Draft
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles

HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything one comparison found.

    Attributes:
        encoded: The training side.
        fitted: The hybrid fitted on the training side (not the one to publish), and how its training went.
        hyperparameters: Of `fitted`, with the values that the validation slice chose.
        exclusion: What every list leaves out.
        tuned: What the validation slice chose for the baselines.
        cases: Warm learners of the test side, with something relevant; `comparison.MAX_LEARNERS` of more.
        found: How many such learners there were before some were drawn.
        facts: What the training side knows of the courses, for the figures beyond accuracy.
        hybrid: Figures of the hybrid, aligned with `cases`.
        baselines: Figures of each baseline, the blend of all among them.
        cold: Figures of the hybrid (`hybrid`) and of each baseline on learners the training side does not know.
        seeds: Seed → NDCG@10 of the hybrid trained with it on each case `(u,)`; that of `hybrid` first.
        encoder: What turned the courses' texts into vectors.
        alternatives: Figures of hybrids fitted in another way, to compare with.
        checks: The leakage checks, all passed.
        event_types: Type → events on both sides, the most frequent first.
        half_life_days: Of the engagement sums.
        times: First event, validation cut-off, test cut-off, last event; ms since 1970 UTC.
    """

    encoded: EncodedEvents
    fitted: Hybrid
    hyperparameters: HyperParameters
    exclusion: Exclusion
    tuned: Tuned
    cases: Sequence[Case]
    found: int
    facts: CatalogueFacts
    hybrid: Evaluation
    baselines: dict[str, Evaluation]
    cold: dict[str, Evaluation]
    seeds: Mapping[int, Doubles]
    encoder: TextEncoder
    alternatives: Mapping[str, Evaluation]
    checks: Sequence[Check]
    event_types: Mapping[str, int]
    half_life_days: float
    times: tuple[int, int, int, int]

    @property
    def model(self) -> Draft:
        """The hybrid of the training side, as a draft of a bundle."""
        return self.fitted.draft

    def best_baseline(self) -> str:
        """The baseline of highest NDCG@10."""
        return max(self.baselines, key=lambda name: self.baselines[name].mean(METRIC))

    def difference(self, name: str | None = None) -> Interval:
        """NDCG@10 of the hybrid minus that of a baseline (None: the best), paired by learner."""
        other = self.baselines[name or self.best_baseline()].per_user[METRIC]
        return paired_bootstrap(self.hybrid.per_user[METRIC], other, seed=self.hyperparameters.seed)
