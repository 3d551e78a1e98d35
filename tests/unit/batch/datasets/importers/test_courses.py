"""`recsys import courses`: each platform's form, several sources of one course, and what is no course."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.datasets.importers.course_forms import catalog_info_course, discovery_course, form_of, moodle_course
from batch.datasets.importers.courses import import_courses
from recsys.catalog import Course, PathPosition, Run
from recsys.errors import InputError
from recsys.files import courses_in, read_courses
from tests.doubles.commands import Run as RunCommand

DATA = Path("tests/data/catalogue")
DISCOVERY, MOODLE, BUS = DATA / "discovery.json", DATA / "moodle.json", DATA / "catalog_info.jsonl"


def imported(*sources: Path) -> dict[str, Course]:
    return {course.course_id: course for course in courses_in(import_courses(sources).imported.courses)}


def test_course_discovery_gives_every_field_it_has() -> None:
    assert imported(DISCOVERY)["DemoX+C1"] == Course(
        course_id="DemoX+C1",
        title="Statistics",
        intro="Learn to count.\n\n<p>Counting, from the start.</p>",
        skills=("Counting", "Statistics"),
        category="Data",
        level="Introductory",
        language="en-us",
        runs=(
            Run(
                run_id="course-v1:DemoX+C1+2025_T1",
                start=1_736_467_200_000,
                end=1_743_465_600_000,
                pacing="instructor",
                hidden=True,
            ),
            Run(
                run_id="course-v1:DemoX+C1+2026_T1",
                start=1_768_003_200_000,
                end=1_775_001_600_000,
                enrollment_start=1_764_543_600_000,
                pacing="self",
            ),
        ),
        languages=("en-us", "fr"),
        subtitles=("en-us", "es"),
        prerequisites=("DemoX+C0", "GoneX+C9"),
        paths=(PathPosition(path_id="p-1", position=2),),
        org="DemoX",
        instructors=("Ana Sample",),
        effort_hours=18.0,
        duration_weeks=6.0,
        certificate="verified",
        countries_block=("XX", "YY"),
        created_at=1_704_067_200_000,
        url="https://example.org/c1",
        image_url="https://example.org/1.png",
    )


def test_fields_of_another_type_are_as_if_they_were_not_there() -> None:
    assert imported(DISCOVERY)["DemoX+C4"] == Course(
        course_id="DemoX+C4", title="Odd", category="art", level="Advanced", org="DemoX"
    )


def test_a_course_that_nobody_could_find_and_enter_is_retired_until_a_source_opens_it() -> None:
    assert imported(DISCOVERY)["DemoX+C2"].retired
    assert not imported(DISCOVERY, BUS)["DemoX+C2"].retired


def test_moodles_course_is_its_own_run_and_its_number_is_the_one_in_the_log() -> None:
    courses = imported(MOODLE)
    assert courses["5"] == Course(
        course_id="5",
        title="Biology",
        intro="<p>Cells.</p>",
        skills=("cells",),
        category="Science",
        language="de",
        languages=("de",),
        runs=(Run(run_id="5", start=1_788_256_800_000),),
        instructors=("T. Each",),
        created_at=1_700_000_000_000,
        image_url="https://moodle.example.org/p.png",
    )
    assert courses["6"].retired
    assert set(courses) == {"5", "6"}


def test_two_sources_of_one_course_are_merged_field_by_field_the_first_one_first() -> None:
    course = imported(BUS, DISCOVERY)["DemoX+C1"]
    assert (course.title, course.category) == ("Statistics (bus)", "Data")
    runs = {run.run_id.rpartition("+")[2]: run for run in course.runs}
    assert set(runs) == {"2025_T1", "2026_T1", "2026_T2"}
    assert (runs["2026_T1"].start, runs["2026_T1"].end) == (1_769_904_000_000, 1_775_001_600_000)
    assert imported(DISCOVERY, BUS)["DemoX+C1"].title == "Statistics"


def test_what_is_no_course_is_counted_by_reason_with_its_row() -> None:
    discovery, moodle, bus = import_courses((DISCOVERY, MOODLE, BUS)).imported.files
    assert {reason: found.rows for reason, found in discovery.refused.items()} == {
        "empty_title": 1,
        "bad_id": 1,
        "schema": 1,
    }
    assert discovery.refused["schema"].example == "row 6: expected an object with the fields of a course"
    assert discovery.repaired["prerequisites in words left out"].rows == 2
    assert (moodle.left_out, moodle.refused["bad_id"].rows) == ({"front page": 1}, 1)
    assert (bus.read, bus.used, bus.refused["bad_id"].rows) == (4, 3, 1)
    for report in (discovery, moodle, bus):
        assert report.read == report.used + sum(report.left_out.values()) + report.refused_rows


def test_prerequisites_that_name_no_course_are_told_and_bind_nobody() -> None:
    merged = import_courses((DISCOVERY,))
    assert merged.remarks == (
        "catalogue: 2 prerequisites name no course of it and bind nobody, such as 'DemoX+C0' (asked for by 1)",
    )
    assert not imported(DISCOVERY)["DemoX+C1"].retired


def test_the_command_writes_a_file_that_is_a_source_again(run: RunCommand, tmp_path: Path) -> None:
    first = run("import", "courses", str(DISCOVERY), str(MOODLE), "--out", str(tmp_path), "--format", "csv", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["courses"] == 5
    assert "2 prerequisites name no course" in first.stderr
    written = tmp_path / "courses.csv"
    again = run("import", "courses", str(written), str(BUS), "--out", str(tmp_path / "merged"))
    assert again.returncode == 0, again.stderr
    courses = {course.course_id: course for course in courses_in(read_courses(tmp_path / "merged" / "courses.parquet"))}
    assert courses == imported(DISCOVERY, MOODLE, BUS) | {"DemoX+C2": courses["DemoX+C2"]}
    assert courses["DemoX+C2"].retired  # as the written file says


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("c.json", b"", "received 0 objects"),
        ("c.json", b"{", "received none .line 1"),
        ("c.json", b'{"a": 1}\n{', "received none .line 2"),
        ("c.json", b'[{"a": 1}]', "expected an object with the fields of a course"),
        ("c.json", b"[" * 5000, "received none"),
        ("c.json", b'{"exception":"webservice_access_exception","errorcode":"accessexception"}', "row 1"),
        ("c.csv", b"id,title\n1,a\n", "missing course_id"),
    ],
)
def test_a_file_without_a_course_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=expected):
        import_courses((tmp_path / name,))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        import_courses((tmp_path / "nowhere.json",))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)
_FIELDS = (
    "key",
    "title",
    "id",
    "fullname",
    "course_key",
    "name",
    "course_runs",
    "prerequisites",
    "schedule",
    "staff",
    "location_restriction",
    "programs",
    "image",
    "lang",
    "startdate",
    "visible",
    "contacts",
    "subjects",
    "tags",
)


@given(st.dictionaries(st.sampled_from(_FIELDS), _values))
def test_whatever_a_field_holds_nothing_is_raised(row: dict[str, Any]) -> None:
    form_of(row)
    for reader in (discovery_course, moodle_course, catalog_info_course):
        reader(row)
