"""The bot rules: what they flag, and what they must leave alone."""

from __future__ import annotations

import pytest

from recsys.bots import BotFeatures
from recsys.events import Interaction

MINUTE = 60_000
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def clicks(per_minute: int, minutes: int, user_agent: str | None = FIREFOX) -> BotFeatures:
    features = BotFeatures()
    for minute in range(1, minutes + 1):
        for n in range(per_minute):
            at = minute * MINUTE + n * MINUTE // per_minute
            features.add(Interaction("e", "u", "c", "view", at, user_agent=user_agent))
            features = BotFeatures(features.packed())
    return features


@pytest.mark.parametrize(
    ("per_minute", "minutes", "state"),
    [(60, 30, "human"), (61, 1, "suspect"), (61, 2, "suspect"), (61, 3, "bot"), (20, 600, "human")],
)
def test_a_sustained_rate_is_flagged_and_a_burst_is_not(per_minute: int, minutes: int, state: str) -> None:
    features = clicks(per_minute, minutes)
    assert features.state() == state
    assert bool(features.reasons()) == (state != "human")


def test_a_declared_crawler_is_flagged_at_its_first_event() -> None:
    features = clicks(1, 1, GOOGLEBOT)
    assert (features.state(), features.reasons()) == ("bot", "user agent is a declared crawler")


def test_late_events_of_past_minutes_are_not_counted_into_the_present_one() -> None:
    features = clicks(60, 1)
    for _ in range(100):
        features.add(Interaction("e", "u", "c", "view", 0))
    assert features.state() == "human"
