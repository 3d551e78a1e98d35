"""A history made ready: cleaned, without bots and what was erased, merged learners as one, and accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from batch.account import HistoryAccount, account_for
from batch.bots import find_bots, without_bots, without_repeated_instants
from batch.clean import clean_courses, clean_interactions
from batch.encoding import EngagementRule
from batch.history import History
from batch.learners import settle
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame, courses_in
from recsys.record import RecordRules
from recsys.settings import Settings

EVENT_COLUMNS = ("user_id", "course_id", "type", "timestamp", "value", "user_agent")
"""What training and its checks look at."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A cleaned history.

    Attributes:
        events: Accepted events of learners that are no bots, under the ids that they have now; no control events.
            Columns `EVENT_COLUMNS`.
        courses: The catalogue.
        source: Of the history.
        offsets: Of the history.
        account: What became of everything that was read.
        facts: The same with the cleaning reports, as JSON values.
    """

    events: pd.DataFrame
    courses: Sequence[Course]
    source: str
    offsets: Mapping[str, tuple[int, int]]
    account: HistoryAccount
    facts: dict[str, Any]


def prepare(history: History, *, at_ms: int, rules: RecordRules = RecordRules()) -> Prepared:  # noqa: B008 (immutable)
    """Cleans a history, leaves bots and what was erased out, and joins merged learners.

    Args:
        history: As read.
        at_ms: Now, ms since 1970 UTC; later events are refused.
        rules: Of the records.

    Raises:
        InputError: When nothing is left.
    """
    events, cleaning = clean_interactions(history.events, arrival_ms=at_ms)
    frame, catalogue = clean_courses(course_frame(history.courses))
    bots = find_bots(without_repeated_instants(events))
    settled = settle(without_bots(events, set(bots["user_id"])), rules)
    courses = list(courses_in(frame))
    account = account_for(history, cleaning, catalogue, settled, {course.course_id for course in courses})
    if not account.used:
        raise InputError(f"no interactions are left to train on: {' · '.join(account.lines())}")
    facts = {
        "account": account.document(),
        "source": history.source,
        "events": asdict(cleaning),
        "courses": asdict(catalogue),
        "refused": dict(history.refused),
        "bots": bots["reason"].value_counts().to_dict(),
        "offsets": dict(history.offsets),
    }
    kept = settled.events[list(EVENT_COLUMNS)].copy()  # no view, which would keep the other columns
    return Prepared(kept, courses, history.source, history.offsets, account, facts)


def rule_of(settings: Settings) -> EngagementRule:
    """How the settings read an event."""
    rules = settings.record_rules
    return EngagementRule(rules.weights, rules.decay, settings.exclusion, rules.bucket_ms, rules.give_back_ms)
