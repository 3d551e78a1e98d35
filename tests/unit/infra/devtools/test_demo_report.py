"""What the demo tells of its lists, of the new course and of the fine-tuner."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from infra.devtools.demo_report import before_and_after, of_finetuning, of_new_course, places, summary
from infra.devtools.live_learner import Answer, Change
from infra.devtools.new_course import CameAndWent
from infra.devtools.running_finetuner import Verdict
from infra.devtools.taste_shift import TasteShift
from recsys.catalog import Course

BEFORE = Answer(("a", "b"), ("Title A", "Title B"), "v1", "cached")
AFTER = Answer(("c", "a"), ("Title C", "Title A"), "v1", "cached")
POPULAR = Answer(("c", "d"), ("Title C", "Title D"), "v1", "cached")
TUNED = Answer(("d", "c"), ("Title D", "Title C"), "v2", "cached")
CHANGE = Change(BEFORE, AFTER, 12.34567)
COURSE = CameAndWent(Course(course_id="n", title="New: Title"), 3, 1.23456, 0.5)
SHIFT = TasteShift(
    "Music", 7, 42, BEFORE, AFTER, POPULAR, TUNED, 40, [Verdict("passed", "better"), Verdict("rejected", "forgets")]
)
HELD = replace(SHIFT, tuned=POPULAR, verdicts=[Verdict("rejected", "forgets"), Verdict("waiting", "few")])


def shown(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return out.getvalue()


def rows(table: Table) -> list[list[str]]:
    lines = [line for line in shown(table).splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")] for line in lines]


def test_the_summary_holds_what_the_contract_names_and_the_table_both_lists() -> None:
    told = summary(CHANGE, COURSE, SHIFT, "http://127.0.0.1:1")
    assert told["before"] == ["a", "b"]
    assert told["after"] == ["c", "a"]
    assert (told["event_to_answer_ms"], told["model"]) == (12.346, "v1")
    assert told["new_course"] == {"course_id": "n", "rank": 3, "listed_s": 1.235, "gone_s": 0.5}
    assert told["titles"] == {each: f"Title {each.upper()}" for each in "abcd"}
    assert "'New: Title', was number 3 of the list 1.2 s after" in of_new_course(COURSE)
    table = shown(before_and_after(CHANGE))
    assert "new Title C" in table
    assert "new Title A" not in table


def test_the_places_of_each_course_stand_side_by_side_in_the_order_of_the_last_list() -> None:
    assert rows(places(SHIFT)) == [
        ["course", "before", "3 clicks", "others' clicks", "increment"],
        ["Title D", "–", "–", "2", "1"],
        ["Title C", "–", "1", "1", "2"],
        ["Title A", "1", "2", "–", "–"],
        ["Title B", "2", "–", "–", "–"],
    ]


def test_a_list_that_was_ranked_by_the_increment_already_is_not_called_one_of_the_model_before() -> None:
    assert rows(places(replace(SHIFT, popular=None)))[0] == ["course", "before", "3 clicks", "increment"]
    told = summary(CHANGE, COURSE, replace(SHIFT, popular=None), "")["taste_shift"]
    assert isinstance(told, dict)
    assert told["others_clicks"] is None


def test_what_passed_the_gate_is_told_with_all_that_the_gate_said() -> None:
    told = of_finetuning(SHIFT)
    assert "Of the 42 clicks of the others and the learner's own, the fine-tuner learned from 40 and published" in told
    assert "published an increment, v2. Its gate said: passed: better; then rejected: forgets." in told


def test_nothing_published_is_told_as_that_with_the_verdict() -> None:
    assert "published nothing: the list is still ranked by v1. Its gate said: rejected: forgets." in of_finetuning(HELD)
    assert rows(places(HELD))[0][-1] == "same model"
    assert "Its gate said: nothing yet." in of_finetuning(replace(HELD, verdicts=[]))
