"""The oracle's own reading of the sums over courses says what the store says, however many blocks wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.course_sums.activity import unpacked
from recsys.keys import TERMS, TREND
from tests.doubles.stream import RULES, event
from tests.faults.waiting_terms import with_waiting
from tests.unit.stream.engagement.projections.test_course_sums import SHARD, acts, folded


@given(story=st.lists(acts(), min_size=1, max_size=80), size=st.sampled_from([1, 3]))
async def test_it_says_what_the_store_says(story: list[dict[str, Any]], size: int) -> None:
    store = await folded([event(n, **act) for n, act in enumerate(story)], RULES, size)
    values, blocks = (store.contents(SHARD).values[state][""] for state in (TREND, TERMS))
    found = with_waiting({course.encode(): value for course, value in values.items()}, blocks.values())
    trends, activity = (await store.trend(SHARD, 99)).sums, await store.activity(SHARD)
    assert {course: trend for course, (trend, _, _) in found.items()} == pytest.approx(trends, rel=1e-12)
    assert found.keys() == activity.keys()
    expected = unpacked([activity[course] for course in found])
    received = np.array([numbers for _, _, numbers in found.values()]).reshape(expected.shape)
    np.testing.assert_allclose(received, expected, rtol=1e-9, atol=1e-9)
