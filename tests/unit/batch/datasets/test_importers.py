"""Importers on small files of each published form: what they carry, and what they say about a wrong file."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from batch.datasets.commands import import_, simulate
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.movielens import TEN_YEARS_MS, import_movielens
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.importers.results import Imported, ImportOptions
from recsys.catalog import Course
from recsys.errors import ConfigurationError, InputError
from recsys.files import courses_in, read_courses, read_interactions

OPTIONS = ImportOptions(arrival_ms=1_790_000_000_000)


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> None:
    (folder / name).write_bytes(text.encode(encoding))


@pytest.fixture
def mars(tmp_path: Path) -> Path:
    view = "510,007,2018-09-28 16:18:29\n"
    write(
        tmp_path,
        "implicit_ratings_en.csv",
        "item_id,user_id,created_at\n" + view + view + "511,007,2018-09-28 16:18:29\n",
    )
    watched = "user_id,item_id,watch_percentage,created_at,rating\n007,510,32,2018-09-28 16:20:00,4\n"
    write(tmp_path, "explicit_ratings_en.csv", watched)
    header = "item_id,language,name,nb_views,description,created_at,Difficulty,Job,Software,Theme,duration,type\n"
    item = "510,en,Caf&eacute; ,1114.0,Text,2016,N/A,['Boss'],\"['OneDrive', 'Word']\",['Share'],42.0,tutorial\n"
    write(tmp_path, "items_en.csv", header + item)
    return tmp_path


def test_mars_views_and_watch_events_with_repeats_as_the_same_event(mars: Path) -> None:
    imported = import_mars(mars, OPTIONS)
    events, courses = interactions_of(imported), imported.courses

    assert list(events["type"]) == ["view", "view", "view", "progress"]
    assert list(events["user_id"]) == ["007"] * 4
    assert events.loc[3, "value"] == 0.32
    assert events.loc[0, "timestamp"] == 1_538_151_509_000
    assert events["event_id"].nunique() == 3
    assert list(courses_in(courses)) == [
        Course(
            course_id="510",
            title="Caf&eacute;",
            intro="Text",
            skills=("OneDrive", "Word", "Share", "Boss"),
            category="OneDrive",
            language="English",
        )
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("implicit_ratings_en.csv", "item_id,user_id\n1,2\n", "missing created_at"),
        (
            "implicit_ratings_en.csv",
            "item_id,user_id,created_at\n1,2,soon\n",
            "row 1: expected YYYY-MM-DD hh:mm:ss as created_at",
        ),
        (
            "explicit_ratings_en.csv",
            "user_id,item_id,watch_percentage,created_at\n1,2,much,2018-01-01 00:00:00\n",
            "row 1: expected a number as watch_percentage, received 'much'",
        ),
    ],
)
def test_a_wrong_mars_file_is_one_clear_error(mars: Path, name: str, text: str, said: str) -> None:
    write(mars, name, text)

    with pytest.raises(InputError) as raised:
        import_mars(mars, OPTIONS)

    assert said in str(raised.value)
    assert name in str(raised.value)


def interactions_of(imported: Imported) -> pd.DataFrame:
    assert imported.interactions is not None
    return imported.interactions


def retail_lines() -> pd.DataFrame:
    line = {
        "Description": " RED MUG ",
        "Quantity": 6,
        "InvoiceDate": pd.Timestamp("2010-12-01 08:26"),
        "UnitPrice": 2.5,
        "CustomerID": 17850.0,
        "Country": "UK",
    }
    changes: list[dict[str, object]] = [
        {},
        {},
        {"CustomerID": None},
        {"Quantity": -1},
        {"UnitPrice": 0.0},
        {"Description": "POSTAGE", "CustomerID": 1.0},
    ]
    return pd.DataFrame([{**line, **change} for change in changes])


def test_each_retail_line_with_customer_quantity_and_price_is_its_own_event(tmp_path: Path) -> None:
    retail_lines().to_parquet(tmp_path / "online_retail.parquet")

    imported = import_online_retail(tmp_path, OPTIONS)
    events, courses = interactions_of(imported), imported.courses

    assert list(events["user_id"]) == ["17850", "17850", "1"]
    assert not events.duplicated(["user_id", "event_id"]).any()
    assert set(events["type"]) == {"click"}
    assert dict(zip(courses["course_id"], courses["retired"], strict=True)) == {"POSTAGE": True, "RED MUG": False}


def test_the_three_forms_of_movielens_say_the_same(tmp_path: Path) -> None:
    forms = {name: tmp_path / name for name in ("csv", "dat", "u")}
    for folder in forms.values():
        folder.mkdir()
    write(forms["csv"], "ratings.csv", "userId,movieId,rating,timestamp\n1,31,0.5,1260759144\n")
    write(forms["csv"], "movies.csv", 'movieId,title,genres\n31,"Café, The (1995)",Comedy|Drama\n')
    write(forms["dat"], "ratings.dat", "1::31::1::1260759144\n")
    write(forms["dat"], "movies.dat", "31::Café, The (1995)::Comedy|Drama\n", "latin-1")
    write(forms["u"], "u.data", f"1\t31\t1\t{1_260_759_144 - TEN_YEARS_MS // 1000}\n")
    flags = "|".join("1" if i in {5, 8} else "0" for i in range(19))
    write(forms["u"], "u.item", f"31|Café, The (1995)|01-Jan-1995||http://x|{flags}\n", "latin-1")

    (events, courses), dat, old = (
        (interactions_of(imported), imported.courses)
        for imported in (import_movielens(folder, OPTIONS) for folder in forms.values())
    )

    assert list(events.loc[0, ["user_id", "course_id", "type", "timestamp", "value"]]) == [
        "1",
        "31",
        "rate",
        1_260_759_144_000,
        1.0,
    ]
    assert list(courses.loc[0, ["title", "skills"]]) == ["Café, The (1995)", ("Comedy", "Drama")]
    pd.testing.assert_frame_equal(dat[0], events)
    pd.testing.assert_frame_equal(dat[1], courses)
    pd.testing.assert_frame_equal(old[0].drop(columns="event_id"), events.drop(columns="event_id"))
    pd.testing.assert_frame_equal(old[1], courses)


def test_a_course_reached_from_two_programmes_is_one_course(tmp_path: Path) -> None:
    header = "Title,URL,Short Intro,Category,Sub-Category,Language,Skills,Site\n"
    rows = (
        "Advanced SQL ,https://www.coursera.org/learn/sql?specialization=a,,,,,,Coursera\n"
        'Advanced SQL,https://www.coursera.org/learn/sql?specialization=b,Learn,IT,Data,English,"SQL,Joins, ,sql,",Coursera\n'  # noqa: E501 - a row as the site ships it
        "Cooking,https://www.futurelearn.com/courses/cooking,,,,,,Future Learn\n"
    )
    write(tmp_path, "Online_Courses.csv", header + rows)

    imported = import_online_courses(tmp_path, OPTIONS)
    events, courses = imported.interactions, imported.courses

    assert events is None
    assert list(courses["course_id"]) == ["coursera/sql", "futurelearn/cooking"]
    assert list(courses.loc[0, ["intro", "skills", "level", "language"]]) == [
        "Learn",
        ("Data", "SQL", "Joins"),
        "Advanced",
        "English",
    ]


@pytest.mark.parametrize("importer", [import_mars, import_online_retail, import_movielens, import_online_courses])
def test_a_missing_source_and_an_empty_folder_are_refused(tmp_path: Path, importer: Any) -> None:
    for source, message in ((tmp_path / "nowhere", "there is no file or folder"), (tmp_path, "holds no")):
        with pytest.raises(InputError, match=message):
            importer(source, OPTIONS)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_command_writes_files_that_can_be_read_and_prints_figures(
    mars: Path, tmp_path: Path, file_format: str
) -> None:
    out = tmp_path / "out"

    result = CliRunner().invoke(
        import_,
        ["mars", "--source", str(mars), "--out", str(out), "--format", file_format, "--json"],
        catch_exceptions=False,
    )

    figures = json.loads(result.stdout)
    assert {name: figures[name] for name in ("courses", "interactions", "learners", "out")} == {
        "courses": 1,
        "interactions": 4,
        "learners": 1,
        "out": str(out),
    }
    assert [(file["read"], file["used"], file["refused"]) for file in figures["files"]] == [
        (3, 3, {}),
        (1, 1, {}),
        (1, 1, {}),
    ]
    assert len(read_interactions(out / f"interactions.{file_format}")) == 4
    assert len(read_courses(out / f"courses.{file_format}")) == 1


def test_a_failed_import_writes_nothing(mars: Path, tmp_path: Path) -> None:
    write(mars, "items_en.csv", "item_id\n1\n")

    result = CliRunner().invoke(import_, ["mars", "--source", str(mars), "--out", str(tmp_path / "out")])

    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "out").exists()


def test_simulate_writes_equal_files_for_equal_arguments(tmp_path: Path) -> None:
    arguments = ["--learners", "30", "--courses", "20", "--days", "20", "--bots", "0.1", "--format", "csv"]
    for name in ("a", "b"):
        CliRunner().invoke(simulate, ["--out", str(tmp_path / name), *arguments], catch_exceptions=False)

    for file in ("interactions.csv", "courses.csv", "bots.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_end_of_a_simulation_may_be_given_in_two_forms_and_needs_a_zone(tmp_path: Path) -> None:
    base = ["--out", str(tmp_path), "--learners", "30", "--courses", "20", "--days", "20", "--end"]

    newest = []
    for end in ("1600000000000", "2020-09-13T12:26:40Z"):
        CliRunner().invoke(simulate, [*base, end], catch_exceptions=False)
        newest.append(read_interactions(tmp_path / "interactions.parquet")["timestamp"].max())

    assert newest[0] == newest[1] < 1_600_000_000_000
    for wrong in ("2020-09-13T12:26:40", "tomorrow"):
        assert isinstance(CliRunner().invoke(simulate, [*base, wrong]).exception, ConfigurationError)
