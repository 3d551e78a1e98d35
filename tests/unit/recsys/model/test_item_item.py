"""The item-item matrices solve their equations, and pruning keeps what is largest."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from recsys.model.item_item import Gram, Likes, likes
from recsys.model.lent_columns import text_similarity, with_lent_columns
from recsys.model.pruning import strongest

DAY = 86_400_000


@pytest.fixture
def drawn() -> Likes:
    rng = np.random.default_rng(0)
    binary = (rng.random((50, 6)) < 0.4).astype(np.float32)
    return Likes(sparse.csr_array(binary), sparse.csr_array(binary * rng.random((50, 6)).astype(np.float32)))


def test_ease_solves_its_own_equation(drawn: Likes) -> None:
    """Each column is the ridge regression of one course on the others."""
    weights, binary = Gram(drawn).inverse(3.0).ease(), drawn.binary.toarray()
    for target in range(6):
        others = [i for i in range(6) if i != target]
        part = binary[:, others]
        expected = np.linalg.solve(part.T @ part + 3.0 * np.eye(5), part.T @ binary[:, target])
        np.testing.assert_allclose(weights[others, target], expected, rtol=1e-3, atol=1e-5)
    assert np.diag(weights).tolist() == [0.0] * 6


def test_future_is_the_ridge_regression_onto_recent_likes(drawn: Likes) -> None:
    binary, recent = drawn.binary.toarray(), drawn.recent.toarray()
    expected = np.linalg.solve(binary.T @ binary + 3.0 * np.eye(6), binary.T @ recent)
    np.testing.assert_allclose(Gram(drawn).inverse(3.0).future(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("learners", [100, 300])
def test_where_likes_are_few_future_is_the_same_through_them(learners: int) -> None:
    """The first is a product by likes; the second has too many learners for its courses."""
    rng = np.random.default_rng(2)
    binary = np.zeros((learners, 60), np.float32)
    binary[rng.integers(0, learners, 180), rng.integers(0, 60, 180)] = 1.0
    recent = binary * rng.random(binary.shape).astype(np.float32)
    gram = Gram(Likes(sparse.csr_array(binary), sparse.csr_array(recent)))
    expected = np.linalg.solve(binary.T @ binary + 3.0 * np.eye(60), binary.T @ recent)
    np.testing.assert_allclose(gram.inverse(3.0).future(), expected, rtol=1e-3, atol=1e-5)
    assert ("together" in vars(gram)) == (learners == 300)  # made for a dense product alone


def test_scores_are_those_of_the_matrices(drawn: Likes) -> None:
    inverse = Gram(drawn).inverse(3.0)
    strengths = np.random.default_rng(1).random((4, 6)).astype(np.float32)
    for found, matrix in zip(inverse.scores(strengths), (inverse.ease(), inverse.future()), strict=True):
        np.testing.assert_allclose(found, strengths @ matrix, rtol=1e-4, atol=1e-5)


def test_beyond_the_dense_bound_a_pair_is_regressed_alone(drawn: Likes) -> None:
    gram = Gram(drawn, max_dense=4)
    binary, recent = drawn.binary.toarray(), drawn.recent.toarray()
    counts = binary.sum(axis=0)
    kept = gram.kept
    others = np.setdiff1d(np.arange(6), kept)
    assert counts[kept].min() >= counts[others].max()
    inverse = gram.inverse(3.0)
    inner = Gram(Likes(drawn.binary[:, kept], drawn.recent[:, kept])).inverse(3.0)
    for found, targets, dense in ((inverse.ease(), binary, inner.ease()), (inverse.future(), recent, inner.future())):
        np.testing.assert_allclose(found[np.ix_(kept, kept)], dense, rtol=1e-5)
        by_chance = counts[:, None] * targets.mean(axis=0)
        expected = np.maximum(binary.T @ targets - by_chance, 0.0) / (counts + 3.0)[:, None]
        np.testing.assert_allclose(found[np.ix_(others, kept)], expected[np.ix_(others, kept)], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[np.ix_(kept, others)], expected[np.ix_(kept, others)], rtol=1e-4, atol=1e-6)
    assert np.diag(inverse.ease()).tolist() == [0.0] * 6


@pytest.mark.parametrize(("max_dense", "per_row"), [(4, 2), (4, 1), (3, 5), (6, 3)])
def test_pruned_matrices_are_the_pruned_whole(drawn: Likes, max_dense: int, per_row: int) -> None:
    inverse = Gram(drawn, max_dense=max_dense).inverse(3.0)
    for pruned, whole in (
        (inverse.pruned_ease(per_row), inverse.ease()),
        (inverse.pruned_future(per_row), inverse.future()),
    ):
        floor = -np.sort(-np.abs(whole), axis=1)[:, per_row - 1, None]
        np.testing.assert_allclose(pruned.toarray(), np.where(np.abs(whole) >= floor, whole, 0.0), rtol=1e-6)


def test_pruned_matrices_of_many_courses_are_made_without_the_pairs_that_nobody_likes() -> None:
    """Rows of 20,000 courses would take 16 MiB at a time, and all of them seconds."""
    rng, courses = np.random.default_rng(0), 20_000
    cells = (np.arange(2000).repeat(3), rng.choice(courses, 6000, replace=False))
    binary = sparse.csr_array((np.ones(6000, np.float32), cells), shape=(2000, courses))
    inverse = Gram(Likes(binary, binary), max_dense=50).inverse(3.0)
    tracemalloc.start()
    pruned = inverse.pruned_ease(200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert pruned.nnz > 10_000


def test_a_pair_counts_once_and_by_its_newest_event() -> None:
    user, course = np.array([0, 0, 1], np.int32), np.array([2, 2, 0], np.int32)
    found = likes(user, course, np.array([0, 30, 60]) * DAY, 60 * DAY, (2, 3))
    assert found.binary.toarray().tolist() == [[0, 0, 1], [1, 0, 0]]
    np.testing.assert_allclose(found.recent.toarray(), np.array([[0, 0, 0.5], [1, 0, 0]]))


def test_the_last_inverse_takes_the_memory_of_the_gram_matrix(drawn: Likes) -> None:
    gram = Gram(drawn)
    expected = gram.inverse(3.0).ease()
    np.testing.assert_array_equal(gram.inverse(3.0, last=True).ease(), expected)
    with pytest.raises(ValueError, match="the last inverse"):
        gram.inverse(3.0)


def test_only_the_strongest_weights_of_a_row_stay() -> None:
    row = np.array([[0.0, -3.0, 2.0, 1.0]], np.float32)
    kept = strongest(lambda rows: sparse.csr_array(row.repeat(len(rows), axis=0)), 4, 2).toarray()
    assert kept.shape == (4, 4)
    assert (kept == [0.0, -3.0, 2.0, 0.0]).all()


def test_weights_that_tie_with_the_last_stay() -> None:
    weights = np.array([[1, -2, 2, 2, 3], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0] * 5, [5, 4, 3, 2, 1]], np.float32)
    expected = [[0, -2, 2, 2, 3], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0] * 5, [5, 4, 0, 0, 0]]
    kept = strongest(lambda rows: sparse.csr_array(weights[rows]), 5, 2)
    np.testing.assert_array_equal(kept.toarray(), expected)


def test_pruning_to_all_changes_nothing() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    np.testing.assert_array_equal(strongest(lambda rows: sparse.csr_array(weights[rows]), 5, 5).toarray(), weights)


def test_lent_columns_leave_the_largest_weights_of_each_row() -> None:
    """And all that tie with the last; a row without a weight stays empty."""
    weights = np.array([[0, 3, -5, 2, 1], [0] * 5, [2, 2, 2, 2, 2], [0, 0, 0, 0, 7], [-1, 4, 0, 0, 0]], np.float32)
    nothing = sparse.csr_array(np.zeros((5, 5), np.float32))
    found = with_lent_columns(sparse.csr_array(weights), nothing, np.zeros(5, dtype=bool), 2)
    assert np.diff(found.indptr).tolist() == [2, 0, 5, 1, 2]
    assert found.indices.tolist() == [1, 2, 0, 1, 2, 3, 4, 4, 0, 1]
    assert found.data.tolist() == [3, -5, 2, 2, 2, 2, 2, 7, -1, 4]


def test_text_similarity_orders_as_the_cosine_with_the_profile() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((7, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    strengths = rng.random(7)
    profile = strengths @ rows
    cosine = rows @ profile / np.linalg.norm(profile)
    found = strengths @ text_similarity(sparse.csr_array(rows), 7)
    np.testing.assert_allclose(found, cosine * np.linalg.norm(profile), rtol=1e-5)


def test_a_course_nobody_liked_has_the_weights_of_courses_with_a_similar_text() -> None:
    """Courses 0 and 1 lend to 3, by similarity, and not to 4, whose text is like no other; 3 lends to nobody."""
    matrix = np.zeros((5, 5), np.float32)
    matrix[2, :2] = [0.6, 0.2]
    similarity = np.eye(5, dtype=np.float32)
    similarity[3, :2] = similarity[:2, 3] = [0.9, 0.3]
    similarity[3, 4] = similarity[4, 3] = 0.1
    unliked = np.array([False, False, False, True, True])
    found = with_lent_columns(sparse.csr_array(matrix), sparse.csr_array(similarity), unliked, 5).toarray()
    expected = matrix.copy()
    expected[2, 3] = (0.9 * 0.9 * 0.6 + 0.3 * 0.3 * 0.2) / 1.2
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(
        with_lent_columns(sparse.csr_array(matrix), sparse.csr_array(similarity), unliked, 1).toarray()[2],
        [0.6, 0.0, 0.0, 0.0, 0.0],
    )
