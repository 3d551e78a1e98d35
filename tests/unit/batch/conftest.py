"""A small history with a law in it: every learner takes courses of one subject only, in an order of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EngagementRule
from batch.evaluation.experiment import Experiment
from batch.history import History
from batch.pipeline import Retrained, retrain
from batch.preparation import prepare
from recsys.catalog import Course
from recsys.engagement import EngagementWeights, ForwardDecay
from recsys.exclusion import Exclusion
from recsys.model.hyperparameters import HyperParameters
from recsys.settings import Settings
from recsys.vocabulary import DEFAULT_WEIGHTS

DAY = 86_400_000
START = 1_700_000_000_000
NOW = 1_710_000_000_000
SUBJECTS = {"cooking": ("bread", "soup", "pasta"), "kafka": ("topic", "broker", "offset")}


@pytest.fixture(scope="session")
def courses() -> list[Course]:
    return [
        Course(course_id=f"{subject}-{i}", title=f"{subject} {words[i % 3]}", intro=" ".join(words), category=subject)
        for subject, words in SUBJECTS.items()
        for i in range(20)
    ]


@pytest.fixture(scope="session")
def events() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for learner in range(120):
        subject = list(SUBJECTS)[learner % 2]
        taken = rng.permutation(20)[: int(rng.integers(6, 12))]
        times = np.sort(rng.integers(0, 60 * DAY, len(taken))) + START
        rows += [(f"l{learner}", f"{subject}-{c}", "click", int(t)) for c, t in zip(taken, times, strict=True)]
    frame = pd.DataFrame(rows, columns=["user_id", "course_id", "type", "timestamp"])
    frame.insert(0, "event_id", [f"e{i}" for i in range(len(frame))])
    return frame.assign(value=np.nan, session_id=None, user_agent=None, into=None)


@pytest.fixture(scope="session")
def rule() -> EngagementRule:
    return EngagementRule(EngagementWeights(DEFAULT_WEIGHTS), ForwardDecay(30.0), Exclusion())


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
