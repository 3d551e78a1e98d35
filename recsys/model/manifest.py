"""The manifest of a model bundle: what it is, what it has seen, how it was set, how well it did."""

from __future__ import annotations

from typing import Any

import msgspec

from recsys.model.hyperparameters import HyperParameters

FORMAT = 2
"""Written. Since 2 a bundle may hold the arrays of `recsys.model.ranker`."""

READ_FORMATS = (1, FORMAT)
"""Read: a release must serve what the one before it published, and be able to roll back to it."""


class DataRange(msgspec.Struct, frozen=True, kw_only=True):
    """Which history a model has seen.

    Attributes:
        source: "topic", or the interactions file's name.
        events: Accepted events trained on.
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
