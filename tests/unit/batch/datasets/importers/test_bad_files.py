"""Publishers' files with something wrong: a row is read right, or refused and counted, or its file is refused."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from batch.datasets.commands import import_
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.movielens import import_movielens
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.importers.results import FileReport, Imported, ImportOptions
from recsys.errors import InputError

OPTIONS = ImportOptions(arrival_ms=1_790_000_000_000)
SALES = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
CATALOGUE = "Title,URL,Short Intro,Category,Sub-Category,Language,Skills,Site\n"


def put(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        (folder / name.replace("_dot_", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def sale(**changes: object) -> str:
    fields: dict[str, object] = {
        "invoice": "7001",
        "code": "K9",
        "text": "TIN BOX",
        "quantity": 3,
        "date": "2011-03-14 10:00:00",
        "price": 1.25,
        "customer": 501,
        "country": "Norway",
    }
    return ",".join(f'"{value}"' for value in {**fields, **changes}.values()) + "\n"


def sales(tmp_path: Path, *lines: str) -> Imported:
    return import_online_retail(put(tmp_path, OnlineRetail_dot_csv=SALES + "".join(lines)), OPTIONS)


def films(tmp_path: Path, ratings: str, movies: str = "5,Fjord (1999),Drama\n") -> Imported:
    header = "userId,movieId,rating,timestamp\n"
    put(tmp_path, ratings_dot_csv=header + ratings, movies_dot_csv="movieId,title,genres\n" + movies)
    return import_movielens(tmp_path, OPTIONS)


def catalogue(tmp_path: Path, *rows: str) -> Imported:
    return import_online_courses(put(tmp_path, Online_Courses_dot_csv=CATALOGUE + "".join(rows)), OPTIONS)


def mars(tmp_path: Path, *, views: str = "", watched: str = "", items: str = "") -> Imported:
    put(
        tmp_path,
        implicit_ratings_en_dot_csv="item_id,user_id,created_at\n" + (views or "8,40,2020-05-01 10:00:00\n"),
        explicit_ratings_en_dot_csv="user_id,item_id,watch_percentage,created_at\n"
        + (watched or "40,8,50,2020-05-01 10:00:00\n"),
        items_en_dot_csv="item_id,language,name,description,Difficulty,Job,Software,Theme\n"
        + (items or "8,en,Tables,Learn,Beginner,['Clerk'],['Calc'],['Sums']\n"),
    )
    return import_mars(tmp_path, OPTIONS)


def refused(report: FileReport) -> dict[str, int]:
    return {reason: found.rows for reason, found in report.refused.items()}


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        ({"customer": "501.5"}, "bad_id", "row 2: expected a text or a whole number with all its digits as CustomerID"),
        ({"customer": "5.01E+17"}, "bad_id", "received '5.01E+17'"),
        ({"customer": "17,001"}, "bad_id", "received '17,001'"),
        ({"text": " "}, "bad_id", "as Description, received ' '"),
        ({"text": "x" * 256}, "bad_id", "an id of 1 to 255 printable characters as Description"),
        ({"price": "1,25"}, "bad_value", "expected a number as UnitPrice, received '1,25'"),
        ({"price": "1.234,50"}, "bad_value", "received '1.234,50'"),
        ({"quantity": "1 200"}, "bad_value", "expected a number as Quantity, received '1 200'"),
        ({"quantity": "1,200"}, "bad_value", "received '1,200'"),
        ({"quantity": "inf"}, "bad_value", "received 'inf'"),
        ({"quantity": "NaN"}, "bad_value", "received 'NaN'"),
        ({"quantity": ""}, "bad_value", "received ''"),
        (
            {"date": ""},
            "bad_timestamp",
            "expected YYYY-MM-DD hh:mm:ss as InvoiceDate (for another form: --date-format), received ''",
        ),
        ({"date": "yesterday"}, "bad_timestamp", "received 'yesterday'"),
        ({"date": "1970-01-01 00:00:00"}, "before_2000", "expected a time in or after 2000 as InvoiceDate"),
        ({"date": "2999-01-01 00:00:00"}, "in_the_future", "expected a time that is not in the future as InvoiceDate"),
    ],
)
def test_a_bad_value_refuses_its_row_with_a_reason_and_an_example(
    tmp_path: Path, change: dict[str, object], reason: str, said: str
) -> None:
    imported = sales(tmp_path, sale(), sale(**change))

    assert imported.interactions is not None
    assert len(imported.interactions) == 1
    assert refused(imported.files[0]) == {reason: 1}
    assert said in imported.files[0].refused[reason].example


@pytest.mark.parametrize("change", [{"customer": "501.5"}, {"date": "yesterday"}, {"price": "1,25"}])
def test_a_file_without_a_usable_row_is_refused_in_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"none of its 1 rows can be used: .*: 1 refused, row 1: expected") as raised:
        sales(tmp_path, sale(**change))

    assert "\n" not in str(raised.value)


def test_a_purchase_without_a_customer_a_return_and_a_gift_are_left_out_not_refused(tmp_path: Path) -> None:
    lines = [sale(customer=customer) for customer in ("", " ", "NaN", "NULL")]

    imported = sales(tmp_path, sale(), *lines, sale(quantity=-3), sale(price=0))

    assert imported.files[0].left_out == {"without a customer": 4, "taken back": 1, "without a price": 1}
    assert not imported.files[0].refused


@pytest.mark.parametrize(
    ("customer", "user"), [("GUEST-7", "GUEST-7"), ("501.0", "501"), ("00501", "00501"), (" 501 ", "501")]
)
def test_a_customer_may_be_a_text_or_a_whole_number(tmp_path: Path, customer: str, user: str) -> None:
    events = sales(tmp_path, sale(customer=customer), sale(customer=777)).interactions

    assert events is not None
    assert set(events["user_id"]) == {user, "777"}


def test_an_item_named_by_a_number_is_an_item(tmp_path: Path) -> None:
    assert list(sales(tmp_path, sale(text="31072")).courses["title"]) == ["31072"]


def test_a_float_column_of_a_parquet_file_gives_whole_ids_or_none(tmp_path: Path) -> None:
    columns = {"Description": ["A", "B", "C"], "Quantity": [1, 1, 1], "UnitPrice": [1.0, 1.0, 1.0]}
    when = pd.to_datetime(["2011-03-14"] * 3)
    frame = pd.DataFrame({**columns, "InvoiceDate": when, "CustomerID": [501.0, 501.5, 2.0**60]})
    frame.to_parquet(tmp_path / "online_retail.parquet")

    imported = import_online_retail(tmp_path, OPTIONS)

    assert imported.interactions is not None
    assert list(imported.interactions["user_id"]) == ["501"]
    assert refused(imported.files[0]) == {"bad_id": 2}


def test_a_sheet_saved_with_semicolons_in_windows_1252_is_read(tmp_path: Path) -> None:
    content = SALES.replace(",", ";") + "7001;K9;CAFÉ £5 MUG;3;2011-03-14 10:00;1.25;501;Norway\n"

    imported = import_online_retail(put(tmp_path, OnlineRetail_dot_csv=content.encode("cp1252")), OPTIONS)

    assert list(imported.courses["title"]) == ["CAFÉ £5 MUG"]


@pytest.mark.parametrize(
    ("time", "reason", "said"),
    [
        ("1112223334000", "in_the_future", "seconds since 1970 UTC as timestamp (these look like milliseconds)"),
        ("1112223334000000", "in_the_future", "(these look like microseconds)"),
        ("1112223334000000000", "in_the_future", "(these look like nanoseconds)"),
        ("9" * 25, "bad_value", "expected seconds since 1970 UTC as timestamp"),
        ("1e400", "bad_value", "expected a number as timestamp, received '1e400'"),
        ("-Infinity", "bad_value", "expected a number as timestamp"),
        ("", "bad_value", "expected a number as timestamp, received ''"),
        ("0", "before_2000", "expected a time in or after 2000 as timestamp, received '0'"),
        ("-5", "before_2000", "received '-5'"),
    ],
)
def test_a_time_in_another_unit_is_refused_and_the_unit_named(
    tmp_path: Path, time: str, reason: str, said: str
) -> None:
    imported = films(tmp_path, f"1,5,4.0,1112223334\n2,5,4.0,{time}\n")

    assert imported.interactions is not None
    assert imported.interactions["timestamp"].tolist() == [1_112_223_334_000]
    assert said in imported.files[0].refused[reason].example


@pytest.mark.parametrize("mark", ["0", "0.4", "5.5", "-1", "nan", "five", "4,5"])
def test_a_mark_beyond_the_scale_is_refused_not_raised_to_the_lowest(tmp_path: Path, mark: str) -> None:
    imported = films(tmp_path, f'1,5,0.5,1112223334\n2,5,"{mark}",1112223334\n')

    assert imported.interactions is not None
    assert imported.interactions["value"].tolist() == [1.0]
    assert refused(imported.files[0]) == {"bad_value": 1}


def test_blank_ids_and_titles_are_refused(tmp_path: Path) -> None:
    ratings = "1,5,4,1112223334\n ,5,4,1112223334\n1,,4,1112223334\nnan,5,4,1112223334\n"

    imported = films(tmp_path, ratings, "5,Fjord,Drama\n6,\u200b,Drama\n ,Ridge,Drama\n")

    assert [refused(report) for report in imported.files] == [{"bad_id": 3}, {"bad_id": 1, "empty_title": 1}]
    assert list(imported.courses["course_id"]) == ["5"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_older_files_are_utf_8_or_latin_1_and_only_line_feeds_end_their_lines(
    tmp_path: Path, encoding: str
) -> None:
    titles = ("Ångström à la mode (1998)", "Crème \u0085 brûlée (2000)")
    movies = "".join(f"{i}::{title}::Drama\n" for i, title in enumerate(titles))
    put(tmp_path, ratings_dot_dat="1::0::4::1112223334\r\n", movies_dot_dat=movies.encode(encoding))

    assert list(import_movielens(tmp_path, OPTIONS).courses["title"]) == [
        "Ångström à la mode (1998)",
        "Crème brûlée (2000)",
    ]


def test_a_delimiter_at_the_end_of_every_line_moves_no_column(tmp_path: Path) -> None:
    put(tmp_path, ratings_dot_dat="1::5::4::1112223334::\n", movies_dot_dat="5::Fjord::Drama::\n")

    imported = import_movielens(tmp_path, OPTIONS)

    assert list(imported.courses.loc[0, ["course_id", "title", "skills"]]) == ["5", "Fjord", ("Drama",)]


@pytest.mark.parametrize("percent", ["101", "120", "-1", "inf", "", "50%"])
def test_a_watched_share_is_a_percentage(tmp_path: Path, percent: str) -> None:
    imported = mars(tmp_path, watched=f"40,8,100,2020-05-01 10:00:00\n40,8,{percent},2020-05-02 10:00:00\n")

    assert refused(imported.files[1]) == {"bad_value": 1}
    assert imported.interactions is not None
    assert imported.interactions["value"].max() == 1.0


@pytest.mark.parametrize("names", ["['Calc', None]", "['Calc', nan]", "[7]", "Calc", "{'Calc': 1}", "[" * 500])
def test_a_list_that_holds_more_than_names_refuses_its_course(tmp_path: Path, names: str) -> None:
    good = "8,en,Tables,Learn,Beginner,['Clerk'],['Calc'],['Sums']\n"

    imported = mars(tmp_path, items=good + f'9,en,Charts,Learn,Beginner,[],"{names}",[]\n')

    assert list(imported.courses["course_id"]) == ["8"]
    assert refused(imported.files[2]) == {"bad_value": 1}


def test_courses_without_an_address_stay_apart(tmp_path: Path) -> None:
    titles = ("C", "C++", "C#", "编程入门", "हिन्दी", "Knots", "Knots!")
    rows = [f"{title},,intro,Crafts,Ropes,English,a,Siteone\n" for title in titles]

    imported = catalogue(tmp_path, *rows, "Knots,,another,Crafts,Ropes,English,a,Siteone\n")

    assert list(imported.courses["title"]) == [*titles, "Knots"]
    assert imported.courses["course_id"].is_unique
    assert imported.files[0].repaired["id from title"].rows == 8


@pytest.mark.parametrize(
    "url",
    ["http://[site/learn/x", "https://site.example/", "https://site.example", "nan", "N/A", "-", "//[", "http://[::1"],
)
def test_an_address_that_names_no_page_gives_an_id_from_the_title(tmp_path: Path, url: str) -> None:
    imported = catalogue(
        tmp_path, f"Knots,{url},i,Crafts,Ropes,English,a,Siteone\n", f"Sails,{url},i,Crafts,Ropes,English,a,Siteone\n"
    )

    ids = list(imported.courses["course_id"])
    assert [course_id[: len("siteone/knots-")] for course_id in ids] == ["siteone/knots-", "siteone/sails-"]


def test_a_query_that_names_a_course_is_part_of_its_id(tmp_path: Path) -> None:
    rows = [f"Part {n},https://s.example/view?id={n}&utm_source=a,i,C,R,English,a,S\n" for n in (1, 2)]

    assert list(catalogue(tmp_path, *rows).courses["course_id"]) == ["s/view?id=1", "s/view?id=2"]


STRUCTURAL: list[tuple[str, Callable[[Path], Imported], str]] = [
    ("a row too long", lambda path: sales(path, sale(), sale()[:-1] + ",x\n"), "row 2: expected 8 fields, received 9"),
    ("a row too short", lambda path: films(path, "1,5,4\n"), "row 1: expected 4 fields, received 3"),
    (
        "some rows with a delimiter at the end",
        lambda path: films(path, "1,5,4,1,\n1,5,4,1\n"),
        "row 2: expected 4 fields",
    ),
    ("dates in two orders", lambda path: sales(path, sale(date="13/01/2011"), sale(date="01/13/2011")), "in two forms"),
    ("dates of no order", lambda path: sales(path, sale(date="01/02/2011")), "can be read in two ways"),
]


@pytest.mark.parametrize(
    ("import_set", "said"), [case[1:] for case in STRUCTURAL], ids=[case[0] for case in STRUCTURAL]
)
def test_a_structural_fault_refuses_the_file(tmp_path: Path, import_set: Callable[[Path], Imported], said: str) -> None:
    with pytest.raises(InputError) as raised:
        import_set(tmp_path)

    assert said in str(raised.value)


def test_the_command_takes_a_date_format_shows_what_was_refused_and_warns(tmp_path: Path) -> None:
    lines = sale(date="01/02/2011 10:00") + sale(date="never")
    put(tmp_path, OnlineRetail_dot_csv=SALES + lines)
    arguments = ["online-retail", "--source", str(tmp_path), "--out", str(tmp_path / "out"), "--date-format"]

    result = CliRunner().invoke(import_, [*arguments, "%d/%m/%Y %H:%M"], catch_exceptions=False)
    wrong = CliRunner().invoke(import_, [*arguments, "%H:%M"])

    assert result.exit_code == 0
    assert (
        "2 rows read, 1 used; refused: 1 bad_timestamp (row 2: expected %d/%m/%Y %H:%M as InvoiceDate" in result.stdout
    )
    assert "warning: 1 of 2 rows of OnlineRetail.csv refused (50%)" in result.stderr
    assert "--date-format" in str(wrong.exception)


@pytest.mark.parametrize("name", ["mars", "online-retail", "movielens", "online-courses"])
def test_the_help_says_the_formats(name: str) -> None:
    text = CliRunner().invoke(import_, [name, "--help"]).stdout

    assert "Reads" in text or "UTF-8" in text
    assert ("--date-format" in text) == (name in {"mars", "online-retail"})


def test_texts_without_a_comma_between_them_are_not_joined(tmp_path: Path) -> None:
    items = "8,en,Tables,Learn,Beginner,['Clerk' 'Cook'],['Calc'],['Sums']\n9,en,Tables,Learn,Beginner,['a'],['b'],[]\n"

    imported = mars(tmp_path, items=items, views="9,40,2020-05-01 10:00:00\n")

    assert refused(imported.files[2]) == {"bad_value": 1}


def test_fractions_are_not_taken_for_percentages(tmp_path: Path) -> None:
    watched = "40,8,0.8,2020-05-01 10:00:00\n41,8,0.25,2020-05-01 10:00:00\n42,8,1,2020-05-01 10:00:00\n"

    with pytest.raises(InputError, match=r"3 refused, row 1: .*\(these look like fractions of 1\)"):
        mars(tmp_path, watched=watched)


def test_of_a_course_given_twice_the_last_one_stays_and_is_counted(tmp_path: Path) -> None:
    items = "8,en,Old,L,Beginner,[],[],[]\n8,en,New,L,Beginner,[],[],[]\n"

    both = (films(tmp_path, "1,5,4,1112223334\n", "5,Old,Drama\n5,New,Drama\n"), mars(tmp_path, items=items))

    assert [list(imported.courses["title"]) for imported in both] == [["New"], ["New"]]
    assert [imported.files[-1].left_out for imported in both] == [{"repeats of a course": 1}] * 2


@pytest.mark.parametrize("word", ["#REF!", "#VALUE!", "#DIV/0!", "#NAME?"])
def test_an_error_of_a_spreadsheet_is_no_id(tmp_path: Path, word: str) -> None:
    imported = sales(tmp_path, sale(), sale(customer=word))

    assert refused(imported.files[0]) == {"bad_id": 1}


def test_bytes_that_are_no_text_are_no_id(tmp_path: Path) -> None:
    columns = {"Description": [b"\xff", b"\xfe", b"Box"], "Quantity": 1, "UnitPrice": 1.0, "CustomerID": "7"}
    path = tmp_path / "online_retail.parquet"
    pd.DataFrame({**columns, "InvoiceDate": "2011-03-14"}).to_parquet(path)

    imported = import_online_retail(path, OPTIONS)

    assert (list(imported.courses["course_id"]), refused(imported.files[0])) == (["Box"], {"bad_id": 2})


def test_addresses_that_differ_stay_different_courses(tmp_path: Path) -> None:
    rows = [
        f"Title {place},{url},intro,c,s,English,a,{site}\n"
        for place, (url, site) in enumerate(
            [
                ("https://s.example/app#/course/1", "S"),
                ("https://s.example/app#/course/2", "S"),
                ("https://s.example/%ff", "S"),
                ("https://s.example/%fe", "S"),
                ("https://one.example/knots", ""),
                ("https://two.example/knots", ""),
            ]
        )
    ]

    assert len(set(catalogue(tmp_path, *rows).courses["course_id"])) == len(rows)


def test_a_part_of_a_page_is_no_other_course(tmp_path: Path) -> None:
    rows = ["T,https://s.example/a#reviews,i,c,s,English,a,S\n", "T,https://s.example/a,i,c,s,English,a,S\n"]

    assert list(catalogue(tmp_path, *rows).courses["course_id"]) == ["s/a"]


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    put(tmp_path, OnlineRetail_dot_csv=SALES)

    result = CliRunner().invoke(import_, ["online-retail", "--source", str(tmp_path), "--out", str(tmp_path / "o")])

    assert "OnlineRetail.csv: 0 rows read" in str(result.exception)
