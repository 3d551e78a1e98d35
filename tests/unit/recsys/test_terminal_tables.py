"""Tables on standard output: whole in a pipe, as wide as a terminal."""

from __future__ import annotations

import io

from rich.table import Table

from recsys.terminal_tables import print_table

CELLS = [f"20261126T18390{digit}-67207733" for digit in range(6)]


def printed(stream: io.StringIO, environment: dict[str, str]) -> str:
    table = Table(*(f"version of column {number}" for number in range(len(CELLS))))
    table.add_row(*CELLS)
    print_table(table, stream, environment)
    return stream.getvalue()


def test_into_a_pipe_every_cell_is_printed_whole_in_one_line() -> None:
    (line,) = [line for line in printed(io.StringIO(), {}).splitlines() if CELLS[0] in line]
    assert [cell for cell in CELLS if cell not in line] == []


def test_a_width_that_is_given_is_kept_to() -> None:
    assert max(map(len, printed(io.StringIO(), {"COLUMNS": "60"}).splitlines())) == 60
