"""Leakage checks: whether anything that is evaluated knows what it is asked for. One that fails ends the run.

Each looks at what was fitted and at the events themselves; events before the cut-off are folded anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from batch.bots import find_bots, without_repeated_instants
from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import Case
from recsys.errors import CandidateRejected
from recsys.model.bundle import Draft
from recsys.model.course_features import NAMES, log_share
from recsys.model.text import TFIDF_FILE, course_terms

_TOLERANCE = 1e-3
_ALL_TIME = "popularity_infd"


class LeakFound(CandidateRejected):
    """Something that was evaluated knew what it was asked for, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What must hold.
        found: What was compared, or what was found instead.
        passed: Whether it holds.
    """

    name: str
    found: str
    passed: bool


def checks_of_history(
    events: pd.DataFrame, encoded: EncodedEvents, cases: Sequence[Case], rule: EngagementRule, cutoff_ms: int
) -> list[Check]:
    """The checks that need no model, so that a history that leaks is found before anything is trained on it.

    Args:
        events: Of both sides of the cut-off, as given to the comparison.
        encoded: The training side.
        cases: Of the test side.
        rule: How events are read.
        cutoff_ms: Where the test side begins.
    """
    before = events[events["timestamp"] < cutoff_ms]
    return [
        _pairs(encoded, cases, cutoff_ms, exclude_seen=rule.exclusion.exclude_seen),
        _bots(before, encoded),
    ]


def checks_of_model(
    events: pd.DataFrame, encoded: EncodedEvents, model: Draft, rule: EngagementRule, cutoff_ms: int
) -> list[Check]:
    """The checks of what was fitted on the training side.

    Args:
        events: Of both sides of the cut-off, as given to the comparison.
        encoded: The training side.
        model: The hybrid fitted on it.
        rule: How events are read.
        cutoff_ms: Where the test side begins.
    """
    before = events[events["timestamp"] < cutoff_ms]
    return [
        _times(encoded, model, cutoff_ms),
        _learners(before, encoded, model),
        _vocabulary(before, model),
        _popularity(before, model, rule),
    ]


def require_no_leak(checks: Collection[Check]) -> None:
    """Lets a run go on.

    Raises:
        LeakFound: Names every check that failed.
    """
    failed = [f"{check.name}: {check.found}" for check in checks if not check.passed]
    if failed:
        raise LeakFound(f"the evaluation leaks, so nothing is published or reported: {'; '.join(failed)}")


def _times(encoded: EncodedEvents, model: Draft, cutoff_ms: int) -> Check:
    late = int((encoded.time >= cutoff_ms).sum())
    seen = model.data.last_ms
    last = f"{datetime.fromtimestamp(seen / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    found = f"{late:,} of {len(encoded.time):,} training events are later; the model's last is of {last}"
    return Check("every training event is before the cut-off", found, late == 0 and seen < cutoff_ms)


def _pairs(encoded: EncodedEvents, cases: Sequence[Case], cutoff_ms: int, *, exclude_seen: bool) -> Check:
    """No case asks for a course that an answer would leave out because training holds it."""
    n = len(encoded.courses)
    pairs, of_pair = np.unique(encoded.user.astype(np.int64) * n + encoded.course, return_inverse=True)
    done_until = np.zeros(len(pairs), np.int64)
    held = encoded.held()
    np.maximum.at(done_until, of_pair[held], encoded.done_until[held])
    left_out = pairs[(done_until > cutoff_ms) | (exclude_seen & (done_until == 0))]
    asked = [case.user_row * n + case.relevant.astype(np.int64) for case in cases if case.user_row >= 0]
    tested = np.concatenate(asked) if asked else np.zeros(0, np.int64)
    both = int(np.isin(tested, left_out).sum())
    return Check("no test pair is in training", f"{both:,} of {len(tested):,} test pairs are in training", both == 0)


def _learners(before: pd.DataFrame, encoded: EncodedEvents, model: Draft) -> Check:
    known = set(before["user_id"])
    strangers = len((set(encoded.users) | set(model.users)) - known)
    found = f"{strangers:,} of {len(model.users):,} learners of the model are unknown before it"
    return Check("every learner of the model is known before the cut-off", found, strangers == 0)


def _vocabulary(before: pd.DataFrame, model: Draft) -> Check:
    document = model.documents[TFIDF_FILE]
    touched = set(before["course_id"])
    known = [course for course in model.courses if course.course_id in touched]
    terms = {term for course in known for term in course_terms(course, document["cuts"])}
    strange = sorted(set(document["vocabulary"]) - terms)
    found = f"{len(strange):,} of {len(document['vocabulary']):,} terms are of no such course"
    if strange:
        found += f", such as {strange[0]!r}"
    return Check("every term of the vocabulary is of a course touched before the cut-off", found, not strange)


def _popularity(before: pd.DataFrame, model: Draft, rule: EngagementRule) -> Check:
    known = encode(before, model.courses, rule)
    expected = log_share(np.bincount(known.course[known.liked()], minlength=len(model.courses)).astype(np.float64))
    column = NAMES.index(_ALL_TIME)
    arrays = model.arrays
    found = arrays["features"][:, column] * arrays["feature_scale"][column] + arrays["feature_mean"][column]
    off = int((np.abs(found - expected) > _TOLERANCE * np.maximum(1.0, np.abs(expected))).sum())
    said = f"{off:,} of {len(expected):,} courses have a popularity that the events before it do not give"
    return Check("popularity counts events before the cut-off", said, off == 0)


def _bots(before: pd.DataFrame, encoded: EncodedEvents) -> Check:
    flagged = set(find_bots(without_repeated_instants(before))["user_id"]) & set(encoded.users)
    found = f"{len(flagged):,} of {len(encoded.users):,} learners are flagged"
    return Check("no learner flagged as a bot is in training", found, not flagged)
