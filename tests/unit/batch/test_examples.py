"""Examples of the towers: made from no more learners than are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.examples import LEARNERS_FACTOR, tower_examples
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters


def test_a_large_history_makes_no_more_examples_than_it_needs(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    """20,000 learners at 22 instants could give 440,000 examples where 40,000 are kept, at each training."""
    encoded = encode(events, courses, rule)
    end = int(encoded.time[-1]) + 1
    few = replace(small, max_examples=40)
    each = few.shared_instants + few.own_instants
    everybody, some = (tower_examples(encoded, end, settings, 30.0) for settings in (small, few))
    assert everybody is not None
    assert some is not None
    assert len(some.user) == 40
    assert len(np.unique(everybody.user)) > 100
    assert len(np.unique(some.user)) <= -(-LEARNERS_FACTOR * 40 // each)
    again = tower_examples(encoded, end, few, 30.0)
    assert again is not None
    np.testing.assert_array_equal(again.user, some.user)
