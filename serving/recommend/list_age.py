"""Whether a cached list is out of date, and whether an answer may do with it all the same. Pure functions."""

from __future__ import annotations

from enum import Enum, auto

from recsys.online_store import ModelPointer
from serving.recommend.answers import Source
from serving.recommend.learner import Learner
from serving.recommend.offset_wait import contains, is_applied
from serving.recommend.query import After


class Need(Enum):
    """How much an answer needs a ranking of its own instead of the cached list."""

    NONE = auto()
    OPTIONAL = auto()
    REQUIRED = auto()


def need_of_ranking(
    learner: Learner, after: After | None, model_version: str, published: ModelPointer | None, now_ms: int
) -> Need:
    """How much an answer needs a ranking by a model.

    Args:
        learner: With the cached list.
        after: The event that the request names.
        model_version: Of the model that would rank.
        published: What is published, as far as this process knows.
        now_ms: ms since 1970 UTC.
    """
    if _given_back_since(learner, now_ms) or _behind(learner, after) or _is_older_and_marked(learner, published):
        return Need.REQUIRED
    # Only with the published model: another one may be older than the one that ranked the list.
    if _is_out_of_date(learner) and published is not None and model_version == published.version:
        return Need.OPTIONAL
    return Need.NONE


def _is_older_and_marked(learner: Learner, published: ModelPointer | None) -> bool:
    """Whether an event came after a list of the increment before, which no worker may have loaded yet.

    Workers rank with what is published alone, so such a list may stay for as long as they cannot load that.
    """
    top = learner.top
    return learner.marked and top is not None and published is not None and top.model_version != published.version


def _given_back_since(learner: Learner, now_ms: int) -> bool:
    """Whether the time of a course has passed since Redis' list was computed, which therefore leaves it out.

    Nothing is written when a learner gets a course back, so such a list is computed anew for each answer until their
    next event or the next model.
    """
    if learner.top is None or learner.source is not Source.CACHED:
        return False
    computed_at_ms = learner.top.computed_at_ms
    return any(computed_at_ms < until <= now_ms for until in learner.done.values())


def _is_out_of_date(learner: Learner) -> bool:
    """Whether an event that is applied came after the cached list, or somebody else wants it to be ranked anew.

    A worker does so within milliseconds, and within seconds beside a load. Of a learner who was merged into another
    nothing is known here but that list.
    """
    return learner.marked and learner.partition is not None


def _behind(learner: Learner, after: After | None) -> bool:
    """Whether the list lacks an event that is asked for and that the learner's state has."""
    if after is None or contains(learner.included_offset, learner.partition, after):
        return False
    return is_applied(learner, after)
