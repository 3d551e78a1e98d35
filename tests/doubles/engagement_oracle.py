"""An independent answer to what the engagement scores must be: pandas over the file, nothing of `stream` in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

WEIGHTS = {
    "view": 1.0,
    "click": 5.0,
    "play": 2.0,
    "progress": 2.0,
    "bookmark": 4.0,
    "enroll": 10.0,
    "complete": 12.0,
    "rate": 3.0,
    "dismiss": -5.0,
    "unenroll": -10.0,
}
MS_PER_DAY = 86_400_000.0


def expected_scores(
    interactions: pd.DataFrame, at_ms: int, half_life_days: float = 30.0
) -> dict[tuple[str, str], float]:
    """(user, course) → Σ wᵢ · 2^(−(t − tᵢ)/h) over the first event of each (user_id, event_id)."""
    events = interactions.drop_duplicates(["user_id", "event_id"], keep="first")
    weight = events["type"].map(WEIGHTS).astype(float)
    value = events["value"].astype(float)
    weight = weight.where(events["type"] != "progress", weight * value)
    weight = weight.where(events["type"] != "rate", weight * (value - 3.0))
    age_days = (at_ms - events["timestamp"].astype("int64")) / MS_PER_DAY
    decayed: Any = weight * np.power(2.0, -age_days / half_life_days)
    scores: Any = decayed.groupby([events["user_id"], events["course_id"]]).sum()
    return {(str(user), str(course)): float(score) for (user, course), score in scores.items()}


def differences(
    expected: dict[tuple[str, str], float], received: dict[tuple[str, str], float], relative: float = 1e-9
) -> list[str]:
    """What is missing, extra or off by more than `relative`; empty if all is equal."""
    found = [f"missing {pair}" for pair in expected.keys() - received.keys()]
    found += [f"extra {pair}" for pair in received.keys() - expected.keys()]
    for pair in expected.keys() & received.keys():
        want, got = expected[pair], received[pair]
        if abs(want - got) > relative * max(abs(want), abs(got)):
            found.append(f"{pair}: expected {want!r}, received {got!r}")
    return found
