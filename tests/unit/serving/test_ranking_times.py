"""How long rankings take, and when there is time for one more. Time is the test's own."""

from __future__ import annotations

import pytest

from serving.recommend.ranking_times import REST, RankingTimes


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_optional_rankings_rest_for_a_multiple_of_the_last_ones_length() -> None:
    time = Time()
    times = RankingTimes(time)
    assert times.allow_optional()
    for took in (0.25, 2.0):
        with times.measured():
            time.now += took
        ended = time.now
        time.now = ended + 0.99 * REST * took
        assert not times.allow_optional()
        time.now = ended + REST * took
        assert times.allow_optional()


def test_a_ranking_that_fails_took_its_time_too() -> None:
    time = Time()
    times = RankingTimes(time)

    def broken() -> None:
        with times.measured():
            time.now += 1.0
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert times.mean_s > 0
    assert not times.allow_optional()


def test_the_mean_follows_how_long_rankings_take_of_late() -> None:
    time = Time()
    times = RankingTimes(time)
    for took in [0.004] * 50 + [0.001] * 50:
        with times.measured():
            time.now += took
    assert times.mean_s == pytest.approx(0.001, rel=0.05)
