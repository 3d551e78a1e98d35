"""The global temporal split: one cut-off instant for everybody, half-open, never random and never leave-one-out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys.errors import InputError


class TimeSplit(NamedTuple):
    """Two sides of one instant: `before` holds times < `cutoff_ms`, `after` times ≥ `cutoff_ms`."""

    before: pd.DataFrame
    after: pd.DataFrame
    cutoff_ms: int


def split_at(events: pd.DataFrame, cutoff_ms: int) -> TimeSplit:
    """Cuts events at an instant.

    >>> events = pd.DataFrame({"timestamp": [1, 2, 2, 3]})
    >>> before, after, _ = split_at(events, 2)
    >>> before["timestamp"].tolist(), after["timestamp"].tolist()
    ([1], [2, 2, 3])
    """
    late = events["timestamp"] >= cutoff_ms
    return TimeSplit(events[~late], events[late], cutoff_ms)


def split_share(events: pd.DataFrame, share_before: float) -> TimeSplit:
    """Cuts at the instant of the event that follows the first `share_before` of them.

    Raises:
        InputError: When one side would be empty: the events are too few or all at one instant.
    """
    times = np.sort(events["timestamp"].to_numpy(np.int64))
    if times.size:
        split = split_at(events, int(times[min(int(times.size * share_before), times.size - 1)]))
        if len(split.before) and len(split.after):
            return split
    raise InputError(
        f"a history cannot be cut in time where all of its events are at one instant: {times.size} events, "
        f"{np.unique(times).size} instants"
    )
