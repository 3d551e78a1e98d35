"""Learners who turn to another subject: the list of one of them after the others' clicks, and after fine-tuning.

The clicks change lists at once, because popularity is live; what the model learns from them is published only if the
fine-tuner's gate finds it shown to be better. Either way this module shows what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, product

import numpy as np
import pandas as pd

from infra.devtools.live_learner import Answer, Click, LiveLearner
from infra.devtools.running_finetuner import Verdict
from recsys.errors import ServiceUnavailable

MOST_OTHERS = 60
COURSES_OF_SHIFT = 8
CLICKS_OF_EACH = 6
_LEAST_HISTORY = 5
_APART_MS = 20
_LIVE_FEATURES_SECONDS = 4.5
"""A worker merges popularity every 2 s, and reads what was merged every 2 s."""

_SECONDS = 120.0
_ACTS_EVERY_S = 1.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TasteShift:
    """What became of a learner's list when they and others turned to another subject.

    Attributes:
        subject: What the learners turned to.
        others: How many, beside the learner.
        clicks: Theirs, together.
        before: The list before anybody clicked.
        clicked: After the learner's own clicks.
        popular: After the others' clicks, by the same model: what is popular has changed; None where an increment was
            published before the list was asked for.
        tuned: After the fine-tuner took all clicks in and judged; by the same model if it published nothing.
        learned: Clicks that it learned from, the learner's own among them.
        verdicts: Of its gate, in their order.
    """

    subject: str
    others: int
    clicks: int
    before: Answer
    clicked: Answer
    popular: Answer | None
    tuned: Answer
    learned: int
    verdicts: Sequence[Verdict]

    @property
    def published(self) -> bool:
        """Whether an increment was published."""
        return self.tuned.model != self.clicked.model


def choose_others(interactions: pd.DataFrame, courses: pd.DataFrame, user_id: str, learners: int) -> list[str]:
    """Other learners who spend most of their touches on the subject that a learner touched most.

    Args:
        interactions: The history.
        courses: The catalogue.
        user_id: The learner.
        learners: Of the history; at most a fifth turns with the learner, and at most `MOST_OTHERS`.
    """
    touched = interactions.merge(courses[["course_id", "category"]], on="course_id")
    touches = pd.crosstab(touched["user_id"], touched["category"])
    subject = str(touches.loc[user_id].idxmax())
    known = touches[(touches.sum(axis=1) >= _LEAST_HISTORY) & (touches.index != user_id)]
    share = known[subject].div(known.sum(axis=1)).sort_values(ascending=False, kind="stable")
    return [str(each) for each in share.index[: min(MOST_OTHERS, learners // 5)]]


def clicks_of_others(
    courses: pd.DataFrame, others: Sequence[str], course_ids: Sequence[str], now_ms: int, *, seed: int = 0
) -> list[Click]:
    """Each of the others clicks on most of the same few courses of the subject, in an order of their own.

    They go on in turns, so that nobody's clicks come together.

    Args:
        courses: The catalogue.
        others: Who.
        course_ids: Courses of the subject that must be among them.
        now_ms: Time of the last click, ms since 1970 UTC.
        seed: Of the orders.
    """
    rng = np.random.default_rng(seed)
    subject = courses.set_index("course_id").loc[course_ids[0], "category"]
    alike = courses[(courses["category"] == subject) & ~courses["retired"] & ~courses["course_id"].isin(course_ids)]
    offered = [*course_ids, *(str(each) for each in alike["course_id"])][:COURSES_OF_SHIFT]
    orders = [rng.permutation(len(offered))[:CLICKS_OF_EACH] for _ in others]
    turns = [
        (user, offered[order[turn]])
        for turn in range(min(CLICKS_OF_EACH, len(offered)))
        for user, order in zip(others, orders, strict=True)
    ]
    return [
        Click(user, course_id, now_ms - _APART_MS * (len(turns) - 1 - number))
        for number, (user, course_id) in enumerate(turns)
    ]


def popular_now(
    learner: LiveLearner, course_id: str, since: float, *, seconds: float = _LIVE_FEATURES_SECONDS
) -> Answer:
    """The learner's list once what the others clicked counts for its popularity.

    Args:
        learner: Whose list.
        course_id: A course that the learner has clicked on; a look at it has the list ranked anew.
        since: When the others clicked, by `time.monotonic`.
        seconds: After that, popularity is up to date.
    """
    time.sleep(max(0.0, since + seconds - time.monotonic()))
    learner.act([course_id], "view")
    return learner.settled()


def tuned_list(
    learner: LiveLearner,
    course_ids: Sequence[str],
    published: Callable[[], str | None],
    *,
    seconds: float = _SECONDS,
    acts_every_s: float = _ACTS_EVERY_S,
) -> Answer:
    """The learner's list by the model that is published now.

    A list of the version before is served until its learner's next event, so the learner looks at courses again.

    Args:
        learner: Whose list.
        course_ids: Courses that the learner has clicked on.
        published: Looks up the version, which may change meanwhile.
        seconds: How long the list may take to follow.
        acts_every_s: Seconds between two events of the learner.

    Raises:
        ServiceUnavailable: It did not, or something does not answer.
    """
    start, acted_at = time.monotonic(), 0.0
    acts = cycle(product(("view", "play"), course_ids))
    model = published()
    while learner.ask().model != model:
        now = time.monotonic()
        if now - start > seconds:
            raise ServiceUnavailable(f"no list was ranked by {model} {seconds:g} s after it was published")
        if now - acted_at > acts_every_s:
            kind, course_id = next(acts)
            learner.act([course_id], kind)
            acted_at, model = now, published()
        time.sleep(_POLL_SECONDS)
    return learner.settled()
