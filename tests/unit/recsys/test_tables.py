"""The one table reader: a field is read where it stands, or its file is refused."""

import bz2
import gzip
from pathlib import Path

import pandas as pd
import pytest

from recsys.delimited import Layout
from recsys.errors import InputError
from recsys.tables import read_table

REQUIRED = ("id", "title")
LATIN_1_ALLOWED = Layout(encodings=("utf-8", "latin-1"))


def written(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(tmp_path: Path, content: str | bytes, layout: Layout = LATIN_1_ALLOWED) -> str:
    with pytest.raises(InputError) as raised:
        read_table(written(tmp_path, content), REQUIRED, layout)
    return str(raised.value)


def test_a_delimiter_at_the_end_of_every_row_moves_nothing(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, "id,title,genres\n7,Knots,a,\n8,Sails,b,\n"), REQUIRED)

    assert read.to_dict("list") == {"id": ["7", "8"], "title": ["Knots", "Sails"], "genres": ["a", "b"]}


def test_a_delimiter_at_the_end_of_the_header_alone_moves_nothing(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, "id,title,\n7,Knots\n"), REQUIRED)

    assert read.to_dict("list") == {"id": ["7"], "title": ["Knots"]}


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("id,title,genres\n7,Knots,a\n8,Sails,b,\n", "row 2: expected 3 fields, received 4 (line 3"),
        (
            "id,title,genres\n7,Knots,a,\n8,Sails,b\n",
            "row 2: expected 3 fields and a delimiter at the end, as in row 1, received 3 without one (line 3",
        ),
        ("id,title,genres\n7,Knots,a,\n8,Sails, and ropes,b\n", "row 2: expected 3 fields, received 4 (line 3"),
        ("id,title,genres\n7,Knots, and ropes,a\n", "row 1: expected 3 fields, received 4 (line 2"),
        ("id,title,genres\n7,Knots\n", "row 1: expected 3 fields, received 2 (line 2"),
        ('id,title,genres\n7,"two\nlines",a\n\n8,Sails\n', "row 2: expected 3 fields, received 2 (line 5"),
    ],
)
def test_a_row_of_another_width_is_refused_with_its_line(tmp_path: Path, content: str, row: str) -> None:
    assert row in refusal(tmp_path, content)


@pytest.mark.parametrize("content", ["id,title,title\n7,a,b\n", "id, title,title \n7,a,b\n", "id,title,x,x\n7,a,b,c\n"])
def test_a_column_named_twice_is_refused(tmp_path: Path, content: str) -> None:
    assert "twice" in refusal(tmp_path, content)


def test_columns_without_a_name_are_left_alone(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, ",id,title,\n0,7,Knots,x\n"), REQUIRED)

    assert read[["id", "title"]].to_dict("list") == {"id": ["7"], "title": ["Knots"]}


def test_blanks_around_names_are_blanks_around_fields_too(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, 'id , title\n7 , "Knots, tied"\n'), REQUIRED)

    assert read.to_dict("list") == {"id": ["7"], "title": ["Knots, tied"]}


def test_fields_under_a_tight_header_keep_their_blanks(tmp_path: Path) -> None:
    assert list(read_table(written(tmp_path, "id,title\n7, Knots \n"), REQUIRED)["title"]) == [" Knots "]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_the_separator_is_the_one_that_gives_the_columns(tmp_path: Path, separator: str) -> None:
    content = f"id{separator}title\n7{separator}Knots, tied\n"

    assert read_table(written(tmp_path, content), REQUIRED).loc[0, "title"] == "Knots, tied"


@pytest.mark.parametrize("breaking", ["\u0085", "\u2028", "\u2029", "\u000b", "\u000c", "\u001c"])
@pytest.mark.parametrize("quoted", [True, False])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, breaking: str, quoted: bool) -> None:
    layout = Layout(quoted=quoted) if quoted else Layout(names=REQUIRED, separators=(",",), quoted=False)
    content = ("id,title\n" if quoted else "") + f"7,Kn{breaking}ots\r\n8,Sails\n"

    assert list(read_table(written(tmp_path, content), REQUIRED, layout)["title"]) == [f"Kn{breaking}ots", "Sails"]


def test_a_carriage_return_inside_a_line_ends_none(tmp_path: Path) -> None:
    plain = Layout(names=REQUIRED, separators=("::",), quoted=False)

    assert list(read_table(written(tmp_path, "7::Kn\rots\r\n8::Sails"), REQUIRED, plain)["title"]) == [
        "Kn\rots",
        "Sails",
    ]
    assert list(read_table(written(tmp_path, 'id,title\n7,"Kn\rots"\n'), REQUIRED)["title"]) == ["Kn\rots"]


@pytest.mark.parametrize(("encoding", "title"), [("utf-8", "Åse à Évora"), ("latin-1", "Åse à Évora")])
def test_the_encoding_is_the_one_that_decodes_the_whole_file(tmp_path: Path, encoding: str, title: str) -> None:
    content = "id,title\n" + "1,plain\n" * 200_000 + f"7,{title}\n"

    assert read_table(written(tmp_path, content.encode(encoding)), REQUIRED, LATIN_1_ALLOWED)["title"].iloc[-1] == title


