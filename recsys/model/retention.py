"""How long bundles stay: the newest by count, and never gone while something refers to them.

Only the publisher deletes, after a publish and under its lock (`publishing`); readers never do.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from recsys.errors import BundleError
from recsys.model.bundle import load_manifest
from recsys.model.publications import Publications, write_publications

GOLDEN_FILE = "golden.json"
LEFTOVERS_AFTER_S = 86_400.0
RECENT_S = 600.0
"""A bundle that was the published one within this time may still be on its way into a process."""

_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")

log = structlog.get_logger(__name__)


class _Golden(msgspec.Struct, frozen=True):
    version: str


def bundle_versions(models_dir: Path) -> list[str]:
    """The versions of the bundles in a folder, oldest first. A version begins with its UTC time."""
    try:
        return sorted(folder.name for folder in models_dir.iterdir() if _VERSION.fullmatch(folder.name))
    except OSError:
        return []


def referenced_versions(models_dir: Path, noted: Publications, *, now_ms: int) -> dict[str, str]:
    """Version → why its bundle must stay, whatever its age.

    The current and the previous publication, what was published within `RECENT_S` (a process may be loading it), the
    model that the gate's golden slice names as the best, and the bundles that any of these names as its parent.
    """
    reasons: dict[str, str] = {}
    replaced_at_ms: float = float("inf")
    for place, pointer in enumerate(noted.published):
        if place == 0:
            reasons.setdefault(pointer.version, "current")
        elif place == 1:
            reasons.setdefault(pointer.version, "previous")
        elif now_ms - replaced_at_ms <= RECENT_S * 1000:
            reasons.setdefault(pointer.version, "recently published")
        replaced_at_ms = pointer.published_at_ms
    best = _best_on_golden(models_dir)
    if best is not None:
        reasons.setdefault(best, "best on the golden slice")
    for version in list(reasons):
        with contextlib.suppress(BundleError):
            parent = load_manifest(models_dir / version).parent
            if parent is not None:
                reasons.setdefault(parent, f"parent of {version}")
    return reasons


def delete_unreferenced(models_dir: Path, noted: Publications, *, keep: int, now_ms: int) -> list[str]:
    """Deletes the oldest bundles beyond the newest `keep`, never one that something refers to.

    A folder that cannot be deleted is logged and left.

    Returns:
        The versions deleted.
    """
    versions = bundle_versions(models_dir)
    referenced = referenced_versions(models_dir, noted, now_ms=now_ms)
    deleted = [version for version in versions[: max(0, len(versions) - keep)] if version not in referenced]
    gone = [version for version in deleted if _delete(models_dir / version)]
    _delete_leftovers(models_dir)
    if gone:
        write_publications(models_dir, noted.kept(set(bundle_versions(models_dir))))
        log.info("bundles_deleted", versions=gone)
    return gone


def _best_on_golden(models_dir: Path) -> str | None:
    """The model that `golden.json`, which the gate keeps beside the bundles, compares candidates with."""
    try:
        return msgspec.json.decode((models_dir / GOLDEN_FILE).read_bytes(), type=_Golden).version
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _delete(folder: Path) -> bool:
    """Out of sight first, because a folder that is half deleted is no bundle either."""
    try:
        shutil.rmtree(folder.rename(folder.with_name(f".deleting-{folder.name}")))
    except OSError as error:
        log.warning("bundle_not_deleted", folder=str(folder), error=str(error))
        return False
    return True


def _delete_leftovers(models_dir: Path) -> None:
    """What killed writers and publishers left, a day later."""
    for folder in list(_leftovers(models_dir)):
        if time.time() - folder.stat().st_mtime > LEFTOVERS_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _leftovers(models_dir: Path) -> Iterator[Path]:
    for pattern in (".writing-*", ".deleting-*"):
        yield from models_dir.glob(pattern)
