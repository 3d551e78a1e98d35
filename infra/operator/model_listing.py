"""What `recsys models` shows: each bundle of the models folder, what it is now, and how well it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recsys.errors import BundleError
from recsys.model.bundle import load_manifest
from recsys.model.manifest import Manifest
from recsys.model.publications import Publications
from recsys.model.retention import bundle_versions, referenced_versions
from recsys.online_store import ModelPointer

CURRENT, PREVIOUS = "current", "previous"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is published.

    Attributes:
        current: The published model; None where nothing is published, or where it is not known.
        previous: The one before it.
        noted: The note beside the bundles.
        problem: Why Redis does not say both and the note stands for what is missing; "" where it does.
        pointer_known: Whether `current` is what Redis says.
    """

    current: ModelPointer | None
    previous: ModelPointer | None
    noted: Publications
    problem: str = ""
    pointer_known: bool = True

    def state(self, version: str) -> str:
        """`CURRENT`, `PREVIOUS` or ""."""
        if self.current is not None and version == self.current.version:
            return CURRENT
        return PREVIOUS if self.previous is not None and version == self.previous.version else ""


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One bundle.

    Attributes:
        version: Its version, which is its folder's name.
        state: `CURRENT`, `PREVIOUS` or "".
        published: Whether it ever was published, as far as `published.json` in this folder says.
        published_at_ms: When it was published last, ms since 1970 UTC; None where never.
        created_at_ms: When it was trained; None where the manifest cannot be read.
        parent: The version it was fine-tuned from; None for a retrain.
        model: Which model it holds, such as "hybrid"; "" where the manifest does not say.
        events: Accepted events it was trained on.
        ndcg: NDCG@10 of its evaluation; None where the manifest has none.
        verdict: What the gate said, one line; "" where the manifest does not say.
        agreement: agreement@10 of an increment with what it replaced, over recent learners; None where not measured.
        kept_because: Why it is not deleted whatever its age; "" where only its age counts.
        problem: Why its manifest cannot be read; "" where it can.
    """

    version: str
    state: str
    published: bool
    published_at_ms: int | None
    created_at_ms: int | None = None
    parent: str | None = None
    model: str = ""
    events: int | None = None
    ndcg: float | None = None
    verdict: str = ""
    agreement: float | None = None
    kept_because: str = ""
    problem: str = ""


def bundle_rows(models_dir: Path, standing: Standing, *, now_ms: int) -> list[BundleRow]:
    """Every bundle of a folder, the newest first, and a published one that the folder lacks."""
    pointers = [each for each in (standing.current, standing.previous) if each is not None]
    noted = Publications(tuple(dict.fromkeys([*pointers, *standing.noted.published])))
    kept = referenced_versions(models_dir, noted, now_ms=now_ms)
    versions = sorted({*bundle_versions(models_dir), *(pointer.version for pointer in pointers)}, reverse=True)
    return [_row(models_dir, version, standing, noted, kept) for version in versions]


def _row(models_dir: Path, version: str, standing: Standing, noted: Publications, kept: Mapping[str, str]) -> BundleRow:
    times = [pointer.published_at_ms for pointer in noted.published if pointer.version == version]
    row = BundleRow(
        version=version,
        state=standing.state(version),
        published=bool(times),
        published_at_ms=max(times, default=None),
        kept_because=kept.get(version, ""),
    )
    try:
        manifest = load_manifest(folder_of(models_dir, version, standing))
    except BundleError as error:
        return replace(row, problem=str(error))
    return replace(
        row,
        created_at_ms=manifest.created_at_ms,
        parent=manifest.parent,
        model=str(manifest.metrics.get("model", "")),
        events=manifest.data.events,
        ndcg=_ndcg(manifest),
        verdict=str(manifest.metrics.get("headline", "")),
        agreement=_agreement(manifest),
    )


def folder_of(models_dir: Path, version: str, standing: Standing) -> Path:
    """Where a bundle lies: in the models folder, or where its publisher wrote it."""
    folder = models_dir.absolute() / Path(version).name
    for pointer in (standing.current, standing.previous):
        if pointer is not None and pointer.version == version and not folder.is_dir():
            return Path(pointer.path)
    return folder


def _ndcg(manifest: Manifest) -> float | None:
    """NDCG@10 as a retrain writes it, or as releases before wrote the hybrid's."""
    found: Any = manifest.metrics.get("ndcg@10")
    if found is None:
        found = (manifest.metrics.get("hybrid") or {}).get("ndcg@10")
    if isinstance(found, Mapping):
        found = found.get("mean")
    return float(found) if isinstance(found, int | float) else None


def _agreement(manifest: Manifest) -> float | None:
    gate = manifest.metrics.get("gate")
    found: Any = gate.get("agreement@10") if isinstance(gate, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
