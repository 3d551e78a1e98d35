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
from typing import Any

import pandas as pd

from batch.datasets.importers.results import Imported, ImportOptions
from batch.datasets.importers.rows import Rows, find
from batch.text_repair import readable
from recsys.catalog import Course
from recsys.delimited import Layout
from recsys.errors import InputError
from recsys.files import course_frame

FILE_NAMES = ("online_retail.parquet", "online_retail.csv", "OnlineRetail.csv", "Online Retail.csv")
COLUMNS = ("Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
NO_PRODUCTS = frozenset(
    {"POSTAGE", "Manual", "CARRIAGE", "DOTCOM POSTAGE", "Bank Charges", "Discount", "Next Day Carriage", "AMAZON FEE"}
)
"""Booked as items, but nothing to recommend: they stay in the history and are retired in the catalogue."""
_LAYOUT = Layout(encodings=("utf-8", "cp1252"))  # saved from a spreadsheet, £ and é are one byte


def import_online_retail(source: Path, options: ImportOptions) -> Imported:
    """Reads the Parquet file (or the sheet saved as CSV), or the folder that holds it.

    Returns:
        Interactions in order of time, and one course per description.

    Raises:
        InputError: The file is missing, has a structural fault (dates that can be read in two ways are one), or has no
            usable row.
    """
    path = source if source.is_file() else find(source, FILE_NAMES)
    if path is None:
        raise InputError(f"{source} holds no {' and no '.join(FILE_NAMES)}")
    rows = Rows(path, COLUMNS, options, _LAYOUT)
    events = _events(rows)
    names = sorted(set(events["course_id"]))
    courses = course_frame(Course(course_id=name, title=readable(name), retired=name in NO_PRODUCTS) for name in names)
    return Imported(events, courses, (rows.report(),))


def _events(rows: Rows) -> pd.DataFrame:
    rows.leave_out(rows.is_absent("CustomerID"), "without a customer")
    quantity, price = rows.numbers("Quantity"), rows.numbers("UnitPrice")
    rows.leave_out(quantity <= 0, "taken back")
    rows.leave_out(price <= 0, "without a price")
    customer, description = rows.identifiers("CustomerID"), rows.identifiers("Description")
    time = rows.dates("InvoiceDate")
    invoice = rows.identifiers("InvoiceNo", limit=48) if "InvoiceNo" in rows else _minutes(time)
    lines = pd.DataFrame({"customer": customer, "invoice": invoice}, index=rows.index)
    number = lines.groupby(["customer", "invoice"], sort=False).cumcount() + 1
    return rows.events(
        {"user_id": "CustomerID", "course_id": "Description", "timestamp": "InvoiceDate"},
        event_id=invoice + "-" + number.reindex(invoice.index, fill_value=0).astype(str),
        user_id=customer,
        course_id=description,
        type="click",
        timestamp=time,
    )


def _minutes(times: pd.Series[Any]) -> pd.Series[Any]:
    return times.astype("datetime64[ms]").dt.strftime("%Y%m%dT%H%M%S").astype(object)
