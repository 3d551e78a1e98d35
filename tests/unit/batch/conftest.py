"""A small history with a law in it: every learner takes courses of one subject only, in an order of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EngagementRule
from recsys.catalog import Course
from recsys.engagement import EngagementWeights, ForwardDecay
from recsys.exclusion import Exclusion
from recsys.model.hyperparameters import HyperParameters
from recsys.vocabulary import DEFAULT_WEIGHTS

DAY = 86_400_000
START = 1_700_000_000_000
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
