"""Bundles are kept by count, and never deleted while something refers to them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.model.bundle import Draft, write_bundle
from recsys.model.publications import Publications, read_publications, write_publications
from recsys.model.retention import bundle_versions, delete_unreferenced, referenced_versions
from recsys.online_store import ModelPointer

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000


class Folder:
    """Eight bundles, an hour apart, the even ones published as they were made."""

    def __init__(self, models_dir: Path, draft: Draft) -> None:
        self.models_dir, self.draft = models_dir, draft
        self.versions = [self.write(number) for number in range(8)]

    def write(self, number: int, parent: str | None = None) -> str:
        draft = replace(self.draft, created_at_ms=NOW_MS + number * HOUR_MS, parent=parent)
        return write_bundle(self.models_dir, draft).name

    def note(self, *numbers: int) -> Publications:
        """Notes publications, the newest first, each at its bundle's time."""
        noted = Publications(
            tuple(ModelPointer(self.versions[number], "", NOW_MS + number * HOUR_MS) for number in numbers)
        )
        write_publications(self.models_dir, noted)
        return noted

    def delete(self, noted: Publications, *, keep: int, at_ms: int = NOW_MS + 100 * HOUR_MS) -> list[int]:
        deleted = delete_unreferenced(self.models_dir, noted, keep=keep, now_ms=at_ms)
        left = [number for number, version in enumerate(self.versions) if version not in deleted]
        assert bundle_versions(self.models_dir) == [self.versions[number] for number in left]
        return left


@pytest.fixture
def folder(tmp_path: Path, draft: Draft) -> Folder:
    return Folder(tmp_path / "models", draft)


def test_the_newest_stay_and_the_rest_goes(folder: Folder) -> None:
    assert folder.delete(folder.note(7, 6), keep=3) == [5, 6, 7]


def test_the_current_and_the_previous_model_stay_however_old(folder: Folder) -> None:
    noted = folder.note(0, 2, 6)
    assert folder.delete(noted, keep=3) == [0, 2, 5, 6, 7]
    assert read_publications(folder.models_dir) == noted


def test_a_parent_stays_while_its_child_is_in_use(folder: Folder) -> None:
    parent = folder.versions[1]
    folder.versions.append(folder.write(9, parent=parent))
    noted = folder.note(8, 7)
    assert referenced_versions(folder.models_dir, noted, now_ms=NOW_MS)[parent] == f"parent of {folder.versions[8]}"
    assert folder.delete(noted, keep=2) == [1, 7, 8]


def test_what_was_published_until_just_now_stays_for_those_who_are_loading_it(folder: Folder) -> None:
    noted = folder.note(7, 6, 3, 0)
    assert folder.delete(noted, keep=2, at_ms=NOW_MS + 6 * HOUR_MS + 60_000) == [3, 6, 7]
    assert read_publications(folder.models_dir).versions() == {folder.versions[number] for number in (3, 6, 7)}


@pytest.mark.parametrize(
    ("content", "left"), [(b'{"version":"%s","best":0.1}', [1, 6, 7]), (b"not json %s", [6, 7]), (b"{}%s", [6, 7])]
)
def test_the_best_model_on_the_golden_slice_stays(folder: Folder, content: bytes, left: list[int]) -> None:
    (folder.models_dir / "golden.json").write_bytes(content.replace(b"%s", folder.versions[1].encode()))
    assert folder.delete(folder.note(7, 6), keep=2) == left


def test_only_bundles_are_deleted(folder: Folder) -> None:
    for name in ("backup", "20260101", ".keep"):
        (folder.models_dir / name).mkdir()
    folder.delete(folder.note(7, 6), keep=2)
    assert {"backup", "20260101", ".keep"} <= {file.name for file in folder.models_dir.iterdir()}


def test_what_killed_writers_left_goes_a_day_later(folder: Folder) -> None:
    for name in (".writing-x-1", ".deleting-y", ".writing-z-2"):
        (folder.models_dir / name).mkdir()
    long_ago = time.time() - 2 * 86_400
    for name in (".writing-x-1", ".deleting-y"):
        os.utime(folder.models_dir / name, (long_ago, long_ago))
    folder.delete(folder.note(7, 6), keep=8)
    assert [file.name for file in folder.models_dir.glob(".*ing-*")] == [".writing-z-2"]


def test_a_folder_that_does_not_exist_has_no_bundles(tmp_path: Path) -> None:
    assert bundle_versions(tmp_path / "none") == []
