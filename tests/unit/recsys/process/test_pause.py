"""Pauses grow while attempts fail, up to a bound, and are short again after a reset."""

from __future__ import annotations

from recsys.process.pause import GrowingPause


def test_a_pause_doubles_up_to_its_bound_and_is_over_when_the_clock_says_so() -> None:
    now = 0.0
    pause = GrowingPause(lambda: now, first_s=1.0, longest_s=3.0)
    waited = []
    for _ in range(4):
        assert pause.is_over()
        pause.begin()
        begun = now
        while not pause.is_over():
            now += 0.5
        waited.append(now - begun)
    assert waited == [1.0, 2.0, 3.0, 3.0]
    pause.begin()
    pause.reset()
    assert pause.is_over()
    assert pause.length_s == 1.0
