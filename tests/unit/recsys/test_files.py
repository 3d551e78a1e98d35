"""The neutral files: what readers accept, refuse and never change."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys.catalog import Course, PathPosition, Run
from recsys.errors import InputError
from recsys.files import (
    INTERACTION_COLUMNS,
    course_frame,
    courses_in,
    read_courses,
    read_interactions,
    write_courses,
    write_interactions,
)

HEADER = "event_id,user_id,course_id,type,timestamp,value,session_id,user_agent\n"


def written(tmp_path: Path, text: str | bytes, name: str = "interactions.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def sample_interactions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event_id": ["001", "e,2", 'e"3'],
            "user_id": ["007", "NA", "123"],
            "course_id": ["1e5", "null", "c\rd"],
            "type": ["view", "progress", "rate"],
            "timestamp": [1_600_000_000_000, 1_600_000_000_001, 946_684_800_000],
            "value": [float("nan"), 0.1, 5.0],
            "session_id": ["s", None, None],
            "user_agent": [None, "Mozilla/5.0 (X11)", None],
            "into": None,
        },
        dtype=object,
    ).astype({"timestamp": "int64", "value": "float64"})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_merges_and_erasures_come_back_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"interactions.{suffix}"
    changed: dict[str, Any] = {
        "type": ["merge", "erase", "view"],
        "course_id": ["", "", "c"],
        "into": ["ada", None, None],
    }
    control = sample_interactions().assign(**changed).astype(dict.fromkeys(changed, object))
    control.loc[1:, "into"] = None

    write_interactions(control, path)

    pd.testing.assert_frame_equal(read_interactions(path), control)


def test_a_file_without_merges_has_no_column_for_them(tmp_path: Path) -> None:
    write_interactions(sample_interactions(), tmp_path / "interactions.csv")

    assert "into" not in (tmp_path / "interactions.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_interactions_come_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"interactions.{suffix}"

    write_interactions(sample_interactions(), path)

    pd.testing.assert_frame_equal(read_interactions(path), sample_interactions())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_courses_come_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    courses = [
        Course(course_id="01", title='T, "q"\r', intro="two\nlines", skills=("a", "b c"), level="Beginner"),
        Course(course_id="2", title="nan", retired=True),
        Course(
            course_id="3",
            title="full",
            runs=(Run(run_id="r1", start=5, pacing="self", hidden=True), Run(run_id="r2")),
            languages=("en", "fr"),
            subtitles=("de",),
            prerequisites=("01",),
            paths=(PathPosition(path_id="p; q", position=0),),
            org="O",
            tenant="t",
            instructors=("A. B",),
            effort_hours=1.5,
            duration_weeks=6.0,
            certificate="verified",
            countries_allow=("CH", "AT"),
            countries_block=("XX",),
            min_age=16,
            created_at=1_600_000_000_000,
            url="https://example.org/?a=1;b=2",
            image_url="https://example.org/i.png",
        ),
    ]
    path = tmp_path / f"courses.{suffix}"

    write_courses(course_frame(courses), path)

    assert list(courses_in(read_courses(path))) == courses


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("runs", "r1", "a JSON list or nothing as runs"),
        ("runs", '[{"start":1}]', "a JSON list or nothing as runs"),
        ("paths", "{}", "a JSON list or nothing as paths"),
        ("min_age", "16.5", "a whole number or nothing as min_age"),
        ("created_at", "1e30", "a whole number or nothing as created_at"),
        ("effort_hours", "six", "a number or nothing as effort_hours"),
    ],
)
def test_a_damaged_field_of_a_course_is_refused(tmp_path: Path, column: str, value: str, expected: str) -> None:
    path = tmp_path / "courses.csv"
    pd.DataFrame({"course_id": ["1"], "title": ["T"], column: [value]}).to_csv(path, index=False)

    with pytest.raises(InputError, match=f"row 1: expected {expected}"):
        read_courses(path)


def test_optional_columns_may_be_missing_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, "mood,event_id,user_id,course_id,type,timestamp\nfine,1,2,3,view,1600000000000\n")

    read = read_interactions(path)

    assert tuple(read.columns) == INTERACTION_COLUMNS
    assert read.loc[0, "user_id"] == "2"
    assert read[["value", "session_id", "user_agent"]].isna().all(axis=None)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    read = read_interactions(written(tmp_path, "\ufeff" + HEADER.replace("\n", "\r\n") + "1,2,3,view,4,,,\r\n"))

    assert read.loc[0, "event_id"] == "1"
    assert len(read) == 1


def test_whole_number_ids_of_a_parquet_file_become_their_digits(tmp_path: Path) -> None:
    frame = sample_interactions().assign(
        user_id=[1, 2, 3], timestamp=pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])
    )
    frame.to_parquet(tmp_path / "i.parquet")

    read = read_interactions(tmp_path / "i.parquet")

    assert list(read["user_id"]) == ["1", "2", "3"]
    assert read.loc[0, "timestamp"] == 1_577_836_800_000


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_equal_texts_of_a_file_are_one_object(tmp_path: Path, suffix: str) -> None:
    """A million events of some thousand learners must not hold a million ids."""
    frame = pd.concat([sample_interactions()] * 2, ignore_index=True)
    write_interactions(frame, tmp_path / f"i.{suffix}")

    read = read_interactions(tmp_path / f"i.{suffix}")

    pd.testing.assert_frame_equal(read, frame)
    for name in ("event_id", "user_id", "course_id", "type", "user_agent"):
        assert len({id(text) for text in read[name]}) == read[name].nunique(dropna=False), name


def test_skills_of_a_parquet_file_may_be_lists(tmp_path: Path) -> None:
    pd.DataFrame({"course_id": ["1", "2"], "title": ["a", "b"], "skills": [["x", " y "], None]}).to_parquet(
        tmp_path / "c.parquet"
    )

    assert list(read_courses(tmp_path / "c.parquet")["skills"]) == [("x", "y"), ()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "1,2,3,view,4,,,\n1,2,3\n", "row 2: expected 8 fields, received 3"),
        (HEADER + "1,2,3,view,4,,,,9\n", "row 1: expected 8 fields, received 9"),
        (
            HEADER + "1,2,3,view,soon,,,\n",
            "row 1: expected timestamp in whole milliseconds since 1970 UTC, received 'soon'",
        ),
        (HEADER + "1,2,3,view,,,,\n", "row 1: expected timestamp"),
        (HEADER + "1,2,3,view,99999999999999999999,,,\n", "row 1: expected timestamp"),
        (HEADER + "1,2,3,rate,4,five,,\n", "row 1: expected a number or nothing as value, received 'five'"),
        (HEADER + '1,2,3,view,4,,,"open\n', "readable csv file, received unexpected end"),
        (HEADER.encode() + b"\xff,2,3,view,4,,,\n", "readable csv file, received 'utf-8'"),
        ("event_id,user_id\n1,2\n", "received event_id, user_id; missing course_id, type, timestamp"),
        ("", "missing event_id"),
    ],
)
def test_an_unreadable_file_is_one_clear_error(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_interactions(written(tmp_path, text))

    assert said in str(raised.value)
    assert "interactions.csv" in str(raised.value)


def test_a_missing_file_a_folder_and_another_suffix_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path / "no.parquet", tmp_path, tmp_path / "x.json"):
        with pytest.raises(InputError, match="expected"):
            read_courses(path)


def test_a_broken_parquet_file_and_float_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a readable parquet file"):
        read_interactions(written(tmp_path, b"PAR1 no", "i.parquet"))
    sample_interactions().assign(user_id=[1.0, float("nan"), 2.0]).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(InputError, match=r"row 1: expected text as user_id, received '1.0'"):
        read_interactions(tmp_path / "f.parquet")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "interactions.csv"
    write_interactions(sample_interactions(), path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(InputError, match="No space left"):
        write_interactions(sample_interactions(), path)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["interactions.csv"]


def test_a_frame_without_a_column_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing user_agent"):
        write_interactions(sample_interactions().drop(columns="user_agent"), tmp_path / "i.csv")
    assert not list(tmp_path.iterdir())


def test_a_header_without_rows_is_an_empty_frame_of_the_right_types(tmp_path: Path) -> None:
    read = read_interactions(written(tmp_path, HEADER))

    pd.testing.assert_frame_equal(read, sample_interactions().iloc[:0], check_index_type=False)


@pytest.mark.parametrize(
    ("skills", "said"),
    [
        ([5, 6], "row 1: expected texts joined by \";\" or a list of texts as skills, received '5'"),
        ([1.5, None], "row 1: expected texts joined by"),
        ([["a"], ["b", None]], "row 2: expected texts joined by"),
        ([[8], [7]], "row 1: expected texts joined by"),
        ([{"a": 1}, {"a": 2}], "row 1: expected texts joined by"),
        ([True, False], "row 1: expected texts joined by"),
    ],
)
def test_skills_that_are_no_texts_are_refused(tmp_path: Path, skills: list[object], said: str) -> None:
    path = tmp_path / "c.parquet"
    pd.DataFrame({"course_id": ["1", "2"], "title": ["a", "b"], "skills": skills}).to_parquet(path)

    with pytest.raises(InputError) as raised:
        read_courses(path)

    assert said in str(raised.value)


@pytest.mark.parametrize("dtype", ["string", "str", object])
def test_absent_values_of_every_kind_are_absent(tmp_path: Path, dtype: object) -> None:
    path = tmp_path / "c.parquet"
    absent = pd.array(["a; b", None], dtype=dtype)  # type: ignore[call-overload]  # one of the stubs' literals
    pd.DataFrame({"course_id": ["1", "2"], "title": ["x", "y"], "skills": absent, "intro": absent}).to_parquet(path)

    read = read_courses(path)

    assert list(read["skills"]) == [("a", "b"), ()]
    assert list(read["intro"]) == ["a; b", ""]


def test_a_column_of_nulls_is_absent_and_one_of_yes_no_floats_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    pd.DataFrame(
        {"course_id": ["1", "2"], "title": ["x", "y"], "skills": [None, None], "retired": [1.0, None]}
    ).to_parquet(path)

    read = read_courses(path)

    assert list(read["skills"]) == [(), ()]
    assert list(read["retired"]) == [True, False]


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999", '"2,5"', "nan", "1.234.5"])
def test_a_value_that_is_no_finite_number_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InputError, match="row 1: expected a number or nothing as value"):
        read_interactions(written(tmp_path, HEADER + f"1,2,3,rate,4,{value},,\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("event_id,user_id,course_id,type,timestamp,timestamp\n1,2,3,view,4,5\n", "'timestamp' twice"),
        (HEADER + "1,2,3,view,4,,,\n1,2,3,view,4,,,,\n", "row 2: expected 8 fields, received 9"),
    ],
)
def test_a_file_that_could_be_read_in_two_ways_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_interactions(written(tmp_path, text))

    assert said in str(raised.value)


def test_blanks_after_the_delimiters_become_no_part_of_an_id(tmp_path: Path) -> None:
    read = read_interactions(written(tmp_path, "event_id, user_id, course_id, type, timestamp\n1, 2, 3, view, 4\n"))

    assert list(read.loc[0, ["user_id", "course_id", "type"]]) == ["2", "3", "view"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_semicolon_of_a_character_reference_parts_no_skill(tmp_path: Path, suffix: str) -> None:
    written_skills = ("R&amp;D", "AT&T", "&#1080;&#x438;", "a&lt;b")
    path = tmp_path / f"c.{suffix}"

    write_courses(course_frame([Course(course_id="1", title="t", skills=(*written_skills, "c; d"))]), path)

    assert read_courses(path).loc[0, "skills"] == (*written_skills, "c, d")


@pytest.mark.parametrize("skills", ["['SQL', 'ETL']", '["SQL"]', "[]", "[None]", " ['SQL'] "])
def test_a_list_that_a_program_wrote_into_a_text_is_no_skill(tmp_path: Path, skills: str) -> None:
    pd.DataFrame({"course_id": ["c1"], "title": ["T"], "skills": [skills]}).to_csv(tmp_path / "c.csv", index=False)

    with pytest.raises(InputError, match="row 1: expected texts joined by"):
        read_courses(tmp_path / "c.csv")


@pytest.mark.parametrize("skills", [("[None]",), ("['SQL', 'ETL']",), ("[]",), ("['SQL'", "'ETL']")])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_skill_that_looks_like_such_a_list_is_read_as_it_was_written(
    tmp_path: Path, suffix: str, skills: tuple[str, ...]
) -> None:
    """Seen with a publisher's genre "[None]": the catalogue was written, and refused by whoever read it."""
    path = tmp_path / f"c.{suffix}"
    write_courses(course_frame([Course(course_id="1", title="t", skills=skills)]), path)
    assert list(read_courses(path)["skills"]) == [skills]


