"""One comparison, made once for all tests of what is made from it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from batch.encoding import EngagementRule
from batch.evaluation.experiment import Experiment, run_experiment
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters


@pytest.fixture(scope="package")
def experiment(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> Experiment:
    return run_experiment(events, courses, small, rule)
