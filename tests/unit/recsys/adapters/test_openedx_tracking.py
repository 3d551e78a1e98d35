"""Open edX tracking logs: each trap as a log beside this test (tests/data/openedx), and what comes of it."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.adapters import Mapped, Outcome, Refused, Skipped
from recsys.adapters.completions import Completions
from recsys.adapters.fields import utc_ms
from recsys.adapters.lines import outcomes, read_lines
from recsys.adapters.openedx import BY_SOMEBODY_ELSE, OpenEdxRules
from recsys.adapters.openedx_tracking import ENROLLED, NAVIGATION, RULES, parse_line, tracking_outcome
from recsys.adapters.staff import Role, Staff
from recsys.adapters.summary import Summary
from recsys.errors import RefusalReason
from recsys.events import Interaction, encode
from recsys.vocabulary import VOCABULARY

DATA = Path("tests/data/openedx")
NOW_MS = 1_795_000_000_000  # 2026-11-18
PLANTED = ("planted", "Planted", "203.0.113.77")
"""The personal data in the logs: names, addresses, e-mail, host and referer all begin so."""


def read(log: str, rules: OpenEdxRules | None = None) -> list[Outcome]:
    content = io.BytesIO((DATA / log).read_bytes())
    rules = rules or OpenEdxRules(lambda: NOW_MS)
    return [outcome for _, outcome in outcomes(read_lines(content), lambda line: parse_line(line, rules))]


def events(log: str, rules: OpenEdxRules | None = None) -> list[Interaction]:
    return [outcome.event for outcome in read(log, rules) if isinstance(outcome, Mapped)]


def told(log: str, rules: OpenEdxRules | None = None) -> list[tuple[str, str, str]]:
    return [(event.user_id, event.course_id, event.type) for event in events(log, rules)]


def skipped(log: str, rules: OpenEdxRules | None = None) -> list[tuple[str, str]]:
    return [(found.name, found.why) for found in read(log, rules) if isinstance(found, Skipped)]


def tracked(name: str, fields: Mapping[str, Any], **changed: Any) -> Outcome:
    line = {
        "name": name,
        "event_source": "server",
        "time": "2026-09-01T10:00:00+00:00",
        "context": {"course_id": "course-v1:DemoX+C1+T1", "user_id": 1},
        "event": fields,
    }
    return tracking_outcome(line | changed, OpenEdxRules(lambda: NOW_MS, grades=True))


def test_a_doubled_enrolment_is_one_event_twice() -> None:
    first, second, other = events("doubled_enrolment.log")
    assert first.event_id == second.event_id != other.event_id
    assert (first.type, first.course_id, first.run_id) == ("enroll", "DemoX+C1", "course-v1:DemoX+C1+2025_T1")
    assert (first.tenant, first.source, second.timestamp - first.timestamp) == ("DemoX", "openedx", 250)


def test_300_completed_blocks_are_four_events() -> None:
    rules = OpenEdxRules(lambda: NOW_MS, completions=Completions({"DemoX+C1": 300}))
    found = [event for event in events("block_completions.log", rules) if event.user_id == "103"]
    assert [(event.type, event.value) for event in found] == [("progress", n / 4) for n in (1, 2, 3, 4)]
    assert len({event.event_id for event in found}) == 4


def test_the_number_of_blocks_of_a_run_goes_before_that_of_the_course() -> None:
    blocks = {"DemoX+C1": 300, "course-v1:DemoX+C1+2025_T1": 600}
    rules = OpenEdxRules(lambda: NOW_MS, completions=Completions(blocks))
    values = [event.value for event in events("block_completions.log", rules) if event.type == "progress"]
    assert values == [0.25, 0.5]


def test_without_a_number_of_blocks_completions_are_one_play_a_day() -> None:
    found = [event for event in events("block_completions.log") if event.user_id == "103"]
    assert [event.type for event in found] == ["play"] * 8
    assert len({event.event_id for event in found}) == 8
    assert skipped("block_completions.log") == [("edx.completion.block_completion.changed", "more of the day")] * 292


def test_what_300_blocks_add_up_to_is_less_than_an_enrolment_and_a_completion() -> None:
    weight = {"103": 0.0, "104": 0.0}
    for event in {(event.user_id, event.event_id): event for event in events("block_completions.log")}.values():
        weight[event.user_id] += VOCABULARY[event.type].weight
    assert weight["103"] < weight["104"] == VOCABULARY["enroll"].weight + VOCABULARY["complete"].weight


@pytest.mark.parametrize("blocks", [{}, {"DemoX+C1": 300}])
def test_a_log_read_again_says_the_same(blocks: dict[str, int]) -> None:
    later_ms = NOW_MS + 72 * 3_600_000
    for log in sorted(path.name for path in DATA.glob("*.log")):
        first = events(log, OpenEdxRules(lambda: NOW_MS, completions=Completions(blocks)))
        again = events(log, OpenEdxRules(lambda: later_ms, completions=Completions(blocks)))
        assert first == again, log


def test_a_log_read_twice_by_one_run_says_its_progress_twice() -> None:
    rules = OpenEdxRules(lambda: NOW_MS, completions=Completions({"DemoX+C1": 300}))
    first = [event for event in events("block_completions.log", rules) if event.type == "progress"]
    again = [event for event in events("block_completions.log", rules) if event.type == "progress"]
    assert first == again


def test_two_runs_are_one_course() -> None:
    found = events("two_runs.log")
    assert {event.course_id for event in found} == {"DemoX+C1"}
    assert [event.run_id for event in found] == [
        "course-v1:DemoX+C1+2025_T1",
        "course-v1:DemoX+C1+2025_T1",
        "course-v1:DemoX+C1+2025_T2",
        "ccx-v1:DemoX+C1+2025_T1+ccx@7",
    ]
    assert found[1].event_id == found[2].event_id  # one day


def test_unenrolled_and_enrolled_again() -> None:
    kinds = [(user, kind) for user, _, kind in told("enrol_again.log")]
    assert kinds == [("108", "enroll"), ("108", "unenroll"), ("108", "enroll"), ("109", "enroll"), ("109", "unenroll")]


def test_who_is_enrolled_is_the_learner_not_the_instructor() -> None:
    assert told("instructor_enrols.log") == [("110", "DemoX+C1", "enroll"), ("111", "DemoX+C2", "enroll")]
    names = [outcome.name for outcome in read("instructor_enrols.log") if isinstance(outcome, Mapped)]
    assert names == [ENROLLED + BY_SOMEBODY_ELSE] * 2


def test_a_line_without_a_learner_is_skipped() -> None:
    assert skipped("blank_user.log") == [("play_video", "no learner")] * 3
    assert told("blank_user.log") == [("112", "DemoX+C1", "enroll")]


def test_event_and_context_as_strings() -> None:
    assert told("event_as_string.log") == [("113", "DemoX+C3", "bookmark"), ("114", "DemoX+C3", "bookmark")]


def test_a_grade_counts_by_the_quarter_it_reaches() -> None:
    found = events("regrades.log", OpenEdxRules(lambda: NOW_MS, grades=True))
    assert [event.value for event in found] == [0.3, 0.31, 0.3, 0.55, 0.55, 0.55, 0.4]
    assert len({event.event_id for event in found}) == 2
    assert events("regrades.log") == []


def test_staff_leave_no_signal() -> None:
    staff = Staff([Role("9002", "DemoX+C1"), Role("9003", "*", "DemoX"), Role("9004", "*")])
    assert told("staff.log", OpenEdxRules(lambda: NOW_MS, staff=staff)) == [
        ("9002", "DemoX+C2", "play"),
        ("116", "DemoX+C1", "play"),
        ("116", "DemoX+C2", "play"),
    ]
    assert skipped("staff.log", OpenEdxRules(lambda: NOW_MS, staff=staff)) == [("play_video", "staff")] * 5


def test_a_key_of_130_characters() -> None:
    (event,) = events("long_key.log")
    assert event.run_id is not None
    assert len(event.run_id) == 130
    assert event.run_id == f"course-v1:{event.course_id}+{'R' * 23}"


def test_a_time_without_a_zone_is_utc() -> None:
    without, utc, moved = events("no_zone.log")
    assert without.timestamp == utc.timestamp == moved.timestamp


def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert utc_ms("2025-09-01T10:00:00") == utc_ms("2025-09-01T10:00:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_backfill_keeps_its_times() -> None:
    found = events("backfill.log")
    assert len(found) == 200
    assert max(event.timestamp for event in found) < NOW_MS - 365 * 86_400_000


def test_what_a_browser_says_of_somebody_else_is_not_believed() -> None:
    assert told("forged.log") == [("122", "DemoX+C1", "play")]
    assert [why for _, why in skipped("forged.log")] == ["written by a client"] * 2


def test_only_a_look_at_an_about_page_is_a_view() -> None:
    assert told("about_pages.log") == [("124", "DemoX+C4", "view")] * 2
    assert Counter(skipped("about_pages.log")) == {
        ("/courses/{course}/about", "no learner"): 1,
        ("/courses/{course}/about", "no course"): 1,
        ("(request to the LMS)", ""): 2,
    }


def test_what_the_platform_takes_back_is_the_opposite() -> None:
    assert [(user, kind) for user, _, kind in told("takes_back.log")] == [
        ("125", "complete"),
        ("125", "uncomplete"),
        ("126", "complete"),
        ("126", "uncomplete"),
        ("127", "bookmark"),
        ("127", "unbookmark"),
    ]


def test_damaged_lines_are_refused_and_the_good_ones_read() -> None:
    summary = Summary()
    content = io.BytesIO((DATA / "damaged.log").read_bytes())
    for number, outcome in outcomes(read_lines(content), lambda line: parse_line(line, OpenEdxRules(lambda: NOW_MS))):
        summary.add(outcome, f"line {number}")
    assert summary.learners == {"129", "130", "131", "132"}
    assert {reason: found.lines for reason, found in summary.refused.items()} == {"not_json": 6, "too_deep": 1}
    assert summary.refused["not_json"].example.startswith("line 1: ")
    assert summary.skipped == {("(other)", ""): 1}


def test_no_personal_data_leaves_the_adapter() -> None:
    summary, sent = Summary(), b""
    rules = OpenEdxRules(lambda: NOW_MS, grades=True, navigation=True)
    lines = 0
    for log in sorted(DATA.glob("*.log")):
        content = log.read_bytes()
        lines += content.count(b"\n")
        for number, outcome in outcomes(read_lines(io.BytesIO(content)), lambda line: parse_line(line, rules)):
            summary.add(outcome, f"line {number}")
            sent += encode(outcome.event) if isinstance(outcome, Mapped) else repr(outcome).encode()
    assert lines > 550
    assert sum(log.read_text(errors="replace").count("planted") for log in DATA.glob("*.log")) > 350
    for planted in PLANTED:
        assert planted.encode() not in sent
        assert planted not in json.dumps(summary.document())


@pytest.mark.parametrize(
    ("user", "learner"), [(7, "7"), ("7", "7"), (" 7 ", "7"), (2**62, str(2**62)), ("9" * 19, "9" * 19)]
)
def test_a_learner_is_a_number(user: object, learner: str) -> None:
    outcome = tracked("edx.bookmark.added", {}, context={"course_id": "course-v1:DemoX+C1+T1", "user_id": user})
    assert isinstance(outcome, Mapped)
    assert outcome.event.user_id == learner


@pytest.mark.parametrize("user", ["jane", "7@example.org", -7, 0, 1.5, True, [7], {"id": 7}, 10**30, "7" * 30])
def test_anything_else_is_no_learner(user: object) -> None:
    outcome = tracked("edx.bookmark.added", {}, context={"course_id": "course-v1:DemoX+C1+T1", "user_id": user})
    assert outcome == Refused(RefusalReason.BAD_ID, "edx.bookmark.added: expected the number of a user as user_id")


@pytest.mark.parametrize("when", [None, "", "yesterday", 0, "2026-13-01T00:00:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_none_is_refused(when: object) -> None:
    outcome = tracked("edx.bookmark.added", {}, time=when)
    assert isinstance(outcome, Refused)
    assert outcome.reason in {RefusalReason.BAD_TIMESTAMP, RefusalReason.IN_THE_FUTURE}


def test_a_time_is_rounded_down_to_milliseconds() -> None:
    assert utc_ms("1970-01-01T00:00:01.999999") == 1999
    assert utc_ms("1970-01-01T01:00:00Z") == 3_600_000


@pytest.mark.parametrize(("duration", "value"), [(12.5, 12.5), (-1, None), ("12", None), (True, None), (10**400, None)])
def test_a_watched_video_has_its_seconds(duration: object, value: float | None) -> None:
    outcome = tracked("edx.video.completed", {"duration": duration})
    assert isinstance(outcome, Mapped)
    assert (outcome.event.type, outcome.event.value) == ("play", value)


def test_a_click_is_one_on_a_list_of_ours() -> None:
    first, again, other = (
        tracked("edx.bi.user.recommendations.clicked", {"recommendation_id": shown, "course_key": "DemoX+C9"})
        for shown in ("r1", "r1", "r2")
    )
    assert isinstance(first, Mapped)
    assert isinstance(other, Mapped)
    assert first == again
    assert (first.event.type, first.event.course_id, first.event.run_id) == ("click", "DemoX+C9", None)
    assert first.event.event_id != other.event.event_id
    assert isinstance(tracked("edx.bi.user.recommendations.clicked", {"course_key": "DemoX+C9"}), Skipped)


@pytest.mark.parametrize("completion", [0.0, 0.5, None, "1"])
def test_a_block_that_is_not_completed_is_none(completion: object) -> None:
    fields = {"block_id": "block-v1:DemoX+C1+T1+type@html+block@a", "completion": completion, "user_id": 1}
    assert tracked("edx.completion.block_completion.changed", fields) == Skipped(
        "edx.completion.block_completion.changed", "not completed"
    )


def test_the_course_of_a_block_is_in_its_key() -> None:
    fields = {"block_id": "block-v1:DemoX+C8+T1+type@html+block@a", "completion": 1.0, "user_id": 1}
    outcome = tracked("edx.completion.block_completion.changed", fields, context={})
    assert isinstance(outcome, Mapped)
    assert outcome.event.course_id == "DemoX+C8"


def test_steps_inside_a_course_are_views_where_asked_for() -> None:
    line = {
        "name": "edx.ui.lms.outline.selected",
        "time": "2026-09-01T10:00:00",
        "context": {"course_id": "course-v1:DemoX+C1+T1", "user_id": 1},
        "event": {},
    }
    assert isinstance(tracking_outcome(line, OpenEdxRules(lambda: NOW_MS)), Skipped)
    asked = tracking_outcome(line, OpenEdxRules(lambda: NOW_MS, navigation=True))
    assert isinstance(asked, Mapped)
    assert asked.event.type == "view"


def test_every_rule_is_in_the_vocabulary() -> None:
    assert {rule.kind for rule in RULES.values()} <= set(VOCABULARY)
    assert not NAVIGATION & RULES.keys()


_awkward: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=8) | st.just("1"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
_fields = st.dictionaries(
    st.sampled_from(["user_id", "course_id", "course_key", "block_id", "completion", "percent", "duration", "POST"]),
    _awkward,
)
_lines = st.fixed_dictionaries(
    {"name": st.sampled_from([*RULES, *NAVIGATION, "/courses/course-v1:O+C+R/about"]) | _awkward},
    optional={
        "event_type": _awkward,
        "event_source": _awkward | st.just("browser"),
        "time": _awkward | st.just("2026-09-01T10:00:00"),
        "context": _fields | _awkward,
        "event": _fields | _awkward,
        "data": _fields | _awkward,
        "session": _awkward,
        "agent": _awkward,
    },
)


@given(_lines)
def test_whatever_stands_in_a_line_nothing_is_raised(line: dict[str, Any]) -> None:
    rules = OpenEdxRules(lambda: NOW_MS, completions=Completions({"O+C": 3}), grades=True, navigation=True)
    tracking_outcome(line, rules)
    parse_line(json.dumps(line).encode(), rules)


@given(st.binary(max_size=200))
def test_whatever_bytes_a_line_has_nothing_is_raised(content: bytes) -> None:
    parse_line(content, OpenEdxRules(lambda: NOW_MS))
    parse_line(b'{"name": "play_video", "context": ' + content + b"}", OpenEdxRules(lambda: NOW_MS))
