"""Bots in the history: the same verdicts as the stream's detector."""

import random

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.bots import find_bots, without_bots, without_repeated_instants
from batch.datasets.simulator import simulate
from recsys.bots import BotFeatures
from recsys.events import Interaction
from recsys.files import INTERACTION_COLUMNS
from tests.examples import examples

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

    bots = find_bots(frame_of(events))

    assert bots.to_dict("records") == [
        {"user_id": "both", "reason": "declared_crawler"},
        {"user_id": "crawler", "reason": "declared_crawler"},
        {"user_id": "fast", "reason": "sustained_rate"},
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Interaction]:
    """Events of a few learners: bursts in any minutes, some shuffled, with and without user agents."""
    events: list[Interaction] = []
    for user in draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True)):
        for minute in draw(st.lists(st.integers(0, 4), max_size=9)):  # a burst may come after a later minute's
            agent = draw(st.sampled_from([None, None, "", "Mozilla/5.0", CRAWLER]))
            for number in range(draw(st.sampled_from([1, 30, 31, 60, 61, 99]))):
                at = START_MS + minute * 60_000 + number * 600
                events.append(Interaction(f"{len(events)}", user, "c", "view", at, user_agent=agent))
    seed = draw(st.none() | st.integers(0, 99))
    if seed is not None:
        random.Random(seed).shuffle(events)
    return events


@settings(max_examples=examples(150))
@given(histories())
def test_history_and_stream_agree_on_every_learner_and_reason(events: list[Interaction]) -> None:
    features: dict[str, BotFeatures] = {}
    for event in events:
        features.setdefault(event.user_id, BotFeatures()).add(event)
    flagged = {user: seen for user, seen in features.items() if seen.state() == "bot"}

    found = find_bots(frame_of(events))

    assert dict(found.itertuples(index=False)) == {
        user: "declared_crawler" if seen.crawler else "sustained_rate" for user, seen in flagged.items()
    }


def test_a_minute_that_is_gone_counts_in_neither() -> None:
    """A day's log delivered backwards is no sustained rate: before, only the history took it for one."""
    backwards = list(reversed(events_of("u", [99, 99, 99])))
    features = BotFeatures()
    for event in backwards:
        features.add(event)

    assert features.state() == "suspect"
    assert find_bots(frame_of(backwards)).empty


def test_what_a_source_books_at_one_instant_differs_on_purpose() -> None:
    """The stream, whose flags change no score, counts every line of an invoice; a retrain keeps its learners."""
    invoices = [
        Interaction(f"{invoice}-{line}", "shopper", f"c{line}", "click", START_MS + invoice * 60_000)
        for invoice in range(3)
        for line in range(61)
    ]
    features = BotFeatures()
    for event in invoices:
        features.add(event)

    assert features.state() == "bot"
    assert find_bots(without_repeated_instants(frame_of(invoices))).empty


def test_only_the_bots_events_are_left_out() -> None:
    frame = frame_of(events_of("a", [2]) + events_of("b", [3]))

    kept = without_bots(frame, {"b", "nobody"})

    assert list(kept["user_id"]) == ["a", "a"]
    assert list(kept.index) == [0, 1]


def test_simulated_bots_are_found_and_simulated_learners_are_not() -> None:
    simulation = simulate(learners=300, courses=100, days=60, seed=2, bots=0.04)

    assert list(find_bots(simulation.interactions)["user_id"]) == list(simulation.bots["user_id"])
