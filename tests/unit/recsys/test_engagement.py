"""The laws of the engagement score."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS, MS_PER_DAY, EngagementWeights, ForwardDecay
from recsys.errors import ConfigurationError
from recsys.vocabulary import DEFAULT_WEIGHTS

YEAR_2000, YEAR_2040 = 946_684_800_000, 2_208_988_800_000
DECAY = ForwardDecay(30.0)
times = st.integers(min_value=YEAR_2000, max_value=YEAR_2040)
weighted = st.tuples(st.floats(min_value=0.01, max_value=12), times)


def test_a_contribution_halves_with_every_half_life() -> None:
    stored = DECAY.stored(8.0, LANDMARK_MS + 5)
    scores = [DECAY.score(stored, LANDMARK_MS + 5 + halves * 30 * MS_PER_DAY) for halves in range(4)]
    assert scores == pytest.approx([8.0, 4.0, 2.0, 1.0], rel=1e-12)


@given(st.lists(weighted, min_size=1, max_size=30), st.randoms(use_true_random=False), times)
def test_any_order_of_the_same_events_gives_the_same_score(
    events: list[tuple[float, int]], rng: random.Random, at: int
) -> None:
    shuffled = rng.sample(events, len(events))
    first, second = (DECAY.score(sum(DECAY.stored(w, t) for w, t in order), at) for order in (events, shuffled))
    assert first == pytest.approx(second, rel=1e-9)


@given(st.lists(weighted, min_size=1, max_size=30), weighted)
def test_adding_and_withdrawing_an_event_leaves_the_state_as_it_was(
    events: list[tuple[float, int]], extra: tuple[float, int]
) -> None:
    before = sum(DECAY.stored(w, t) for w, t in events)
    contribution = DECAY.stored(*extra)
    after = before + contribution - contribution
    assert after == pytest.approx(before, rel=1e-9, abs=1e-15 * contribution)


@pytest.mark.parametrize("half_life", [7.5, 30.0, 3650.0])
def test_a_double_spans_the_years_2000_to_2040(half_life: float) -> None:
    decay = ForwardDecay(half_life)
    for at in (YEAR_2000, YEAR_2040):
        stored = decay.stored(-10.0, at)
        assert math.isfinite(stored)
        assert decay.score(stored, at) == pytest.approx(-10.0, rel=1e-9)


@pytest.mark.parametrize("half_life", [7.4, 0.0, -1.0, math.nan])
def test_a_half_life_no_double_can_span_is_refused(half_life: float) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a half-life of at least 7\.5 days, received"):
        ForwardDecay(half_life)


def test_a_table_that_misses_a_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        EngagementWeights({kind: 1.0 for kind in DEFAULT_WEIGHTS if kind != "rate"})
