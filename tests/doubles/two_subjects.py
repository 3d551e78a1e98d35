"""A small history with a law in it: every learner takes courses of one subject only, in an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from batch.encoding import EngagementRule
from recsys.catalog import Course
from recsys.engagement import MS_PER_DAY, EngagementWeights, ForwardDecay
from recsys.exclusion import Exclusion
from recsys.files import course_frame, write_courses, write_interactions
from recsys.model.hyperparameters import HyperParameters
from recsys.vocabulary import DEFAULT_WEIGHTS

START_MS = 1_700_000_000_000
SUBJECTS = {"cooking": ("bread", "soup", "pasta"), "kafka": ("topic", "broker", "offset")}
RULE = EngagementRule(EngagementWeights(DEFAULT_WEIGHTS), ForwardDecay(30.0), Exclusion())
QUICK = HyperParameters(
    vector_dim=8, user_dim=4, hidden=8, text_dim=4, epochs=1, origins=2, lists=60, members=1, mixer_steps=20
)
"""Goes through every step of training, for tests that do not look at what was learned."""


def draw_courses() -> list[Course]:
    return [
        Course(course_id=f"{subject}-{i}", title=f"{subject} {words[i % 3]}", intro=" ".join(words), category=subject)
        for subject, words in SUBJECTS.items()
        for i in range(20)
    ]


def draw_events() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for learner in range(120):
        subject = list(SUBJECTS)[learner % 2]
        taken = rng.permutation(20)[: int(rng.integers(6, 12))]
        times = np.sort(rng.integers(0, 60 * MS_PER_DAY, len(taken))) + START_MS
        rows += [(f"l{learner}", f"{subject}-{c}", "click", int(t)) for c, t in zip(taken, times, strict=True)]
    frame = pd.DataFrame(rows, columns=["user_id", "course_id", "type", "timestamp"])
    frame.insert(0, "event_id", [f"e{i}" for i in range(len(frame))])
    return frame.assign(value=np.nan, session_id=None, user_agent=None, into=None)


def half_bad(events: pd.DataFrame, courses: Sequence[Course], folder: Path) -> list[str]:
    """Files in which most rows are lost: half are refused, a third of the rest names unknown courses."""
    rows = events.assign(type=np.where(np.arange(len(events)) % 2, "Enroll", "enroll"))
    rows["course_id"] = np.where(np.arange(len(rows)) % 6 == 0, "gone", rows["course_id"])
    write_interactions(rows, folder / "i.csv")
    write_courses(course_frame(courses), folder / "c.csv")
    return ["--interactions", str(folder / "i.csv"), "--courses", str(folder / "c.csv"), "--epochs", "1"]