@pytest.mark.parametrize("skills", ["[draft]", "[1]", "['a'; 'b']", "arrays []"])
def test_brackets_in_a_skill_are_a_skill(tmp_path: Path, skills: str) -> None:
    pd.DataFrame({"course_id": ["c1"], "title": ["T"], "skills": [skills]}).to_csv(tmp_path / "c.csv", index=False)

    assert "".join(next(iter(read_courses(tmp_path / "c.csv")["skills"]))) == skills.replace("; ", "")


def test_true_is_no_value(tmp_path: Path) -> None:
    row = {"event_id": ["e"], "user_id": ["u"], "course_id": ["c"], "type": ["play"], "timestamp": [1_600_000_000_000]}
    pd.DataFrame({**row, "value": [True]}).to_parquet(tmp_path / "i.parquet")

    with pytest.raises(InputError, match="row 1: expected a number or nothing as value, received 'True'"):
        read_interactions(tmp_path / "i.parquet")


@pytest.mark.parametrize("name", ["Skills", "SKILLS", "skill_s", "In-tro"])
def test_a_column_with_nearly_a_known_name_is_not_passed_over(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"course_id,title,{name}\nc1,T,x\n", "c.csv")

    with pytest.raises(InputError, match=f"expected the column (skills|intro), received '{name}'; rename it"):
        read_courses(path)


def test_other_columns_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "course_id,title,skills,Skills,price\nc1,T,a,b,5\n", "c.csv")

    assert read_courses(path).loc[0, "skills"] == ("a",)
