"""Each way in which an evaluation could know its answers ends the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import Case
from batch.evaluation.comparison import run_experiment
from batch.evaluation.experiment import Experiment
from batch.evaluation.leakage import Check, LeakFound, checks_of_history, checks_of_model, require_no_leak
from batch.features import fit_text
from batch.ranking.snapshots import activity_before
from batch.stages import silent
from recsys.catalog import Course
from recsys.model.bundle import Draft
from recsys.model.course_features import course_features
from recsys.model.hyperparameters import HyperParameters

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Checked:
    """The checks of one experiment, with parts of it replaced."""

    def __init__(self, events: pd.DataFrame, experiment: Experiment, rule: EngagementRule) -> None:
        self._events, self._experiment, self._rule = events, experiment, rule
        self.cutoff = experiment.times[2]

    def __call__(
        self,
        *,
        events: pd.DataFrame | None = None,
        encoded: EncodedEvents | None = None,
        cases: Sequence[Case] | None = None,
        model: Draft | None = None,
    ) -> list[Check]:
        mine = self._experiment
        events, encoded = self._events if events is None else events, encoded or mine.encoded
        asked = mine.cases if cases is None else cases
        return [
            *checks_of_history(events, encoded, asked, self._rule, self.cutoff),
            *checks_of_model(events, encoded, model or mine.model, self._rule, self.cutoff),
        ]


@pytest.fixture
def checked(events: pd.DataFrame, experiment: Experiment, rule: EngagementRule) -> Checked:
    return Checked(events, experiment, rule)


def failed(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_an_honest_comparison_passes_every_check(checked: Checked, experiment: Experiment) -> None:
    checks = checked()
    require_no_leak(checks)
    assert len(checks) == len(experiment.checks) == 6
    pairs = next(check for check in checks if check.name == "no test pair is in training")
    assert re.fullmatch(r"0 of [\d,]+ test pairs are in training", pairs.found)
    known = next(check for check in checks if check.name.startswith("every learner"))
    assert known.found == f"0 of {len(experiment.model.users)} learners of the model are unknown before it"


def test_training_on_events_of_the_test_side_is_found(
    checked: Checked, events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    everything = encode(events, courses, rule)
    found = failed(checked(encoded=everything))
    assert "every training event is before the cut-off" in found
    assert "no test pair is in training" in found


def test_a_test_pair_in_training_is_found(checked: Checked, experiment: Experiment) -> None:
    case = experiment.cases[0]
    asked = case._replace(relevant=np.append(case.relevant, case.rows[:1]).astype(np.int32))
    assert failed(checked(cases=[asked, *experiment.cases[1:]])) == ["no test pair is in training"]


def test_a_vocabulary_fitted_on_courses_that_came_later_is_found(
    checked: Checked, experiment: Experiment, courses: Sequence[Course], small: HyperParameters
) -> None:
    late = Course(course_id="late", title="quantum chromodynamics quantum", intro="chromodynamics chromodynamics")
    text = fit_text([*courses, late, msgspec.structs.replace(late, course_id="later")], small)
    model = replace(experiment.model, documents={**experiment.model.documents, "tfidf.json": text.document()})
    (name,) = failed(checked(model=model))
    assert "vocabulary" in name
    with pytest.raises(LeakFound, match="such as 'chromodynamics"):
        require_no_leak(checked(model=model))


def test_popularity_fitted_after_the_cut_is_found(
    checked: Checked, experiment: Experiment, events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    everything = encode(events, courses, rule)
    arrays = dict(experiment.model.arrays)
    features = course_features(activity_before(everything, int(everything.time[-1]) + 1))
    arrays["features"] = (features - arrays["feature_mean"]) / arrays["feature_scale"]
    model = replace(experiment.model, arrays=arrays)
    assert failed(checked(model=model)) == ["popularity counts events before the cut-off"]


def test_a_learner_the_model_cannot_know_is_found(checked: Checked, experiment: Experiment) -> None:
    model = replace(experiment.model, users=[*experiment.model.users, "of tomorrow"])
    assert failed(checked(model=model)) == ["every learner of the model is known before the cut-off"]


def with_a_bot(events: pd.DataFrame) -> pd.DataFrame:
    start = int(events["timestamp"].min())
    crawler = events.head(30).assign(
        user_id="crawler",
        event_id=[f"b{i}" for i in range(30)],
        timestamp=start + np.arange(30) * 60_000,
        user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)",
    )
    return pd.concat([events, crawler], ignore_index=True)


def test_a_flagged_bot_in_training_ends_the_run_before_anything_is_trained(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    """The whole comparison, on events that nobody cleaned of bots."""
    stages: list[str] = []

    def stage(name: str) -> Callable[[int, int], None]:
        stages.append(name)
        return silent(name)

    with pytest.raises(LeakFound, match=r"no learner flagged as a bot is in training: 1 of \d+ learners are flagged"):
        run_experiment(with_a_bot(events), courses, small, rule, stage=stage)
    assert stages == []
