"""A course that came after the training has the weights that a retrain gives one that nobody touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import sparse

from batch.features import tfidf_matrix
from recsys.catalog import Course
from recsys.course_sums.activity import touched
from recsys.engagement import ForwardDecay
from recsys.model.bundle import MIXER, Bundle
from recsys.model.lent_columns import text_similarity, with_lent_columns
from recsys.model.placed_courses import BundleTexts
from recsys.model.scorer import Scorer
from recsys.model.signals import ITEM_ITEM
from recsys.model.text import COMPONENTS, TFIDF_FILE, SparseRows, TextModel
from tests.doubles.readable_bundle import course_of, readable_bundle

NOW, COURSES = 1_700_000_000_000, 30
LIKED = ForwardDecay(30.0).stored(5.0, NOW)
NEW = course_of(33, course_id="new")
"""Of the subject of c0, c3, …"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return readable_bundle(tmp_path, courses=COURSES)


def matrix(bundle: Bundle, name: str) -> sparse.csr_array:
    n = len(bundle.courses)
    parts = (bundle.arrays[f"{name}_weights"], bundle.arrays[f"{name}_indices"], bundle.arrays[f"{name}_indptr"])
    return sparse.csr_array(parts, shape=(n, n))


def placed(bundle: Bundle, *courses: Course, retired: tuple[str, ...] = ()) -> Bundle:
    return BundleTexts(bundle).with_catalogue({course.course_id: course for course in courses}, retired)


def test_its_weights_are_those_that_a_retrain_gives(bundle: Bundle) -> None:
    more = [NEW, course_of(34, course_id="newer"), Course(course_id="like no other", title="zzz")]
    found = placed(bundle, *more)
    every = [*bundle.courses, *more]
    assert found.courses == every
    text = TextModel.from_document(bundle.documents[TFIDF_FILE], bundle.arrays[COMPONENTS])
    similarity = text_similarity(tfidf_matrix(text, every), len(every))
    np.testing.assert_allclose(matrix(found, "text").toarray(), similarity.toarray(), atol=1e-6)
    unliked = np.arange(len(every)) >= COURSES
    for name in ("ease", "future"):
        before = matrix(bundle, name).tocoo()
        grown = sparse.csr_array((before.data, (before.row, before.col)), shape=(len(every), len(every)))
        expected = with_lent_columns(grown, similarity, unliked, len(every))
        np.testing.assert_allclose(matrix(found, name).toarray(), expected.toarray(), atol=1e-5)
    assert not touched(found.arrays["activity"])[COURSES:].any()


def test_it_is_on_the_lists_of_those_who_like_its_subject(bundle: Bundle) -> None:
    scorer = Scorer(bundle)
    later = scorer.with_catalogue({"new": NEW}, ())
    assert (later.version, later.course_ids[-1], later.courses["new"]) == (scorer.version, "new", NEW)
    assert "new" in later.catalogue
    likes = [later.rank("u", {f"c{n}": LIKED, f"c{n + 3}": LIKED}, at_ms=NOW, n=9)[0] for n in (0, 1, 2)]
    assert ["new" in ids for ids in likes] == [True, False, False]
    of_new, _ = later.rank("u", {"new": LIKED}, at_ms=NOW, n=8)  # events that came before the course
    assert {int(course[1:]) % 3 for course in of_new} == {0}
    assert scorer.with_catalogue({"c1": course_of(1)}, ()) is scorer


def test_what_is_retired_is_on_no_list_and_comes_back(bundle: Bundle) -> None:
    scorer, engagement = Scorer(bundle), {"c0": LIKED}
    gone = scorer.with_catalogue({"new": NEW, "c6": msgspec.structs.replace(course_of(6), retired=True)}, {"c3", "new"})
    shown, _ = gone.rank("u", engagement, at_ms=NOW, n=COURSES)
    assert len(shown) == COURSES - 2
    assert not {"c3", "c6", "new"} & {*shown}
    assert gone.courses["c3"].retired
    back, _ = scorer.with_catalogue({"c3": course_of(3)}, ()).rank("u", engagement, at_ms=NOW, n=COURSES)
    assert len(back) == COURSES


def test_a_changed_text_changes_the_text_weights_and_nothing_that_was_learned(bundle: Bundle) -> None:
    changed = course_of(31, course_id="c0")
    found = placed(bundle, changed)
    assert found.courses[0] == changed
    different = {name for name, array in found.arrays.items() if not np.array_equal(array, bundle.arrays[name])}
    assert "text_weights" in different
    assert different <= {"text_indptr", "text_indices", "text_weights"}
    near = np.argsort(-matrix(found, "text").toarray()[0])[1:9]
    assert {row % 3 for row in near.tolist()} == {1}


@pytest.mark.parametrize("without", ["text", "mixer"])
def test_a_bundle_that_has_no_place_for_new_courses_still_retires_others(bundle: Bundle, without: str) -> None:
    if without == "text":
        bundle = replace(bundle, documents={})
    else:
        bundle = replace(bundle, arrays={name: array for name, array in bundle.arrays.items() if name != MIXER})
    found = placed(bundle, NEW, course_of(31, course_id="c0"), retired=("c1",))
    assert len(found.courses) == COURSES
    assert [course.course_id for course in found.courses if course.retired] == ["c1"]
    assert found.arrays is bundle.arrays


def test_full_rows_take_in_what_is_stronger_only(bundle: Bundle) -> None:
    narrow = replace(bundle.manifest.settings, neighbours=5)
    bundle = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, settings=narrow))
    found = placed(bundle, NEW)
    for name in ITEM_ITEM:
        assert len(found.arrays[f"{name}_indptr"]) == COURSES + 2
        row = matrix(found, name)[[COURSES]]
        assert row.nnz == (5 if name == "text" else 0)


def test_so_many_new_courses_are_placed_at_most(bundle: Bundle) -> None:
    more = {f"n{number}": course_of(number, course_id=f"n{number}") for number in range(5)}
    found = BundleTexts(bundle, most=2).with_catalogue(more, ())
    assert [course.course_id for course in found.courses[COURSES:]] == ["n3", "n4"]


def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many courses' texts were read, each time."""
    found, tfidf = list[int](), TextModel.tfidf

    def counted(model: TextModel, courses: Sequence[Course]) -> SparseRows:
        found.append(len(courses))
        return tfidf(model, courses)

    monkeypatch.setattr(TextModel, "tfidf", counted)
    return found


def test_a_new_course_waits_for_no_texts_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, scorer = reads(monkeypatch), Scorer(readable_bundle(tmp_path, courses=24))  # which no other test has read
    scorer.read_texts()
    assert found == [24]
    scorer.with_catalogue({"new": NEW}, ())
    assert found == [24, 1]


def test_an_increment_and_a_rollback_read_no_texts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retrain, other = (readable_bundle(tmp_path / str(courses), courses=courses) for courses in (27, 28))
    increment = replace(retrain, arrays={**retrain.arrays, "course_bias": retrain.arrays["course_bias"] + 1})
    found = reads(monkeypatch)
    for each in (retrain, increment, retrain, other):
        assert Scorer(each).with_catalogue({"new": NEW}, ()).course_ids[-1] == "new"
    assert (found.count(27), found.count(28)) == (1, 1)
