"""An independent answer to what the engagement scores must be: pandas over the file, nothing of `stream` in it.

A pair of learner and course has flows (each of view, click and play once a day, the 24 latest), a register a state,
which the latest event decides, and the highest quarter of progress with the earliest time it was reached at. Events
that erase or merge learners are not expected.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

FLOWS = {"view": 1.0, "click": 5.0, "play": 2.0}
ENTERED = {"bookmark": 4.0, "enroll": 10.0, "complete": 12.0, "dismiss": -5.0}
LEFT = {"unenroll": -10.0}
KEPT_FLOWS = 24
DONE_PROGRESS = 0.9
MS_PER_DAY = 86_400_000
PAIR = ["user_id", "course_id"]


def expected_scores(
    interactions: pd.DataFrame, at_ms: int, half_life_days: float = 30.0
) -> dict[tuple[str, str], float]:
    """(user, course) → Σ wᵢ · 2^(−(t − tᵢ)/h) over what is left of the events of each pair; 0 where nothing counts."""
    terms = _terms(interactions)
    decayed = terms["weight"] * np.power(2.0, -(at_ms - terms["at"]) / MS_PER_DAY / half_life_days)
    scores: Any = decayed.groupby([terms["user_id"], terms["course_id"]]).sum()
    touched = {(str(user), str(course)): 0.0 for user, course in interactions[PAIR].itertuples(index=False)}
    return touched | {(str(user), str(course)): float(score) for (user, course), score in scores.items()}


def expected_trending(
    interactions: pd.DataFrame, landmark_ms: int = 1_577_836_800_000, half_life_days: float = 10.0
) -> dict[str, float]:
    """Course → Σ over its learners of the positive terms, at the landmark."""
    terms = _terms(interactions)
    terms = terms[terms["weight"] > 0]
    decayed = terms["weight"] * np.power(2.0, (terms["at"] - landmark_ms) / MS_PER_DAY / half_life_days)
    sums: Any = decayed.groupby(terms["course_id"]).sum()
    return {str(course): float(total) for course, total in sums.items()}


def _terms(interactions: pd.DataFrame) -> pd.DataFrame:
    """What counts: `user_id`, `course_id`, `weight`, `at` (ms)."""
    events = interactions[[*PAIR, "type", "timestamp", "value"]].assign(
        at=interactions["timestamp"].astype("int64"), value=interactions["value"].astype(float)
    )
    return pd.concat([_flows(events), _states(events), _progress(events)], ignore_index=True)


def _flows(events: pd.DataFrame) -> pd.DataFrame:
    flows = events[events["type"].isin(list(FLOWS))]
    flows = flows.assign(at=flows["at"] // MS_PER_DAY * MS_PER_DAY, order=flows["type"].map(list(FLOWS).index))
    flows = flows.drop_duplicates([*PAIR, "at", "type"]).sort_values(["at", "order"], ascending=False)
    flows = flows.groupby(PAIR).head(KEPT_FLOWS)
    return flows.assign(weight=flows["type"].map(FLOWS).astype(float))[[*PAIR, "weight", "at"]]


def _states(events: pd.DataFrame) -> pd.DataFrame:
    kinds = {*ENTERED, "rate"}
    states = events.assign(left=events["type"].str.startswith("un"), state=events["type"].str.removeprefix("un"))
    states = states[states["state"].isin(kinds)].sort_values(["at", "left", "value"])
    states = states.drop_duplicates([*PAIR, "state"], keep="last")
    weight = states["type"].map({**ENTERED, **LEFT}).astype(float).fillna(0.0)
    weight = weight.where(states["type"] != "rate", 3.0 * (states["value"] - 3.0))
    return states.assign(weight=weight)[[*PAIR, "weight", "at"]]


def _progress(events: pd.DataFrame) -> pd.DataFrame:
    progress = events[events["type"] == "progress"]
    quarter = np.floor(progress["value"] * 4).where(progress["value"] < DONE_PROGRESS, 4.0)
    progress = progress.assign(quarter=quarter, weight=2.0 * quarter)
    progress = progress[progress["quarter"] > 0].sort_values(["quarter", "at"], ascending=[False, True])
    return progress.drop_duplicates(PAIR)[[*PAIR, "weight", "at"]]


def differences(
    expected: dict[Any, float], received: dict[Any, float], relative: float = 1e-9, absolute: float = 0.0
) -> list[str]:
    """What is missing, extra or off by more than `relative` and `absolute`; empty if all is equal."""
    found = [f"missing {name}" for name in expected.keys() - received.keys()]
    found += [f"extra {name}" for name in received.keys() - expected.keys()]
    for name in expected.keys() & received.keys():
        want, got = expected[name], received[name]
        if abs(want - got) > max(absolute, relative * max(abs(want), abs(got))):
            found.append(f"{name}: expected {want!r}, received {got!r}")
    return found
