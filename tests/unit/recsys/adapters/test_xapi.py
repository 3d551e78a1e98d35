"""xAPI statements: each trap as a file of statements beside this test (tests/data/xapi), and what comes of it."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.adapters import Mapped, Outcome, Refused, Skipped
from recsys.adapters.completions import Completions
from recsys.adapters.lines import outcomes, read_lines
from recsys.adapters.summary import Summary
from recsys.adapters.xapi import XapiAdapter, statement_lines, statements_in
from recsys.adapters.xapi_fields import XapiRules
from recsys.adapters.xapi_voided import ProcessIndex
from recsys.errors import RefusalReason
from recsys.events import Interaction, encode
from recsys.vocabulary import VOCABULARY

DATA = Path("tests/data/xapi")
NOW_MS = 1_795_000_000_000  # 2026-11-18
SEPTEMBER_1_MS = 1_788_256_800_000  # 2026-09-01T10:00:00Z
PLANTED = "planted"
"""The personal data in the statements: names and addresses begin so."""


def adapter(rules: XapiRules | None = None, now_ms: int = NOW_MS) -> XapiAdapter:
    return XapiAdapter(ProcessIndex(), now_ms=lambda: now_ms, rules=rules)


def read(name: str, parse: XapiAdapter | None = None) -> list[Outcome]:
    lines = statement_lines(read_lines(io.BytesIO((DATA / name).read_bytes())))
    return [outcome for _, outcome in outcomes(lines, parse or adapter())]


def events(name: str, parse: XapiAdapter | None = None) -> list[Interaction]:
    return [outcome.event for outcome in read(name, parse) if isinstance(outcome, Mapped)]


def told(name: str) -> list[tuple[str, str, str]]:
    return [(event.user_id, event.course_id, event.type) for event in events(name)]


def skipped(name: str) -> list[str]:
    return [found.why for found in read(name) if isinstance(found, Skipped)]


def refused(name: str) -> list[RefusalReason]:
    return [found.reason for found in read(name) if isinstance(found, Refused)]


def statement(**changed: Any) -> dict[str, Any]:
    whole = {
        "id": "s-1",
        "actor": {"account": {"homePage": "https://lms.example.org", "name": "7"}},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/registered"},
        "object": {
            "id": "https://lms.example.org/course/course-v1:DemoX+C1+T1",
            "definition": {"type": "http://adlnet.gov/expapi/activities/course"},
        },
        "timestamp": "2026-09-01T10:00:00Z",
    }
    return whole | changed


def test_a_doubled_enrolment_says_the_same_state_twice() -> None:
    first, second, other = events("doubled_enrolment.jsonl")
    assert (first.user_id, first.course_id, first.type) == ("201", "DemoX+C1", "enroll")
    assert (first.user_id, first.course_id, first.type) == (second.user_id, second.course_id, second.type)
    assert (first.run_id, first.tenant, first.source) == ("course-v1:DemoX+C1+2026_T1", "DemoX", "xapi")
    assert (first.timestamp, second.timestamp - first.timestamp) == (SEPTEMBER_1_MS, 250)
    assert other.user_id == "202"


def test_300_blocks_are_one_play_a_day_and_weigh_less_than_an_enrolment_and_a_completion() -> None:
    found = events("block_completions.jsonl.gz", adapter(XapiRules(completions=Completions({}))))
    assert Counter(event.type for event in found) == {"play": 3, "enroll": 1, "complete": 1}
    assert {event.event_id for event in found} == {event.event_id for event in events("block_completions.jsonl.gz")}
    weight = {"203": 0.0, "204": 0.0}
    for event in {event.event_id: event for event in found}.values():
        weight[event.user_id] += VOCABULARY[event.type].weight
    assert weight == {"203": 3 * 2.0, "204": 10.0 + 12.0}


def test_with_the_number_of_blocks_they_are_four_quarters() -> None:
    rules = XapiRules(completions=Completions({"course-v1:DemoX+C1+2026_T1": 300}))
    found = [(event.type, event.value) for event in events("block_completions.jsonl.gz", adapter(rules))]
    assert found == [*(("progress", quarter / 4) for quarter in (1, 2, 3, 4)), ("enroll", None), ("complete", None)]


def test_half_of_a_block_is_no_completed_block() -> None:
    progress = "https://w3id.org/xapi/cmi5/result/extensions/progress"
    half = statement(
        verb={"id": "http://adlnet.gov/expapi/verbs/progressed"},
        object={
            "id": "https://lms.example.org/xblock/block-v1:DemoX+C1+T1+type@vertical+block@1",
            "definition": {"type": "http://id.tincanapi.com/activitytype/resource"},
        },
        result={"extensions": {progress: 50}},
    )
    parse = adapter(XapiRules(completions=Completions({"DemoX+C1": 1})))
    skipped_half = parse(json.dumps(half).encode())
    assert skipped_half == Skipped("http://adlnet.gov/expapi/verbs/progressed", "not complete")
    whole = parse(json.dumps(half | {"result": {"extensions": {progress: 100}}}).encode())
    assert isinstance(whole, Mapped)
    assert (whole.event.type, whole.event.value) == ("progress", 1.0)


def test_completed_is_a_completion_of_a_course_and_of_nothing_else() -> None:
    """Before object types were looked at, a video watched to its end completed the course."""
    assert told("completed_of_parts.jsonl") == [
        ("205", "DemoX+C1", "play"),
        ("205", "DemoX+C1", "play"),
        ("205", "5", "play"),
        ("206", "DemoX+C1", "complete"),
    ]
    assert events("completed_of_parts.jsonl")[0].value == 312.5
    assert skipped("completed_of_parts.jsonl") == ["on other", "not complete"]


def test_every_regrade_is_progress_and_never_a_completion() -> None:
    found = events("regrades.jsonl")
    assert [(event.type, event.value) for event in found] == [
        ("progress", value) for value in (0.1, 0.3, 0.31, 0.55, 0.6, 1.0)
    ]
    assert len({event.event_id for event in found}) == 4  # below a quarter, a quarter, a half, all
    assert skipped("regrades.jsonl") == ["on part", "no score"]


def test_what_a_platform_takes_back() -> None:
    assert [(user, kind) for user, _, kind in told("takes_back.jsonl")] == [
        ("209", "enroll"),
        ("209", "complete"),
        ("209", "uncomplete"),
        ("210", "enroll"),
        ("210", "unenroll"),
        ("211", "enroll"),
        ("211", "unenroll"),
        ("211", "enroll"),
        ("212", "unenroll"),
    ]


def test_voided_takes_back_the_statement_and_nothing_later() -> None:
    found = read("voided.jsonl")
    made = [outcome.event for outcome in found if isinstance(outcome, Mapped)]
    first, back = (event for event in made if event.user_id == "213")
    assert (first.type, back.type, back.timestamp) == ("enroll", "unenroll", first.timestamp)
    again = [(event.type, event.timestamp - SEPTEMBER_1_MS) for event in made if event.user_id == "214"]
    day = 86_400_000
    assert again == [("enroll", 0), ("enroll", 2 * day), ("unenroll", 0)]  # enrolled still: the later one stands
    enrolled = [(event.type, event.timestamp - SEPTEMBER_1_MS) for event in made if event.user_id == "215"]
    assert enrolled == [("enroll", 0), ("unenroll", 2 * day), ("enroll", 2 * day + 1)]
    assert [event.type for event in made if event.user_id == "217"] == ["complete", "uncomplete"]


def test_what_cannot_be_taken_back_is_counted() -> None:
    unknown = "no statement that passed and entered or left a state"
    assert skipped("voided.jsonl") == [unknown] * 3  # a play, a statement never seen, a statement that voids
    assert refused("voided.jsonl") == [RefusalReason.SCHEMA]


def test_a_statement_of_yesterdays_file_is_voided_today() -> None:
    parse = adapter()
    first, second = (DATA / "voided.jsonl").read_bytes().splitlines()[:2]
    assert isinstance(parse(first), Mapped)
    later = parse(second)
    assert isinstance(later, Mapped)
    assert later.event.type == "unenroll"
    assert isinstance(adapter()(second), Skipped)


def test_two_runs_are_one_course_and_a_library_is_none() -> None:
    found = events("two_runs.jsonl")
    assert {event.course_id for event in found} == {"DemoX+C1"}
    assert [event.run_id for event in found] == [
        "course-v1:DemoX+C1+2026_T1",
        "course-v1:DemoX+C1+2026_T2",
        "ccx-v1:DemoX+C1+2026_T1+ccx@7",
        "course-v1:DemoX+C1+2026_T2",
    ]
    assert skipped("two_runs.jsonl") == ["no course"]


def test_a_course_key_of_130_characters_is_taken_and_an_address_of_300_is_no_id() -> None:
    (found,) = events("long_key.jsonl")
    assert found.course_id == f"{'L' * 60}+{'C' * 66}"
    assert skipped("long_key.jsonl") == ["no course"]


def test_times_with_another_zone_without_one_and_stored() -> None:
    times = {event.user_id: event.timestamp - SEPTEMBER_1_MS for event in events("no_zone.jsonl")}
    assert times == {"220": 500, "221": 123 - 2 * 3_600_000, "222": 0}
    bad, future = RefusalReason.BAD_TIMESTAMP, RefusalReason.IN_THE_FUTURE
    assert refused("no_zone.jsonl") == [bad, bad, future, bad]


def test_the_clock_is_asked_for_each_statement_because_a_pipe_may_run_for_days() -> None:
    times = iter((SEPTEMBER_1_MS - 600_000, SEPTEMBER_1_MS))
    parse = XapiAdapter(ProcessIndex(), now_ms=lambda: next(times))
    content = json.dumps(statement()).encode()
    assert [type(parse(content)).__name__ for _ in range(2)] == ["Refused", "Mapped"]


def test_a_statement_without_a_time_has_the_time_at_which_it_was_received() -> None:
    parse = XapiAdapter(ProcessIndex(), now_ms=lambda: NOW_MS, received_ms=NOW_MS - 5)
    outcome = parse(json.dumps(statement(timestamp=None)).encode())
    assert isinstance(outcome, Mapped)
    assert outcome.event.timestamp == NOW_MS - 5


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.jsonl*")))
def test_no_personal_data_leaves_the_adapter(name: str) -> None:
    summary = Summary()
    sent = b""
    for place, outcome in enumerate(read(name)):
        summary.add(outcome, f"line {place}")
        sent += encode(outcome.event) if isinstance(outcome, Mapped) else repr(outcome).encode()
    shown = json.dumps(summary.document()).encode() + sent
    assert PLANTED.encode() not in shown.lower()
    assert b"@example" not in shown


def test_who_is_accepted_and_who_is_refused() -> None:
    assert told("personal_data.jsonl") == [
        ("ebd31e95054c018b10727ccffd2ef2ec3a016ee9", "DemoX+C1", "enroll"),
        ("227", "DemoX+C1", "enroll"),
    ]
    found = Counter(refused("personal_data.jsonl"))
    assert found == {"bad_id": 5, "not_json": 2, "bad_timestamp": 1, "unsupported_version": 1}


def test_bad_statements_are_refused_or_skipped_and_the_next_good_one_is_taken() -> None:
    assert told("damaged.jsonl") == [
        ("240", "DemoX+C1", "enroll"),
        ("240", "DemoX+C1", "play"),
        ("240", "http://[x", "enroll"),
        ("241", "DemoX+C1", "enroll"),
    ]
    found = Counter(refused("damaged.jsonl"))
    assert found == {
        "schema": 6,
        "bad_id": 5,
        "not_json": 3,
        "unsupported_version": 2,
        "bad_value": 3,
        "too_deep": 2,
    }


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e308", "-0.001", "1.001"])
def test_a_score_beyond_its_bound_is_refused_however_large(number: str) -> None:
    earned = statement(verb={"id": "http://id.tincanapi.com/verb/earned"}, result={"score": {"scaled": 0.5}})
    outcome = adapter()(json.dumps(earned).replace("0.5", number).encode())
    assert isinstance(outcome, Refused)
    assert outcome.reason == RefusalReason.BAD_VALUE


@pytest.mark.parametrize("length", [-1, 10**400, 1e6, "long", True])
def test_a_length_that_no_video_has_is_left_out(length: Any) -> None:
    watched = statement(
        verb={"id": "http://adlnet.gov/expapi/verbs/completed"},
        object={
            "id": "https://lms.example.org/xblock/block-v1:DemoX+C1+T1+type@video+block@1",
            "definition": {"type": "https://w3id.org/xapi/video/activity-type/video"},
        },
        context={"extensions": {"https://w3id.org/xapi/video/extensions/length": length}},
    )
    outcome = adapter()(json.dumps(watched).encode())
    assert isinstance(outcome, Mapped)
    assert (outcome.event.type, outcome.event.value) == ("play", None)


def test_an_array_and_an_answer_of_an_lrs_hold_many() -> None:
    assert [user for user, _, _ in told("batches.jsonl")] == ["250", "251", "252", "253"]
    assert statements_in(b"[]") == []
    assert statements_in(b'{"statements": 7}') is None


def test_each_verb_on_each_kind_of_object() -> None:
    found = [(event.type, event.course_id, event.value) for event in events("verbs.jsonl")]
    assert found == [
        ("view", "DemoX+C1", None),
        ("view", "DemoX+C1", None),
        ("bookmark", "DemoX+C1", None),
        ("rate", "DemoX+C1", 4.0),
        ("complete", "https://courses.example.org/au/7", None),
        ("progress", "DemoX+C1", 0.5),
        ("play", "5", None),
        ("play", "DemoX+C1", None),
    ]
    views = events("verbs.jsonl")[:2]
    assert views[0].event_id == views[1].event_id  # of one day
    assert events("verbs.jsonl")[-1].session_id == "abc"
    assert skipped("verbs.jsonl") == ["on part", "on part", "on part", "on video", "on video"]


def test_the_same_file_again_72_hours_later_says_the_same() -> None:
    for path in sorted(DATA.glob("*.jsonl*")):
        assert events(path.name) == events(path.name, adapter(now_ms=NOW_MS + 72 * 3_600_000)), path


def test_a_home_page_tells_learners_of_two_platforms_apart() -> None:
    rules = XapiRules({"https://lms.example.org": "", "https://moodle.example.org": "moodle:"})
    for home_page, user_id in (("https://lms.example.org/", "7"), ("https://moodle.example.org", "moodle:7")):
        outcome = adapter(rules)(
            json.dumps(statement(actor={"account": {"homePage": home_page, "name": "7"}})).encode()
        )
        assert isinstance(outcome, Mapped)
        assert outcome.event.user_id == user_id
    other = adapter(rules)(json.dumps(statement(actor={"account": {"homePage": "https://x", "name": "7"}})).encode())
    assert isinstance(other, Refused)
    assert "RECSYS_XAPI_HOME_PAGES" in other.example


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["id", "actor", "verb", "object", "timestamp", "context", "result", "version", "stored"]), _values
)
def test_whatever_a_field_holds_nothing_is_raised(name: str, value: Any) -> None:
    whole = statement(result={"score": {"scaled": 0.5}})
    assert isinstance(adapter()(json.dumps(whole | {name: value}).encode()), Mapped | Skipped | Refused)


@given(st.binary(max_size=60))
def test_whatever_bytes_come_nothing_is_raised(content: bytes) -> None:
    assert isinstance(adapter()(content), Skipped | Refused)
    statements_in(b"[" + content)
