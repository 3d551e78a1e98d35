"""Whom the events of a history belong to: merged learners are one, and what was erased is in no model.

Merges and erasures hold for the whole history, whenever they came: a model must not know what only a retrain before
them could see. Bots are found before this, by the ids under which they acted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from batch.records import Times
from recsys.engagement import LANDMARK_MS
from recsys.record import RecordRules
from recsys.vocabulary import CONTROL, FLOWS, PROGRESS


class Settled(NamedTuple):
    """A history without control events.

    Attributes:
        events: The others, under the ids that their learners have in the end, index 0…n−1.
        erased: Events left out because their learner was erased after them.
        control: Control events.
    """

    events: pd.DataFrame
    erased: int
    control: int


class Merge(NamedTuple):
    """When a learner became another, ms since 1970 UTC, and whom."""

    at_ms: int
    into: str


Merges = Mapping[str, Sequence[Merge]]
"""Learner → what became of them, in order of time."""


def settle(events: pd.DataFrame, rules: RecordRules) -> Settled:
    """Applies merges and erasures.

    Args:
        events: Cleaned events, control events among them.
        rules: Says how long the bucket is within which an erasure takes flows with it.
    """
    control = events["type"].isin(CONTROL).to_numpy(dtype=bool)
    if not control.any():
        return Settled(events, 0, 0)
    merges = _merges(events)
    owners, erased_until = _owners(events, merges, _erasures(events, merges))
    time = events["timestamp"].to_numpy(np.int64)
    erased = ~control & (time <= erased_until)
    owned = events.assign(user_id=pd.Series(owners, events.index, dtype=object))
    # A flow is known by its bucket alone, so of a later one in the erasure's own bucket nothing but the touch is left
    # (`recsys.record.without`): as much as a progress of nothing says.
    end_of_bucket = erased_until + rules.bucket_ms - 1 - (erased_until - LANDMARK_MS) % rules.bucket_ms
    touch = events["type"].isin(FLOWS).to_numpy(dtype=bool) & (erased_until > 0) & (time <= end_of_bucket)
    owned.loc[touch, "type"], owned.loc[touch, "value"] = PROGRESS, 0.0
    kept = owned[~control & ~erased].reset_index(drop=True)
    return Settled(kept, int(erased.sum()), int(control.sum()))


def path(user: str, at_ms: int, merges: Merges) -> list[str]:
    """The learners whose records an event becomes part of, from the one it names to the one who keeps it.

    Of several merges of a learner each holds from its time on, the first also for what came before it. Of a circle the
    smallest id keeps the records.

    Args:
        user: Whom the event names.
        at_ms: Its time.
        merges: All that there are.
    """
    found = [user]
    while user in merges:
        step = next((each for each in reversed(merges[user]) if each.at_ms <= at_ms), merges[user][0])
        user, at_ms = step.into, max(at_ms, step.at_ms)
        if user in found:
            return [*found, min(found[found.index(user) :])]
        found.append(user)
    return found


def _merges(events: pd.DataFrame) -> Merges:
    merges: defaultdict[str, list[Merge]] = defaultdict(list)
    some = events[events["type"] == "merge"]
    for at_ms, user, into in sorted(zip(some["timestamp"].tolist(), some["user_id"], some["into"], strict=True)):
        merges[user].append(Merge(at_ms, into))
    return dict(merges)


def _erasures(events: pd.DataFrame, merges: Merges) -> Mapping[str, int]:
    """Learner → the time of their last erasure; one of a learner who was merged before it is one of who they became."""
    until: dict[str, int] = {}
    some = events[events["type"] == "erase"]
    for at_ms, user in zip(some["timestamp"].tolist(), some["user_id"], strict=True):
        done = {each: [merge for merge in found if merge.at_ms <= at_ms] for each, found in merges.items()}
        owner = path(user, at_ms, {each: found for each, found in done.items() if found})[-1]
        until[owner] = max(at_ms, until.get(owner, 0))
    return until


def _owners(events: pd.DataFrame, merges: Merges, erasures: Mapping[str, int]) -> tuple[list[str], Times]:
    """Of each event who keeps it, and until when it is erased (0: not) `(n,)` each."""
    owners: list[str] = events["user_id"].tolist()
    until = np.array([erasures.get(user, 0) for user in owners], np.int64)
    times = events["timestamp"].tolist()
    for row, user in enumerate(owners):
        if user in merges:
            way = path(user, times[row], merges)
            owners[row], until[row] = way[-1], max(erasures.get(each, 0) for each in way)
    return owners, until
