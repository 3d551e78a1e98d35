"""The vocabulary is one table, and the event's types are its rows."""

from __future__ import annotations

from pathlib import Path

from recsys.events import EVENT_TYPES
from recsys.vocabulary import CONTROL, DEFAULT_WEIGHTS, FLOWS, REGISTERS, VOCABULARY, Kind

PAGE = Path(__file__).parents[3] / "docs" / "state.md"


def test_the_types_of_events_are_the_rows_of_the_table() -> None:
    assert tuple(VOCABULARY) == EVENT_TYPES


def test_every_register_has_one_type_that_enters_it_and_one_opposite() -> None:
    for state in REGISTERS:
        kinds = [row.kind for row in VOCABULARY.values() if row.state == state]
        assert kinds == [Kind.STATE, Kind.OPPOSITE]


def test_flows_are_in_the_order_in_which_the_later_is_kept() -> None:
    assert FLOWS == ("view", "click", "play")


def test_the_weights_are_those_of_the_contract() -> None:
    said = {name: weight for name, weight in DEFAULT_WEIGHTS.items() if weight}
    assert said == {
        "view": 1, "click": 5, "play": 2, "progress": 2, "bookmark": 4, "enroll": 10, "complete": 12, "rate": 3,
        "dismiss": -5, "unenroll": -10,
    }  # fmt: skip


def test_the_page_has_every_row_as_it_is() -> None:
    shown = [
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 5
    ]
    rows = [
        (name, str(row.kind), row.state or "", "" if name in CONTROL else f"{row.weight:g}")
        for name, row in VOCABULARY.items()
    ]
    assert shown == rows, "docs/state.md is out of date"