def test_a_byte_order_mark_decides(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert read_table(written(tmp_path, "id,title\n7,Ålesund\n".encode(encoding)), REQUIRED).loc[0, "id"] == "7"


def test_utf_8_with_a_damaged_byte_is_not_taken_for_latin_1(tmp_path: Path) -> None:
    damaged = "id,title\n7,Évora\n8,Ålesund\n9,Århus\n".encode() + b"10,\xff\n"

    assert "'utf-8' cannot decode byte 0xff (line 5)" in refusal(tmp_path, damaged)


def test_bytes_of_no_allowed_encoding_are_refused_with_their_line(tmp_path: Path) -> None:
    assert "'utf-8' cannot decode byte 0xe9 (line 2)" in refusal(tmp_path, b"id,title\n7,\xe9t\xe9\n", Layout())


@pytest.mark.parametrize("content", ["id,title\r7,Knots\r", "id,title\n7,Kn\rots\n"])
def test_a_carriage_return_that_ends_a_line_alone_is_named(tmp_path: Path, content: str) -> None:
    assert "received a carriage return outside quotes (lines have to end in line feeds)" in refusal(tmp_path, content)


def test_quotes_that_do_not_match_are_refused(tmp_path: Path) -> None:
    assert "(line 3)" in refusal(tmp_path, 'id,title\n7,Knots\n8,"Sails\n9,Oars\n')


def test_a_field_of_a_megabyte_is_read(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, "id,title\n7," + "x" * 1_000_000 + "\n"), REQUIRED)
    assert read["title"].str.len().to_list() == [10**6]


def test_a_parquet_file_is_held_to_the_same_header(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({" id": [7], "title ": ["Knots"]}).to_parquet(path)

    assert list(read_table(path, REQUIRED).columns) == ["id", "title"]


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = written(tmp_path, "id,title\n7,Knots\n")

    read_table(path, REQUIRED, progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize("title", ["It\u2019s \u2013 a \u201cknot\u201d", "Knots\u2026 \u20ac5"])
def test_dashes_and_quotation_marks_of_windows_are_not_control_characters(tmp_path: Path, title: str) -> None:
    content = f"id,title\n7,{title}\n".encode("cp1252")

    assert list(read_table(written(tmp_path, content), REQUIRED, LATIN_1_ALLOWED)["title"]) == [title]


def test_bytes_that_neither_latin_1_nor_windows_has_are_refused(tmp_path: Path) -> None:
    assert "'utf-8' cannot decode byte 0x93 (line 2)" in refusal(
        tmp_path, "id,title\n7,電影\u3000\n".encode("shift_jis")
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04rest", "Excel workbook (.xlsx)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "old Excel workbook (.xls)"),
        (gzip.compress(b"id,title\n7,Knots\n", mtime=0), "a gzip file (unpack it first)"),
        (bz2.compress(b"id,title\n7,Knots\n"), "a bzip2 file"),
        (b"PAR1\x15\x04", "a Parquet file (name it .parquet)"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        ("id,title\n7,Knots\n".encode("utf-32"), "text in UTF-32"),
        ("id,title\n7,Knots\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"\0" * 200, "NUL"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    assert kind in refusal(tmp_path, content)


@pytest.mark.parametrize("header", ["\ufeff\ufeffid,title", "id\u200b,title", "\u2060id,title\ufeff"])
def test_invisible_characters_around_a_name_hide_no_column(tmp_path: Path, header: str) -> None:
    assert read_table(written(tmp_path, f"{header}\n7,Knots\n"), REQUIRED).to_dict("list") == {
        "id": ["7"],
        "title": ["Knots"],
    }


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_called_empty(tmp_path: Path, content: str) -> None:
    assert "expected the columns id, title, received an empty file" in refusal(tmp_path, content)


def test_lines_of_blanks_are_no_rows_and_the_lines_are_still_counted(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, "\n  \nid,title\n7,Knots\n   \n8,Sails\n\t\n"), REQUIRED)

    assert list(read["id"]) == ["7", "8"]
    assert "row 2: expected 2 fields, received 3 (line 5" in refusal(tmp_path, "\nid,title\n7,Knots\n  \n8,Sails,x\n")


@pytest.mark.parametrize("first", ["# exported today", "sep=,"])
def test_a_line_before_the_header_is_shown_as_what_was_received(tmp_path: Path, first: str) -> None:
    assert "missing id, title" in refusal(tmp_path, f"{first}\nid,title\n7,Knots\n")


def test_a_header_steers_no_terminal_and_fills_no_screen(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"\x1b[31m{'x' * 100_000}\n7\n")

    assert said.isprintable()
    assert len(said) < 600 + len(str(tmp_path))


def test_a_header_in_a_file_that_needs_none_is_no_row(tmp_path: Path) -> None:
    plain = Layout(names=REQUIRED, separators=("::",), quoted=False)

    assert list(read_table(written(tmp_path, "ID::Title\n7::Knots\n"), REQUIRED, plain)["id"]) == ["7"]


def test_quotes_are_advised_only_where_they_mean_something(tmp_path: Path) -> None:
    plain = Layout(names=REQUIRED, separators=("::",), quoted=False)

    assert "(line 1)" in refusal(tmp_path, "7::Knots:: tied\n", plain)


def test_the_index_of_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"id": ["7"], "title": ["Knots"], "note": ["a"]}).set_index("note").to_parquet(path)

    assert list(read_table(path, REQUIRED)["note"]) == ["a"]
