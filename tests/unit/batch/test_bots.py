"""Bots in the history: the same verdicts as the stream's detector."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.bots import find_bots, without_bots
from batch.datasets.simulator import simulate
from recsys.bots import BotFeatures
from recsys.events import Interaction
from recsys.files import INTERACTION_COLUMNS

CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
START_MS = 1_600_000_020_000


def events_of(user_id: str, per_minute: list[int], user_agent: str | None = None) -> list[Interaction]:
    return [
        Interaction(f"{minute}-{i}", user_id, "c", "view", START_MS + minute * 60_000 + i * 600, user_agent=user_agent)
        for minute, count in enumerate(per_minute)
        for i in range(count)
    ]


def frame_of(events: list[Interaction]) -> pd.DataFrame:
    rows = [[getattr(event, name) for name in INTERACTION_COLUMNS] for event in events]
    return pd.DataFrame(rows, columns=list(INTERACTION_COLUMNS), dtype=object).astype(
        {"timestamp": "int64", "value": "float64"}
    )


def test_each_rule_names_its_bots_and_nobody_else() -> None:
    events = (
        events_of("fast", [61, 61, 61])
        + events_of("at-the-limit", [60] * 9)
        + events_of("burst", [90, 90, 1])
        + events_of("crawler", [1], CRAWLER)
        + events_of("both", [61, 61, 61], CRAWLER)
    )

    bots = find_bots(frame_of(events).sample(frac=1, random_state=0))

    assert bots.to_dict("records") == [
        {"user_id": "both", "reason": "declared_crawler"},
        {"user_id": "crawler", "reason": "declared_crawler"},
        {"user_id": "fast", "reason": "sustained_rate"},
    ]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 59, 60, 61, 99]), max_size=6), st.sampled_from([None, "", "Mozilla/5.0", CRAWLER])
)
def test_history_and_stream_agree(per_minute: list[int], user_agent: str | None) -> None:
    events = events_of("u", per_minute, user_agent)
    features = BotFeatures()
    for event in events:
        features.add(event)

    assert (len(find_bots(frame_of(events))) == 1) == (features.state() == "bot")


def test_only_the_bots_events_are_left_out() -> None:
    frame = frame_of(events_of("a", [2]) + events_of("b", [3]))

    kept = without_bots(frame, {"b", "nobody"})

    assert list(kept["user_id"]) == ["a", "a"]
    assert list(kept.index) == [0, 1]


def test_simulated_bots_are_found_and_simulated_learners_are_not() -> None:
    simulation = simulate(learners=300, courses=100, days=60, seed=2, bots=0.04)

    assert list(find_bots(simulation.interactions)["user_id"]) == list(simulation.bots["user_id"])
