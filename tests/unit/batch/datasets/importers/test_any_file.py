"""Whatever a publisher's file holds: an import gives what the stream would take, or one typed error."""

import csv
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.clean import clean_courses, clean_interactions
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.movielens import import_movielens
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.importers.results import Imported, ImportOptions
from recsys.errors import InputError
from recsys.files import INTERACTION_COLUMNS, read_courses, read_interactions, write_courses, write_interactions
from tests.examples import examples

ARRIVAL_MS = 1_790_000_000_000
GOOD: Mapping[str, tuple[Callable[[Path, ImportOptions], Imported], Mapping[str, Mapping[str, str]]]] = {
    "mars": (
        import_mars,
        {
            "implicit_ratings_en.csv": {"item_id": "8", "user_id": "40", "created_at": "2020-05-01 10:00:00"},
            "explicit_ratings_en.csv": {
                "item_id": "8",
                "user_id": "40",
                "watch_percentage": "50",
                "created_at": "2020-05-01 10:00:00",
            },
            "items_en.csv": {
                "item_id": "8",
                "name": "Tables",
                "language": "en",
                "description": "Learn",
                "Difficulty": "N/A",
                "Software": "['Calc']",
                "Theme": "[]",
                "Job": "",
            },
        },
    ),
    "online-retail": (
        import_online_retail,
        {
            "OnlineRetail.csv": {
                "InvoiceNo": "7001",
                "Description": "TIN BOX",
                "Quantity": "3",
                "InvoiceDate": "14/03/2011 10:00",
                "UnitPrice": "1.25",
                "CustomerID": "501",
            }
        },
    ),
    "movielens": (
        import_movielens,
        {
            "ratings.csv": {"userId": "1", "movieId": "5", "rating": "4.0", "timestamp": "1112223334"},
            "movies.csv": {"movieId": "5", "title": "Fjord (1999)", "genres": "Drama|Comedy"},
        },
    ),
    "online-courses": (
        import_online_courses,
        {
            "Online_Courses.csv": {
                "Title": "Knots",
                "URL": "https://site.example/learn/knots",
                "Short Intro": "i",
                "Category": "Crafts",
                "Sub-Category": "Ropes",
                "Language": "English",
                "Skills": "a, b",
                "Site": "Siteone",
            }
        },
    ),
}
ODD = (
    *("", " ", "nan", "NULL", "inf", "-inf", "1e400", "-1", "0", "17001.5", "17001.0", "1,234", "2,55", "1 200", "١٢"),
    *("1e5", "0x1F", "1_000", "9" * 30, "9" * 400, "True", "GUEST-1", "x" * 200, "\x00", "a\rb", "a\nb", "\u0085"),
    *("01/02/2011", "13/02/2011", "02/13/2011", "2011-02-30", "0000-00-00", "9999-12-31 23:59:59", "2011-01-01T00:00Z"),
    *("http://[x", "//", "https://a.example", "?id=1", "[None]", "[1]", "['a', None]", "[", "{}", "__import__('os')"),
    *("List<String>", "&lt;b&gt;", "👩\u200d💻", "\u200b", "1112223334000", "1112223334000000", "5.5", "120", "['a']"),
)
fields = st.sampled_from(ODD) | st.text(max_size=6).filter(
    lambda text: not any("\ud800" <= c <= "\udfff" for c in text)
)


def table(good: Mapping[str, str], changes: Sequence[Mapping[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(good), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows([dict(good), *({**good, **change} for change in changes)])
    return file.getvalue()


def check(imported: Imported, folder: Path) -> None:
    """The frames survive the neutral files and the rules of the stream."""
    for report in imported.files:
        assert report.read == report.used + sum(report.left_out.values()) + report.refused_rows
    write_courses(imported.courses, folder / "c.csv")
    read = read_courses(folder / "c.csv")
    pd.testing.assert_frame_equal(read.drop(columns="skills"), imported.courses.drop(columns="skills"))
    # The files part skills by semicolons, so one inside a skill is written as a comma.
    assert list(read["skills"].map(len)) == list(imported.courses["skills"].map(len))
    kept, cleaning = clean_courses(imported.courses)
    assert set(cleaning.dropped) <= {"duplicate"}
    assert len(kept)
    if imported.interactions is not None:
        write_interactions(imported.interactions, folder / "i.csv")
        events = read_interactions(folder / "i.csv")
        pd.testing.assert_frame_equal(events, imported.interactions)
        assert set(clean_interactions(events, arrival_ms=ARRIVAL_MS)[1].dropped) <= {"repeated"}


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_field_may_be_anything(name: str, data: st.DataObject) -> None:
    importer, good = GOOD[name]
    with tempfile.TemporaryDirectory() as folder:
        for file, row in good.items():
            change = st.dictionaries(st.sampled_from(list(row)), fields, max_size=3)
            text = table(row, data.draw(st.lists(change, max_size=3), label=file))
            (Path(folder) / file).write_text(text, encoding="utf-8", newline="")
        try:
            imported = importer(Path(folder), ImportOptions(ARRIVAL_MS))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
            return
        check(imported, Path(folder))


CELLS = st.sampled_from(
    [
        None,
        1,
        2.5,
        17001.0,
        float("nan"),
        float("inf"),
        True,
        b"x",
        "x",
        pd.NA,
        pd.Timestamp("2011-01-05"),
        ["a"],
        {"a": 1},
    ]
)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]), CELLS)
def test_a_column_of_a_parquet_file_may_be_of_any_type(column: str, cell: object) -> None:
    row = {
        "Description": "TIN BOX",
        "Quantity": 3,
        "InvoiceDate": pd.Timestamp("2011-03-14"),
        "UnitPrice": 1.25,
        "CustomerID": 501.0,
    }
    frame = pd.DataFrame([row, row]).drop(columns=column)
    frame[column] = pd.Series([cell, cell], dtype=object)
    with tempfile.TemporaryDirectory() as folder:
        frame.to_parquet(Path(folder) / "online_retail.parquet")
        try:
            imported = import_online_retail(Path(folder), ImportOptions(ARRIVAL_MS))
        except InputError:
            return
        check(imported, Path(folder))


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["course_id", "title", "intro", "skills", "category", "retired"]), CELLS, CELLS)
def test_a_column_of_a_neutral_catalogue_may_be_of_any_type(column: str, first: object, second: object) -> None:
    names = ("course_id", "title", "intro", "skills", "category")
    frame = pd.DataFrame({**{name: ["1", "2"] for name in names}, "retired": [False, True]})
    refuses_or_reads(frame, column, first, second, read_courses)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(INTERACTION_COLUMNS), CELLS, CELLS)
def test_a_column_of_a_neutral_history_may_be_of_any_type(column: str, first: object, second: object) -> None:
    frame = pd.DataFrame({name: ["1", "2"] for name in INTERACTION_COLUMNS})
    refuses_or_reads(frame, column, first, second, read_interactions)


def refuses_or_reads(
    frame: pd.DataFrame, column: str, first: object, second: object, read: Callable[[Path], pd.DataFrame]
) -> None:
    frame[column] = pd.Series([first, second], dtype=object)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "neutral.parquet"
        try:
            frame.to_parquet(path)
        except (ValueError, TypeError, OverflowError):  # two types that no Parquet column holds together
            return
        try:
            read(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
