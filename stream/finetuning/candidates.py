"""An increment as a bundle, and whether one can be used. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.bundle import Bundle, Draft
from recsys.model.scorer import Scorer
from stream.finetuning.gate import Verdict

INCREMENT = "increment"
"""The `metrics.model` of a bundle that was fine-tuned."""


def candidate(
    parent: Bundle,
    verdict: Verdict,
    *,
    courses: Sequence[Course],
    arrays: Mapping[str, NDArray[Any]],
    positions: Mapping[int, int],
    learned: int,
    last_ms: int,
    replaces: str,
    at_ms: int,
) -> Draft:
    """A draft. Its parent is the retrain, whose arrays it is made of.

    Args:
        parent: The retrain.
        verdict: Of the gate.
        courses: The parent's, then those that have rows of their own since.
        arrays: Of the increment.
        positions: Partition → offset after what it has seen.
        learned: Examples it learned from.
        last_ms: Latest event time seen, ms since 1970 UTC.
        replaces: The version published until now.
        at_ms: Now.
    """
    manifest = parent.manifest
    offsets = {str(partition): (0, end) for partition, end in sorted(positions.items())}
    data = msgspec.structs.replace(
        manifest.data,
        events=manifest.data.events + learned,
        last_ms=last_ms,
        offsets={**manifest.data.offsets, **offsets},
    )
    new = len(courses) - len(parent.courses)
    of_new = f" and {new} new course{'s' * (new != 1)}" if new else ""
    metrics = {
        "model": INCREMENT,
        "headline": f"An increment of {manifest.version}{of_new}, in place of {replaces}. Gate: {verdict.reason}.",
        "ndcg@10": verdict.figures.get("ndcg@10", 0.0),
        "gate": dict(verdict.figures),
        "replaces": replaces,
        "new_courses": new,
    }
    return Draft(
        parent=manifest.version,
        created_at_ms=at_ms,
        data=data,
        settings=manifest.settings,
        engagement=manifest.engagement,
        metrics=metrics,
        users=parent.users,
        courses=courses,
        arrays=arrays,
        documents=parent.documents,
    )


def broken_arrays(bundle: Bundle) -> str:
    """Why a candidate must not be published; "" where nothing is wrong with it.

    It is loaded and ranks as it would be in use: arrays that do not fit, numbers that are none, scores that are none.
    """
    wrong = [name for name, array in bundle.arrays.items() if not np.isfinite(array).all()]
    if wrong:
        return f"numbers that are none in {', '.join(wrong)}"
    try:
        scorer = Scorer(bundle)
    except BundleError as error:
        return str(error)
    first = {course.course_id: 1.0 for course in bundle.courses[:1]}
    for engagement in ({}, first):
        scores = scorer.score("", engagement, at_ms=bundle.manifest.data.last_ms)
        if not np.isfinite(scores).all():
            return "scores that are no numbers"
    return ""
