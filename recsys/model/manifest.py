"""The manifest of a model bundle: what it is, what it has seen, how it was set, how well it did."""

from __future__ import annotations

from typing import Any

import msgspec

from recsys.model.hyperparameters import HyperParameters

LINEAR_FORMAT = 1
"""Of bundles that `recsys.model.affinity` ranks: those of the release before, which can read them, and baselines."""

RANKER_FORMAT = 2
"""Of bundles that hold the arrays of `recsys.model.ranker`; the release before refuses them by name."""

FORMATS = (LINEAR_FORMAT, RANKER_FORMAT)


class DataRange(msgspec.Struct, frozen=True, kw_only=True):
    """Which history a model has seen.

    Attributes:
        source: "topic", or the interactions file's name.
        events: What the events trained on contributed to records (`batch.encoding`): repeats do not count.
        first_ms: Time of the first, ms since 1970 UTC.
        last_ms: Time of the last.
        offsets: Partition → first offset read and the one after the last; empty for files.
    """

    source: str
    events: int
    first_ms: int
    last_ms: int
    offsets: dict[str, tuple[int, int]] = {}


class EngagementTable(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored sums the model reads are made (`recsys.engagement`)."""

    half_life_days: float
    landmark_ms: int
    weights: dict[str, float]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is. `files` has the SHA-256 of each file, `digest` that of the manifest with zeros in its place."""

    format: int
    version: str
    parent: str | None
    created_at_ms: int
    data: DataRange
    settings: HyperParameters
    engagement: EngagementTable
    metrics: dict[str, Any]
    files: dict[str, str]
    digest: str = ""


class TextVocabulary(msgspec.Struct, frozen=True):
    """A fitted TF-IDF: term → column, and each column's inverse document frequency."""

    vocabulary: dict[str, int]
    idf: list[float]
