"""What became of a history is told: on the terminal, at the head of the report, in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.account import HistoryAccount
from batch.history import History
from batch.preparation import prepare
from recsys.catalog import Course
from recsys.catalogue_log import Catalogue
from recsys.errors import InputError

NOW = 1_710_000_000_000


@pytest.fixture
def history(events: pd.DataFrame, courses: Sequence[Course]) -> History:
    """From a topic: besides what was accepted, 7 records were refused."""
    strangers = events.head(40).assign(course_id=["x1"] * 25 + ["x2"] * 15, event_id=[f"s{i}" for i in range(40)])
    bad = events.head(5).assign(type="Enroll", event_id=[f"b{i}" for i in range(5)])
    bot = pd.concat([events.head(1)] * 400, ignore_index=True).assign(
        user_id="bot", event_id=[f"r{i}" for i in range(400)], timestamp=NOW - 10**9 + np.arange(400) * 600
    )
    repeated = events.head(2).assign(event_id=["again1", "again2"])
    control = bot.head(2).assign(user_id=["l0", "gone"], course_id="", type=["merge", "erase"])
    control["into"] = np.array(["l1", None], dtype=object)
    erased = events.head(3).assign(user_id="gone")
    frame = pd.concat([events, strangers, bad, bot, repeated, control, erased], ignore_index=True)
    return History(frame, tuple(courses), "topic", refused={"not_json": 4, "unknown_type": 3})


def test_every_event_read_is_accounted_for_once(history: History, events: pd.DataFrame) -> None:
    account = prepare(history, at_ms=NOW).account
    assert account.read == len(history.events) + 7
    assert account.refused == {"not_json": 4, "unknown_type": 3 + 5}
    assert (account.repeated, account.bots, account.unjoined, account.used) == (2, 400, 40, len(events))
    assert (account.erased, account.control) == (3, 2)
    assert sum(account.refused.values()) + 2 + 400 + 3 + 2 + 40 + account.used == account.read
    assert account.examples == ("'x1'", "'x2'")


def test_the_lines_say_it_in_words(history: History) -> None:
    first, second = prepare(history, at_ms=NOW).account.lines()[:2]
    assert (
        "12 refused (4 not_json, 8 unknown_type), 2 repeated, 400 of bots, 3 erased, 2 that erase or merge, 40 unjoined"
        in first
    )
    assert "(their course is not in the catalogue, such as 'x1', 'x2')" in first
    assert second == "catalogue: 40 courses read, 0 left out"


def test_records_of_the_catalogue_that_are_no_course_have_a_line_and_an_example(history: History) -> None:
    catalogue = Catalogue()
    catalogue.add(b"c1", b"no JSON", 0)
    catalogue.add(b"c2", b'{"course_id": "c2"}', 1)
    account = prepare(replace(history, catalogue=catalogue), at_ms=NOW).account
    assert account.document()["courses_refused"] == {"not_json": 1, "no_title": 1}
    refused = [line for line in account.lines() if "records refused as" in line]
    assert [line.partition(", the first at")[0] for line in refused] == [
        "catalogue: 1 of 2 records refused as no_title",
        "catalogue: 1 of 2 records refused as not_json",
    ]


@pytest.mark.parametrize(
    ("refused", "unjoined", "warned"), [(30, 20, False), (30, 21, True), (0, 0, False), (51, 0, True)]
)
def test_a_warning_comes_above_five_percent(refused: int, unjoined: int, warned: bool) -> None:
    account = HistoryAccount(
        "f",
        1000,
        {"bad_id": refused},
        0,
        0,
        0,
        0,
        unjoined,
        (),
        1000 - refused - unjoined,
        courses_read=1,
        courses_dropped={},
    )
    assert any(line.startswith("WARNING") for line in account.lines()) == warned


def test_bots_and_repeats_are_told_and_are_no_loss_to_warn_of() -> None:
    account = HistoryAccount("f", 1000, {}, 300, 300, 0, 0, 0, (), 400, courses_read=1, courses_dropped={})
    assert len(account.lines()) == 2


def test_large_counts_have_separators() -> None:
    account = HistoryAccount("f", 397_884, {}, 10_301, 0, 0, 0, 0, (), 387_583, courses_read=3866, courses_dropped={})
    first, second = account.lines()
    assert first.startswith("history f: 397,884 events read, 0 refused, 10,301 repeated, ")
    assert first.endswith(" 387,583 used")
    assert second == "catalogue: 3,866 courses read, 0 left out"


def test_nothing_left_says_where_it_went(history: History) -> None:
    with pytest.raises(InputError, match=r"no interactions are left to train on: history topic: .* unjoined"):
        prepare(replace(history, courses=history.courses[:0]), at_ms=NOW)
