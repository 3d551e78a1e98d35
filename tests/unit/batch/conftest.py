"""One history for all tests of training, and what was trained on it once."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from batch.encoding import EngagementRule
from batch.evaluation.experiment import Experiment
from batch.history import History
from batch.pipeline import Retrained, retrain
from batch.preparation import prepare
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.settings import Settings
from tests.doubles.two_subjects import RULE, draw_courses, draw_events

NOW = 1_710_000_000_000


@pytest.fixture(scope="session")
def courses() -> list[Course]:
    return draw_courses()


@pytest.fixture(scope="session")
def events() -> pd.DataFrame:
    return draw_events()


@pytest.fixture(scope="session")
def rule() -> EngagementRule:
    return RULE


@pytest.fixture(scope="session")
def small() -> HyperParameters:
    return HyperParameters(
        vector_dim=16,
        user_dim=8,
        hidden=16,
        text_dim=8,
        history_length=6,
        epochs=4,
        item_item_l2=5.0,
        shared_instants=8,
        origins=2,
        lists=200,
        members=1,
        mixer_steps=80,
    )


@pytest.fixture(scope="session")
def quick(small: HyperParameters) -> HyperParameters:
    """Goes through every step of training, for tests that do not look at what was learned."""
    return replace(small, epochs=1, origins=1, lists=40, mixer_steps=20)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Those of `retrained`."""
    root = tmp_path_factory.mktemp("retrain")
    return Settings(models_dir=root / "models", reports_dir=root / "reports")


@pytest.fixture(scope="session")
def history(events: pd.DataFrame, courses: list[Course]) -> History:
    return History(events, tuple(courses), "interactions.csv")


@pytest.fixture(scope="session")
def retrained(history: History, settings: Settings, small: HyperParameters) -> Retrained:
    """The first retrain of a new system."""
    return retrain(prepare(history, at_ms=NOW), settings, small, None, at_ms=NOW)


@pytest.fixture(scope="session")
def experiment(retrained: Retrained) -> Experiment:
    """What the retrain compared: made once for all tests of what is made from it."""
    return retrained.experiment
