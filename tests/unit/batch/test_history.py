"""A history as it is read: what it costs to hold."""

from __future__ import annotations

from types import SimpleNamespace

from batch.history import Reading
from recsys.events import Interaction, encode


def test_equal_texts_of_a_topic_are_one_object() -> None:
    """A million events of some thousand learners must not hold a million ids."""
    reading = Reading()
    for number in range(6):
        event = Interaction(f"e{number}", f"learner-{number % 2}", "c1", "click", 1_700_000_000_000 + number)
        reading.add(SimpleNamespace(value=encode(event), timestamp=1_700_000_001_000, headers=()))

    frame = reading.frame()

    assert frame["user_id"].tolist() == ["learner-0", "learner-1"] * 3
    assert len({id(text) for text in frame["user_id"]}) == 2
    assert len({id(text) for text in frame["type"]}) == 1
