"""Tables on standard output: as wide as the terminal, or as they need to be where there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table

WIDEST: Final = 250
"""The bound on a table, in characters, where no terminal sets one."""


def print_table(table: Table, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Prints a table whole into a file or pipe, where a version cut to 80 columns would be of no use.

    Args:
        table: What to print.
        stream: Where to; None is standard output.
        environment: `COLUMNS` sets the width, as for a terminal.
    """
    out = stream or sys.stdout
    bounded = out.isatty() or "COLUMNS" in environment
    Console(file=out, width=None if bounded else WIDEST, _environ=environment).print(table)
