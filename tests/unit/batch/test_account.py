"""What became of a history is told: on the terminal, at the head of the report, in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.account import HistoryAccount
from batch.commands import evaluate as evaluate_command
from batch.commands import retrain as retrain_command
from batch.history import History
from batch.preparation import prepare
from recsys.catalog import Catalogue, Course
from recsys.errors import InputError
from recsys.files import course_frame, write_courses, write_interactions

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

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


def half_bad(events: pd.DataFrame, courses: Sequence[Course], folder: Path) -> list[str]:
    """Files in which most rows are lost: half are refused, a third of the rest names unknown courses."""
    rows = events.assign(type=np.where(np.arange(len(events)) % 2, "Enroll", "enroll"))
    rows["course_id"] = np.where(np.arange(len(rows)) % 6 == 0, "gone", rows["course_id"])
    write_interactions(rows, folder / "i.csv")
    write_courses(course_frame(courses), folder / "c.csv")
    return ["--interactions", str(folder / "i.csv"), "--courses", str(folder / "c.csv"), "--epochs", "1"]


def test_evaluate_and_retrain_tell_what_was_left_out(
    events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RECSYS_REPORTS_DIR", str(tmp_path / "reports"))
    arguments = half_bad(events, courses, tmp_path)
    out = tmp_path / "out.json"
    shown = CliRunner().invoke(evaluate_command, [*arguments, "--json", str(out)], catch_exceptions=False)
    lost = len(events) // 2
    assert f"{lost} refused ({lost} unknown_type)" in shown.stderr
    assert "such as 'gone'" in shown.stderr
    assert "WARNING: 67% of the history was left out" in shown.stderr
    assert json.loads(out.read_text())["history"]["account"]["refused"] == {"unknown_type": lost}

    shown = CliRunner().invoke(retrain_command, [*arguments, "--no-publish", "--json"], catch_exceptions=False)
    assert "WARNING: 67% of the history was left out" in shown.stderr
    summary = json.loads(shown.stdout)
    assert summary["history"]["refused"] == {"unknown_type": lost}
    report = (Path(summary["report"]) / "report.md").read_text().splitlines()
    assert report[0] == summary["headline"]
    assert any(line.startswith("- WARNING: 67%") for line in report[:8])


def test_the_account_is_told_even_where_too_little_is_left(
    events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path
) -> None:
    arguments = half_bad(events.head(60), courses, tmp_path)
    shown = CliRunner().invoke(evaluate_command, arguments)
    assert isinstance(shown.exception, InputError)
    assert "30 refused (30 unknown_type)" in shown.stderr


def test_nothing_left_says_where_it_went(history: History) -> None:
    with pytest.raises(InputError, match=r"no interactions are left to train on: history topic: .* unjoined"):
        prepare(replace(history, courses=history.courses[:0]), at_ms=NOW)


def test_where_nothing_has_a_positive_weight_the_message_says_that(
    events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path
) -> None:
    """Seen with a file of dismissals: "expected at least 50 interactions …, received 307"."""
    write_interactions(events.assign(type="dismiss"), tmp_path / "i.csv")
    write_courses(course_frame(courses), tmp_path / "c.csv")
    arguments = ["--interactions", str(tmp_path / "i.csv"), "--courses", str(tmp_path / "c.csv")]
    shown = CliRunner().invoke(evaluate_command, arguments)
    assert isinstance(shown.exception, InputError)
    said = f"none of the {len(events)} interactions has a positive weight ({len(events)} dismiss)"
    assert said in str(shown.exception)
