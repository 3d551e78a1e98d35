"""Dates of a column: one order for all, decided from the whole column, or a refusal that shows both readings."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from batch.datasets.importers.dates import check_format, milliseconds
from recsys.errors import ConfigurationError, InputError

PATH = Path("sales.csv")


def read(*texts: object, date_format: str | None = None) -> list[str | None]:
    """The dates as ISO texts in UTC; None where a value is no date."""
    values = milliseconds(pd.Series(texts, name="sold", dtype=object), PATH, date_format)
    return [
        None if pd.isna(ms) else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") for ms in values
    ]


@pytest.mark.parametrize("separator", ["-", "/", "."])
def test_one_day_above_twelve_decides_for_the_whole_column(separator: str) -> None:
    day_first = [text.replace("-", separator) for text in ("01-02-2021 08:26", "13-02-2021 9:05")]
    month_first = [text.replace("-", separator) for text in ("01-02-2021 08:26", "2-13-2021 9:05")]

    assert read(*day_first) == ["2021-02-01T08:26:00", "2021-02-13T09:05:00"]
    assert read(*month_first) == ["2021-01-02T08:26:00", "2021-02-13T09:05:00"]


def test_a_column_that_decides_nothing_is_refused_with_both_readings_and_both_formats() -> None:
    with pytest.raises(InputError) as raised:
        read("soon", "03/03/2021", "05/06/2021 10:00")

    assert str(raised.value) == (
        "sales.csv: the dates of the column sold can be read in two ways: '05/06/2021 10:00' (row 3) is 2021-06-05 or"
        " 2021-05-06, day first or month first; say which with --date-format '%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'"
    )


def test_dates_that_say_the_same_both_ways_need_no_decision() -> None:
    assert read("03/03/2021", "4.4.2021") == ["2021-03-03T00:00:00", "2021-04-04T00:00:00"]


def test_rows_that_decide_differently_are_both_shown() -> None:
    with pytest.raises(InputError, match=r"'13/01/2021' \(row 1\) and '01/14/2021' \(row 3\), day first and"):
        read("13/01/2021", "01/02/2021", "01/14/2021")


def test_year_first_beside_year_last_is_refused() -> None:
    with pytest.raises(InputError, match=r"'2021-01-05' \(row 1\) and '13/01/2021' \(row 2\)"):
        read("2021-01-05", "13/01/2021")


def test_a_format_decides_and_what_it_does_not_fit_is_no_date() -> None:
    texts = ("01/02/2021", "13/02/2021", "2021-02-13", "")

    assert read(*texts, date_format="%d/%m/%Y") == ["2021-02-01T00:00:00", "2021-02-13T00:00:00", None, None]
    assert read(*texts, date_format="%m/%d/%Y") == ["2021-01-02T00:00:00", None, None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-02-13T10:00:00Z", "2021-02-13T10:00:00"),
        ("2021-02-13 10:00:00+02:00", "2021-02-13T08:00:00"),
        ("2021-02-13T10:00:00.250-0530", "2021-02-13T15:30:00"),
        ("2021/2/13 7:05", "2021-02-13T07:05:00"),
        ("2/13/2021 12:05 AM", "2021-02-13T00:05:00"),
        ("2/13/2021 1:05 pm", "2021-02-13T13:05:00"),
        (" 2021-02-13 ", "2021-02-13T00:00:00"),
        (date(2021, 2, 13), "2021-02-13T00:00:00"),
    ],
)
def test_the_usual_forms_are_read(text: object, expected: str) -> None:
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2021-02-30",
        "2021-13-01",
        "13/13/2021",
        "13/02/21",
        "2021-02-13 25:00",
        "2021-02-13 x",
        "44240",
        "２０２１-02-13",
    ],
)
def test_what_is_no_date_is_absent(text: str) -> None:
    assert read(text) == [None]


def test_timestamps_of_a_parquet_file_are_taken_as_they_are() -> None:
    naive = pd.Series(pd.DatetimeIndex(["2021-02-13 10:00", pd.NaT]), name="sold")
    zoned = naive.dt.tz_localize("Europe/Paris")

    assert milliseconds(naive, PATH, None).tolist()[0] == 1_613_210_400_000
    assert milliseconds(zoned, PATH, None).tolist()[0] == 1_613_206_800_000
    assert milliseconds(naive, PATH, None).isna().tolist() == [False, True]


@pytest.mark.parametrize("date_format", ["", "%d/%m", "%H:%M", "%Q", "day first", "%"])
def test_a_format_without_day_month_and_year_is_refused(date_format: str) -> None:
    with pytest.raises(ConfigurationError, match="--date-format"):
        check_format(date_format)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1/2/2021 8:26 PM", "%d/%m/%Y %I:%M %p"),
        ("01.02.2021T08:26:05.250Z", "%d.%m.%YT%H:%M:%S.%f%z"),
        ("01-02-2021 08:26+02:00", "%d-%m-%Y %H:%M%z"),
        ("01/02/2021", "%d/%m/%Y"),
    ],
)
def test_the_format_that_is_advised_reads_the_date(text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read(text)

    assert f"--date-format '{said}'" in str(raised.value)
    assert read(text, date_format=said) != [None]


@pytest.mark.parametrize("zone", ["+99:99", "-24:00", "+10:75"])
def test_an_offset_that_no_clock_shows_is_no_zone(zone: str) -> None:
    assert read(f"2021-03-04T10:00:00{zone}", "2021-03-04T10:00:00+14:00") == [None, "2021-03-03T20:00:00"]


def test_year_day_month_is_not_read_as_year_month_day() -> None:
    with pytest.raises(InputError, match=r"'2021-02-03' \(row 2\) and '2021-13-01' \(row 1\), year-month-day and year"):
        read("2021-13-01", "2021-02-03")


def test_one_month_too_high_is_a_bad_value_where_another_row_decides() -> None:
    assert read("2021-13-01", "2021-02-28") == [None, "2021-02-28T00:00:00"]
