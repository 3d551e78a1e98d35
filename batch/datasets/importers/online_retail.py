"""UCI Online Retail (id 352, CC BY 4.0): purchases of a shop, the item's `Description` as id and as text.

Each invoice line with a customer, a positive quantity and a positive price is one event. Its type is `click`: strong,
explicit interest that may come again. `enroll` and `complete` are ruled out because they put the item on the
never-again list, and here people buy the same thing twice; quantity and price are not carried, because they measure
the trade (wholesalers), not the taste. Times have no zone in the file and are taken as UTC.

Equal lines of one invoice are separate purchases in the source, so the id is the invoice (its minute, where the file
has no `InvoiceNo`) with the running number of the line within the customer's invoice: every line counts.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from batch.datasets.importers.tables import find, interactions, require_columns
from batch.datasets.text import plain
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame

FILE_NAMES = ("online_retail.parquet", "online_retail.csv", "OnlineRetail.csv", "Online Retail.csv")
COLUMNS = ("Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
NO_PRODUCTS = frozenset(
    {"POSTAGE", "Manual", "CARRIAGE", "DOTCOM POSTAGE", "Bank Charges", "Discount", "Next Day Carriage", "AMAZON FEE"}
)
"""Booked as items, but nothing to recommend: they stay in the history and are retired in the catalogue."""


def import_online_retail(source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads the Parquet file (or the sheet saved as CSV), or the folder that holds it.

    Returns:
        Interactions in order of time, and one course per description.

    Raises:
        InputError: The file is missing, unreadable or lacks a column.
    """
    path = source if source.is_file() else find(source, FILE_NAMES)
    if path is None:
        raise InputError(f"{source}: expected {' or '.join(FILE_NAMES)}, received a folder without it")
    lines = _lines(path)
    return _events(lines), _courses(lines["Description"])


def _lines(path: Path) -> pd.DataFrame:
    try:
        lines = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, parse_dates=["InvoiceDate"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a readable table, received {error}") from None
    require_columns(lines, path, COLUMNS)
    bought = lines["CustomerID"].notna() & (lines["Quantity"] > 0) & (lines["UnitPrice"] > 0)
    lines = lines[bought & lines["Description"].notna()].reset_index(drop=True)
    return lines.assign(Description=lines["Description"].str.strip())


def _events(lines: pd.DataFrame) -> pd.DataFrame:
    customer = lines["CustomerID"].astype("int64").astype(str)
    if "InvoiceNo" in lines:
        invoice = lines["InvoiceNo"].astype(str)
    else:
        invoice = lines["InvoiceDate"].dt.strftime("%Y%m%dT%H%M%S")
    line = lines.groupby([customer, invoice], sort=False).cumcount() + 1
    return interactions(
        event_id=invoice + "-" + line.astype(str),
        user_id=customer,
        course_id=lines["Description"],
        type="click",
        timestamp=lines["InvoiceDate"].astype("datetime64[ms]").astype("int64"),
    )


def _courses(descriptions: pd.Series[str]) -> pd.DataFrame:
    return course_frame(
        Course(course_id=name, title=plain(name), retired=name in NO_PRODUCTS) for name in sorted(set(descriptions))
    )
