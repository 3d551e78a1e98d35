"""The note beside the bundles: what was published, newest first."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.errors import BundleError
from recsys.model.publications import Publications, newest, read_publications, write_publications
from recsys.online_store import ModelPointer

A, B, C = (ModelPointer(version, f"/models/{version}", at_ms) for version, at_ms in (("a", 1), ("b", 2), ("c", 3)))
BACK = ModelPointer("a", "/models/a", 4)


def test_what_was_written_is_read_back_and_a_folder_without_a_note_has_no_publications(tmp_path: Path) -> None:
    assert read_publications(tmp_path / "models") == Publications()
    write_publications(tmp_path / "models", Publications((B, A)))
    assert read_publications(tmp_path / "models") == Publications((B, A))
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["published.json"]


def test_a_note_of_a_newer_release_with_more_fields_is_read(tmp_path: Path) -> None:
    (tmp_path / "published.json").write_text(
        '{"published":[{"version":"a","path":"/models/a","published_at_ms":1,"by":"x"}],"more":1}'
    )
    assert read_publications(tmp_path) == Publications((A,))


def test_a_note_that_cannot_be_written_is_an_error_of_the_bundles_folder(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(BundleError, match=r"cannot write .*published\.json"):
        write_publications(tmp_path / "models", Publications((A,)))


def test_a_publication_comes_first_and_what_it_replaced_is_kept() -> None:
    assert Publications().after(A, None).published == (A,)
    assert Publications((A,)).after(B, A).published == (B, A)
    assert Publications((A,)).after(C, B).published == (C, B, A)  # B was published from another machine
    assert Publications((B, A)).after(BACK, B).published == (BACK, B, A)


def test_publications_of_deleted_bundles_are_forgotten_but_for_the_newest_two() -> None:
    noted = Publications((BACK, C, B, A))
    assert noted.kept({"a", "b", "c"}).published == (BACK, C, B)
    assert noted.kept({"a"}).published == (BACK, C)
    assert noted.versions() == {"a", "b", "c"}


def test_the_newest_of_what_is_known() -> None:
    assert newest([None, A, BACK, B]) == BACK
    assert newest([None]) is None
