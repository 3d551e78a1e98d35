"""The gate: a candidate is published only if it is not worse than the model in use on the newest slice.

Only a slice that neither has seen can decide. So a retrain cuts its test side off where the current model's history
ends; where too little has come since, nothing can be compared fairly and only the floor holds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from batch.evaluation.evaluate import evaluate
from batch.evaluation.experiment import Experiment
from batch.evaluation.metrics import Interval, paired_bootstrap
from batch.evaluation.tuning import METRIC, POPULARITY
from batch.train import ScorerRecommender
from recsys.model.scorer import Scorer

TOLERANCE = 0.1
"""Share of the current NDCG@10 by which the lower bound may lie below it: chance alone costs a small slice as much."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided.

    Attributes:
        passed: Whether the candidate may be published.
        current: Version compared with; None when no model was in use.
        difference: NDCG@10 of the candidate minus the current model's, paired by learner; None without a current model.
        reason: One line.
    """

    passed: bool
    current: str | None
    difference: Interval | None
    reason: str

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"difference": self.difference._asdict() if self.difference else None}


def compare(experiment: Experiment, current: Scorer | None) -> Verdict:
    """Compares candidate and current model on the test side of the experiment.

    Args:
        experiment: Of the candidate; its hybrid was fitted on what came before the test side.
        current: The model in use, None for the first, or where it has seen the test side.
    """
    seed = experiment.hyperparameters.seed
    mine = experiment.hybrid.per_user.get(METRIC)
    if mine is None:
        return Verdict(passed=True, current=None, difference=None, reason="nobody to compare on")
    floor = paired_bootstrap(mine, experiment.baselines[POPULARITY].per_user[METRIC], seed=seed)
    if floor.high < 0:
        reason = f"expected NDCG@10 not below plain popularity, received {floor.mean:+.4f} ({_span(floor)})"
        return Verdict(passed=False, current=None, difference=None, reason=reason)
    if current is None:
        return Verdict(passed=True, current=None, difference=None, reason="no other model to compare with fairly")
    model = ScorerRecommender(current, experiment.model.courses)
    theirs = evaluate(model, experiment.cases, experiment.facts).per_user[METRIC]
    difference = paired_bootstrap(mine, theirs, seed=seed)
    lowest = -TOLERANCE * float(theirs.mean())
    reason = (
        f"expected NDCG@10 not worse than that of {current.version} (lower bound at least {lowest:.4f}), "
        f"received {difference.mean:+.4f} ({_span(difference)})"
    )
    return Verdict(passed=difference.low >= lowest, current=current.version, difference=difference, reason=reason)


def _span(interval: Interval) -> str:
    return f"95 % interval {interval.low:+.4f} … {interval.high:+.4f}"
