"""Whom the events of a history belong to: merged learners are one, and what was erased is in no model.

Merges and erasures hold for the whole history, whenever they came: a model must not know what only a retrain before
them could see. Bots are found before this, by the ids under which they acted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys.engagement import LANDMARK_MS
from recsys.record import RecordRules
from recsys.vocabulary import CONTROL, FLOWS


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


def settle(events: pd.DataFrame, rules: RecordRules) -> Settled:
    """Applies merges and erasures.

    Args:
        events: Cleaned events, control events among them.
        rules: Says how long the bucket is within which an erasure takes flows with it.
    """
    control = events["type"].isin(CONTROL).to_numpy(dtype=bool)
    if not control.any():
        return Settled(events, 0, 0)
    merges = first_merges(_rows(events, "merge"))
    until = _erased_until(_rows(events, "erase"), merges)
    users, time = events["user_id"], events["timestamp"].to_numpy(np.int64)
    ids = {*merges, *until}
    limit = {user: max([until.get(each, 0) for each in [user, *path(user, merges)]]) for user in ids}
    erased_until = users.map(limit).fillna(0).to_numpy(np.int64)
    # A flow is known by its bucket alone, so those of the erasure's own bucket go with it (`recsys.record.without`).
    flow = events["type"].isin(FLOWS).to_numpy(dtype=bool)
    end_of_bucket = erased_until + rules.bucket_ms - 1 - (erased_until - LANDMARK_MS) % rules.bucket_ms
    erased = ~control & (erased_until > 0) & (time <= np.where(flow, end_of_bucket, erased_until))
    targets = {user: path(user, merges)[-1] for user in merges}
    owners = users.map(lambda user: targets.get(user, user))
    kept = events.assign(user_id=owners)[~control & ~erased].reset_index(drop=True)
    return Settled(kept, int(erased.sum()), int(control.sum()))


def first_merges(rows: Iterable[tuple[int, str, str]]) -> Mapping[str, Merge]:
    """Learner → what became of them: the first merge of each; one that would lead back to the learner is none.

    Args:
        rows: Time in ms, learner, and whom they were merged into.
    """
    merges: dict[str, Merge] = {}
    for at_ms, user, into in sorted(rows):
        if user not in merges and user not in [into, *path(into, merges)]:
            merges[user] = Merge(at_ms, into)
    return merges


def path(user: str, merges: Mapping[str, Merge]) -> list[str]:
    """The learners that a learner became, one after the other; none for one who was never merged."""
    found = []
    while user in merges:
        user = merges[user].into
        found.append(user)
    return found


def _erased_until(rows: Iterable[tuple[int, str, str]], merges: Mapping[str, Merge]) -> Mapping[str, int]:
    """Learner → the time of their last erasure. One of a learner merged before it is one of whom they became."""
    until: dict[str, int] = {}
    for at_ms, user, _ in rows:
        owner = user
        while owner in merges and merges[owner].at_ms <= at_ms:
            owner = merges[owner].into
        until[owner] = max(at_ms, until.get(owner, 0))
    return until


def _rows(events: pd.DataFrame, kind: str) -> Iterable[tuple[int, str, str]]:
    """Time, learner and `into` of the events of a type."""
    some = events[events["type"] == kind]
    return zip(some["timestamp"].tolist(), some["user_id"].tolist(), some["into"].tolist(), strict=True)
