"""Which model a retrain would publish: the hybrid one, or the baseline it loses to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batch.encoding import EncodedEvents, EngagementRule
from batch.evaluation.evaluate import ndcg
from batch.evaluation.experiment import HYBRID, Experiment
from batch.evaluation.labels import named
from batch.evaluation.served import recommender
from batch.evaluation.tuning import METRIC
from batch.fallback import SERVABLE, fit_fallback
from batch.metrics import Interval, paired_bootstrap
from batch.stages import Stage
from batch.train import fit_hybrid
from recsys.errors import CandidateRejected
from recsys.model.bundle import Draft
from recsys.model.inputs import Doubles


@dataclass(frozen=True, slots=True)
class Candidate:
    """The model that a retrain would publish.

    Attributes:
        name: `HYBRID`, or one of `batch.fallback.SERVABLE`.
        reason: One sentence; the first line of the report.
        per_user: Its NDCG@10 on the cases of the experiment `(u,)`, as it would be served.
        behind: NDCG@10 of the hybrid minus that of the best baseline a bundle can hold, paired by learner.
    """

    name: str
    reason: str
    per_user: Doubles
    behind: Interval

    @property
    def is_fallback(self) -> bool:
        """Whether a baseline stands in for the hybrid."""
        return self.name != HYBRID


def choose_candidate(experiment: Experiment, rule: EngagementRule) -> Candidate:
    """The hybrid, unless it is shown to be worse than a baseline that a bundle can hold; then the best of those.

    Worse is shown by the 95 % interval of the difference in NDCG@10, paired by learner, on the test side.
    """
    hybrid = experiment.hybrid.per_user[METRIC]
    best = max(SERVABLE, key=lambda name: experiment.baselines[name].mean(METRIC))
    behind = paired_bootstrap(hybrid, experiment.baselines[best].per_user[METRIC], seed=experiment.hyperparameters.seed)
    said = f"NDCG@10 {behind.mean:+.4f} (95 % {behind.low:+.4f} … {behind.high:+.4f}) against {named(best)}"
    if behind.high >= 0:
        return Candidate(HYBRID, f"The hybrid model is the candidate: {said}.", hybrid, behind)
    draft = fit_fallback(best, experiment.encoded, experiment.hyperparameters, experiment.tuned.options[best], rule)
    served = ndcg(recommender(draft), experiment.cases, experiment.facts.offered)
    reason = f"A baseline, {named(best)}, is the candidate, because the hybrid model loses to it: {said}."
    return Candidate(best, reason, served, behind)


def fit_candidate(
    candidate: Candidate,
    encoded: EncodedEvents,
    experiment: Experiment,
    rule: EngagementRule,
    *,
    learn: bool,
    stage: Stage,
) -> Draft:
    """Fits the candidate on the events given, with what the experiment chose.

    Args:
        candidate: Which model.
        encoded: The events.
        experiment: Of the candidate.
        rule: How events are read.
        learn: Whether the hybrid learns its mixer from these events, or takes over that of the experiment, whose events
            must then be among these.
        stage: Shows progress.

    Raises:
        CandidateRejected: When training ended in numbers that are none.
    """
    if candidate.is_fallback:
        options = experiment.tuned.options[candidate.name]
        return checked(fit_fallback(candidate.name, encoded, experiment.hyperparameters, options, rule))
    learned = None if learn else experiment.model
    fitted = fit_hybrid(
        encoded, experiment.hyperparameters, rule, learned=learned, encoder=experiment.encoder, stage=stage
    )
    return checked(fitted.draft)


def checked(draft: Draft) -> Draft:
    """The draft, if all of its arrays are finite: the last fit is on everything, and no slice is left to judge it by.

    Raises:
        CandidateRejected: Names the arrays that are not.
    """
    broken = [name for name, array in draft.arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise CandidateRejected(f"nothing published: training ended in numbers that are none, in {', '.join(broken)}")
    return draft
