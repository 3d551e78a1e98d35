"""What was learned by row stays with its course when courses come and go."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.model.increment import Increment
from recsys.model.links import ItemItem, Links
from stream.finetuning.examples import NEVER, Example, Reservoir
from stream.finetuning.moved_rows import MovedRows

MOVED = MovedRows(["a", "b", "c", "d"], ["a", "b", "d", "e"])


def links(matrix: Any) -> Links:
    rows, columns = np.nonzero(matrix)
    bounds = np.searchsorted(rows, np.arange(len(matrix) + 1))
    return bounds.astype(np.int64), columns.astype(np.int32), matrix[rows, columns].astype(np.float32)


def dense(found: Links) -> Any:
    n = len(found[0]) - 1
    matrix = np.zeros((n, n), np.float32)
    matrix[np.repeat(np.arange(n), np.diff(found[0])), found[1]] = found[2]
    return matrix


def test_values_stay_with_their_courses() -> None:
    assert MOVED.taken(np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [1, 2, 4, 0]
    assert MOVED.taken(np.arange(8).reshape(4, 2), np.array([[9, 9]])).tolist() == [[0, 1], [2, 3], [6, 7], [9, 9]]


def test_a_course_that_came_is_as_the_parents() -> None:
    before = Increment(np.ones(4, np.float32), np.ones((4, 2), np.float32), np.full(3, 7, np.float32))
    after = MOVED.increment(before)
    assert after.bias.tolist() == [1, 1, 1, 0]
    assert after.rows.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert after.weights is before.weights
    fresh = Increment(np.full(4, 5, np.float32), np.full((4, 2), 5, np.float32), before.weights)
    assert MOVED.increment(before, fresh).bias.tolist() == [1, 1, 1, 5]


def test_item_item_weights_move_and_a_course_that_came_is_lent_those_of_its_neighbour() -> None:
    before = np.array([[0, 1, 2, 3], [4, 0, 5, 6], [7, 8, 0, 9], [1, 2, 3, 0]], np.float32)
    texts = np.zeros((4, 4), np.float32)
    texts[3, 1] = texts[1, 3] = 0.5  # e reads like b
    found = MOVED.item_item(ItemItem(2, links(before), links(before)), links(texts), 4)
    assert found.number == 2
    for each in (found.ease, found.future):
        assert dense(each)[:3, :3].tolist() == [[0, 1, 3], [4, 0, 6], [1, 2, 0]]
        assert dense(each)[:, 3].tolist() == [0.5, 0, 1, 0]  # half of the column of b


def test_examples_of_a_course_that_went_go_with_it() -> None:
    reservoir, rng = Reservoir(8), np.random.default_rng(0)
    for user, courses in (("of c", [2, 0]), ("beside c", [3, 2]), ("of others", [0, 1])):
        columns = {name: np.zeros(2, np.float32) for name in ("projected", "gain", "base", "inputs")} | {
            "courses": np.array(courses, np.int32),
            "log_q": np.zeros(2, np.float32),
        }
        reservoir.add(Example(user, columns), rng)
    reservoir.move(MOVED.now)
    state = reservoir.state()
    assert state["users"] == ["beside c", "of others"]
    assert state["columns"]["courses"].tolist() == [[2, 0], [0, 1]]
    assert state["columns"]["log_q"].tolist() == [[0, NEVER], [0, 0]]
    assert state["columns"]["courses"].dtype == np.int32
    assert state["columns"]["log_q"].dtype == np.float32
