"""Shadow scoring: what a candidate would list for learners, before anybody is shown it. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from recsys.engagement import ForwardDecay
from recsys.model.bundle import Bundle
from recsys.model.scorer import Scorer
from recsys.prequential import TOP
from stream.finetuning.moments import Moment

Top = Callable[[Moment], list[str]]
"""A moment's learner → the courses of their top-10."""


def as_in_use(candidate: Bundle) -> Top:
    """The lists of a bundle, ranked as workers and API would: from its arrays alone.

    Args:
        candidate: Its course features are those of the instant that the lists are for.

    Raises:
        BundleError: Its arrays do not fit each other.
    """
    scorer, decay = Scorer(candidate), ForwardDecay(candidate.manifest.engagement.half_life_days)

    def top(moment: Moment) -> list[str]:
        stored = {
            course: decay.stored(float(now), moment.at_ms)
            for course, now in zip(moment.courses, moment.engagement, strict=True)
        }
        found, _ = scorer.rank(moment.user, stored, at_ms=moment.at_ms, n=TOP, exclude=moment.courses)
        return found

    return top
