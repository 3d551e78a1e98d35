"""The golden slice: learners and what they took next, frozen, so that losses allowed one by one cannot add up.

The slice lies between two instants and is computed anew from the history each time; the file `golden.json` beside the
bundles holds the instants and, for each case by its digest, the NDCG@10 of the best model published since. It names no
learner. A case whose events have changed or were deleted no longer has its digest and takes no part.

A model is judged here by its recipe: its code and hyperparameters, fitted on what came before the slice. A bundle
trained on everything has seen the answers, and is of another time than the slice: on MARS such a level fell from .247
to .138 in half a year in which nothing got worse. This module decides nothing (`gate` does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.split import split_at
from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.inputs import Doubles
from recsys.process.atomic import write_atomically

FILE = "golden.json"
MAX_CASES = 2000
FADED_SHARE = 0.5
"""Where fewer of the frozen cases than this are left, the slice is frozen anew."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen slice and the best model on it.

    Attributes:
        cutoff_ms: What came before is history; ms since 1970 UTC.
        until_ms: What came from here on is not part of the slice.
        cases: The first 16 hexadecimal digits of the SHA-256 of each case → its NDCG@10 under the best model published
            since the slice was frozen.
        version: That model.
    """

    cutoff_ms: int
    until_ms: int
    cases: dict[str, float]
    version: str


def digest(case: Case, courses: Sequence[Course]) -> str:
    """What a case is known by: its learner and the courses relevant to them."""
    relevant = sorted(courses[row].course_id for row in case.relevant)
    return hashlib.sha256("\0".join([case.user_id, *relevant]).encode()).hexdigest()[:16]


def freeze(cases: Sequence[Case], values: Doubles, courses: Sequence[Course], *, until_ms: int, version: str) -> Golden:
    """A slice of the cases given, all at one cut-off; of more than `MAX_CASES`, those of the smallest digests.

    Args:
        cases: At least one.
        values: NDCG@10 of the model being published on each `(u,)`, fitted on what came before the cut-off.
        courses: The catalogue their rows refer to.
        until_ms: End of the slice, exclusive.
        version: Of the model.
    """
    found = sorted((digest(case, courses), float(value)) for case, value in zip(cases, values, strict=True))
    return Golden(cutoff_ms=cases[0].at_ms, until_ms=until_ms, cases=dict(found[:MAX_CASES]), version=version)


def golden_cases(
    golden: Golden, events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> list[Case] | None:
    """The frozen cases as far as the history still holds them unchanged.

    Returns:
        None when fewer than `FADED_SHARE` of them are left.
    """
    before, after, _ = split_at(events, golden.cutoff_ms)
    if before.empty:
        return None
    found = build_cases(
        encode(before, courses, rule), after[after["timestamp"] < golden.until_ms], rule, golden.cutoff_ms
    )
    left = [case for case in warm(found) if digest(case, courses) in golden.cases]
    return left if len(left) >= FADED_SHARE * len(golden.cases) else None


def read_golden(models_dir: Path) -> Golden | None:
    """The slice frozen in a models folder; None where there is none.

    Raises:
        BundleError: The file cannot be read or is no golden slice.
    """
    file = models_dir / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Golden)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"cannot read the golden slice {file}: {error}; delete it to freeze a new one") from None


def write_golden(models_dir: Path, golden: Golden) -> None:
    """Replaces the file in one step.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        write_atomically(models_dir / FILE, msgspec.json.format(msgspec.json.encode(golden), indent=1))
    except OSError as error:
        raise BundleError(f"cannot write {models_dir / FILE}: {error.strerror}") from None
