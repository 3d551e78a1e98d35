"""What the checkpoint has of learners: of all of them what they are now, and only those are encoded who acted since."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from recsys.events import Interaction
from recsys.record import Record, RecordRules
from stream.finetuning.learners import Learners
from tests.unit.stream.finetuning.drawn import START_MS

USERS = "abcdef"
KINDS = ("click", "view", "rate", "complete", "unbookmark", "merge", "erase")


def drawn(count: int, seed: int) -> Iterator[Interaction]:
    """Events of few learners, among them merges and erasures."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        user, other = (USERS[place] for place in rng.integers(0, len(USERS), 2))
        at_ms, course = START_MS + 1000 * number, f"c{rng.integers(0, 9)}"
        kind = rng.choice(
            ["click", "view", "rate", "complete", "unbookmark", "merge", "erase"], p=[*[0.18] * 5, 0.06, 0.04]
        )
        about_course = kind not in {"merge", "erase"}
        yield Interaction(
            f"e{number}",
            user,
            course if about_course else "",
            kind,
            at_ms,
            4.0 if kind == "rate" else None,
            into=other if kind == "merge" else None,
        )


def learners_of(rules: RecordRules | None = None) -> Learners:
    return Learners(rules or RecordRules(), limit=4, max_courses=5)


@pytest.mark.parametrize("seed", range(5))
def test_every_state_is_of_now_and_restores_the_learners(seed: int) -> None:
    often, once = learners_of(), learners_of()
    for event in drawn(300, seed):
        assert often.apply(event) == once.apply(event)
        state = often.state()
        restored = learners_of()
        restored.restore(state)
        assert restored.state() == state
        for user in USERS:
            assert restored.engagement(user) == often.engagement(user)
    assert often.state() == once.state()


class _Counted(RecordRules):
    """Counts what is packed."""

    packed_records = 0

    def packed(self, record: Record) -> bytes:
        _Counted.packed_records += 1
        return super().packed(record)


def test_who_did_nothing_since_is_not_encoded_again() -> None:
    learners = learners_of(_Counted())
    for user in USERS[:4]:
        for course in "123":
            learners.apply(Interaction("e", user, course, "click", START_MS))
    learners.state()
    restored = learners_of(_Counted())
    restored.restore(learners.state())
    for each in (learners, restored):
        _Counted.packed_records = 0
        each.apply(Interaction("e", "b", "1", "view", START_MS + 1))
        each.state()
        assert _Counted.packed_records == 3
