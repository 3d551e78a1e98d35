"""A bundle is written whole or not at all, and nothing of one that does not verify is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recsys.errors import BundleError
from recsys.model import bundle as bundle_module
from recsys.model.bundle import Draft, load_bundle, load_manifest, write_bundle
from recsys.model.scorer import Scorer


def test_what_was_written_is_what_is_loaded(draft: Draft, bundle_path: Path) -> None:
    loaded = load_bundle(bundle_path)
    assert loaded.manifest.settings == draft.settings
    assert loaded.manifest.data == draft.data
    assert loaded.manifest.metrics == {"hybrid": {"ndcg@10": 0.1}}
    assert list(loaded.users) == list(draft.users)
    assert list(loaded.courses) == list(draft.courses)
    assert loaded.documents == dict(draft.documents)
    assert loaded.blobs == dict(draft.blobs)
    for name, array in draft.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_loaded_arrays_cannot_be_written_to(bundle_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_bundle(bundle_path).arrays["course_bias"][0] = 1.0


def test_one_flipped_bit_in_any_file_is_refused(bundle_path: Path) -> None:
    rng = np.random.default_rng(1)
    for file in sorted(bundle_path.iterdir()):
        original = file.read_bytes()
        for position in rng.integers(0, len(original), 12):
            changed = bytearray(original)
            changed[position] ^= 1 << int(rng.integers(0, 8))
            file.write_bytes(changed)
            with pytest.raises(BundleError):
                Scorer.load(bundle_path)
        file.write_bytes(original)
    assert Scorer.load(bundle_path).version == bundle_path.name


def test_every_file_is_needed(bundle_path: Path) -> None:
    for file in sorted(bundle_path.iterdir()):
        aside = bundle_path.parent / "aside"
        file.rename(aside)
        with pytest.raises(BundleError, match=r"expected a readable file"):
            load_bundle(bundle_path)
        aside.rename(file)


def test_two_swapped_files_are_refused(bundle_path: Path) -> None:
    first, second = bundle_path / "course_vectors.npy", bundle_path / "history_vectors.npy"
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(bundle_path)


def test_a_manifest_that_lists_a_path_outside_the_folder_is_refused(bundle_path: Path) -> None:
    secret = bundle_path.parent / "secret.json"
    secret.write_bytes(b"{}")
    manifest = load_manifest(bundle_path)
    escaped = msgspec.structs.replace(
        manifest, files={**manifest.files, "../secret.json": bundle_module._sha256(b"{}")}, digest="0" * 64
    )
    (bundle_path / "manifest.json").write_bytes(bundle_module._signed(escaped))
    with pytest.raises(BundleError, match="plain file names"):
        load_bundle(bundle_path)


def test_a_link_in_place_of_a_file_is_refused(bundle_path: Path) -> None:
    outside = bundle_path.parent / "outside.npy"
    (bundle_path / "course_bias.npy").rename(outside)
    (bundle_path / "course_bias.npy").symlink_to(outside)
    with pytest.raises(BundleError, match="symbolic link"):
        load_bundle(bundle_path)


def test_a_folder_under_another_version_is_refused(bundle_path: Path) -> None:
    renamed = bundle_path.rename(bundle_path.parent / "20990101T000000-00000000")
    with pytest.raises(BundleError, match="version"):
        load_bundle(renamed)


def test_pickled_arrays_are_refused_even_with_a_right_hash(draft: Draft, tmp_path: Path) -> None:
    buffer = tmp_path / "pickled.npy"
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path = write_bundle(tmp_path / "m", replace(draft, blobs={"extra.npy": buffer.read_bytes()}))
    with pytest.raises(BundleError, match="complete model bundle"):
        load_bundle(path)


def test_arrays_that_do_not_fit_each_other_are_refused(draft: Draft, tmp_path: Path) -> None:
    arrays = {**draft.arrays, "course_bias": np.zeros(3, np.float32)}
    path = write_bundle(tmp_path / "m", replace(draft, arrays=arrays))
    with pytest.raises(BundleError, match="course_bias"):
        Scorer.load(path)


def test_a_crash_before_the_rename_leaves_nothing_that_looks_like_a_bundle(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(tmp_path / "models", draft)
    assert list((tmp_path / "models").iterdir()) == []


def test_the_version_says_when_and_depends_on_the_content(draft: Draft, tmp_path: Path) -> None:
    first = write_bundle(tmp_path, draft)
    second = write_bundle(tmp_path, replace(draft, users=["ada", "eve"]))
    assert first.name.startswith("20231114T221320-")
    assert first.name != second.name


def test_file_names_that_lead_elsewhere_are_not_written(draft: Draft, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="plain file names"):
        write_bundle(tmp_path, replace(draft, blobs={"../x.h5": b""}))
