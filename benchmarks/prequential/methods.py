"""Ways to recommend, each as late as what it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.prequential.increments import Increments
from benchmarks.prequential.state import History, State
from benchmarks.rivals import DecayedPopularity, Isgd, ItemKnn, Rival
from recsys.model.scorer import Scorer
from recsys.prequential import TOP
from recsys.record.rules import RecordRules

DAY_MS = 86_400_000
DELAYS_MS = {"1 s": 1000, "10 s": 10_000, "60 s": 60_000, "1 h": 3_600_000, "1 day": DAY_MS}
NIGHTLY, REFRESHED = "nightly lists", "refreshed lists"
LIVE_FEATURES, FINE_TUNED = "+ live features", "+ fine-tuning"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to recommend, as late as its state.

    Attributes:
        name: For the reader.
        delay: How late; NIGHTLY for lists of midnight.
        state: What it knows.
        ranked: Learner, and the time of their next event → the first `TOP` courses.
    """

    name: str
    delay: str
    state: State
    ranked: Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class ByModel:
    """Lists of the model.

    Attributes:
        state: Records of learners and sums of courses.
        delay: How late both are.
        scorer: Of the last time of which is known, and the time now.
        live: Whether course features are those of the state.
    """

    state: State
    delay: str
    scorer: Callable[[int, int], Scorer]
    live: bool

    def __call__(self, user: str, at_ms: int) -> Sequence[str]:
        """The list."""
        known_ms = visible_until(self.delay, at_ms)
        scorer = self.scorer(known_ms, at_ms)
        if self.live:
            scorer = scorer.with_activity(list(self.state.row_of), self.state.vectors(), at_ms=at_ms)
        engagement, exclude = self.state.learner(user, at_ms)
        return scorer.rank(user, engagement, at_ms=at_ms, n=TOP, exclude=exclude)[0]


def methods_of(
    history: History, scorer: Scorer, isgd: Mapping[str, Any], increments: Increments | None
) -> Iterator[Method]:
    """Every method at every delay.

    Args:
        history: All events.
        scorer: The model of the retrain.
        isgd: Parameters of that rival.
        increments: What fine-tuning makes of the model; None leaves it out.
    """
    courses, row_of = len(scorer.course_ids), {course: row for row, course in enumerate(scorer.course_ids)}
    rules = RecordRules()

    def frozen(_known_ms: int, _at_ms: int) -> Scorer:
        return scorer

    def by_rival(state: State, rival: Rival, user: str, at_ms: int) -> Sequence[str]:
        _, exclude = state.learner(user, at_ms)
        scores = rival.scores(history.users[user], state.touched.get(user, [])).copy()
        scores[[row_of[course] for course in exclude if course in row_of]] = -np.inf
        best = np.argpartition(-scores, min(TOP, courses - 1))[:TOP]
        return [scorer.course_ids[row] for row in best[np.argsort(-scores[best], kind="stable")]]

    night = State(rules, row_of, {})
    yield Method(NIGHTLY, NIGHTLY, night, ByModel(night, NIGHTLY, frozen, live=False))
    for delay in DELAYS_MS:
        rivals: dict[str, Rival] = {
            "popularity, 1 day": DecayedPopularity(courses, DAY_MS),
            "popularity, 7 days": DecayedPopularity(courses, 7 * DAY_MS),
            "item-kNN": ItemKnn(courses),
            "ISGD": Isgd(len(history.users), courses, **isgd),
        }
        state = State(rules, row_of, rivals, sums=True)
        yield Method(REFRESHED, delay, state, ByModel(state, delay, frozen, live=False))
        yield Method(LIVE_FEATURES, delay, state, ByModel(state, delay, frozen, live=True))
        if increments is not None:
            tuned = partial(_published, increments)
            yield Method(FINE_TUNED, delay, state, ByModel(state, delay, tuned, live=True))
        for name, rival in rivals.items():
            yield Method(name, delay, state, partial(by_rival, state, rival))


def _published(increments: Increments, known_ms: int, at_ms: int) -> Scorer:
    return increments.at(known_ms, newest_ms=visible_until(next(iter(DELAYS_MS)), at_ms))


def visible_until(delay: str, at_ms: int) -> int:
    """The last time of which is known at a time."""
    return at_ms // DAY_MS * DAY_MS - 1 if delay == NIGHTLY else at_ms - DELAYS_MS[delay]
