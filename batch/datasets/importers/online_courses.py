"""`Online_Courses.csv`: a scraped catalogue of online courses; no learners.

The course id is the site with the path of its address (and its query, where it names more than the programme a learner
came from), so the same course reached from two programmes (`?specialization=…`) or scraped twice is one course. Where
the file has no address, or one that names no page, the id is made from site, title and intro: courses without an
address stay apart. The level is taken from the title where the title says it; the language where the file has it;
nothing is guessed. Ratings and viewer counts are left behind: totals without a date.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pandas as pd
import regex

from batch.datasets.importers.digests import digest
from batch.datasets.importers.results import Imported, ImportOptions
from batch.datasets.importers.rows import Rows, find
from batch.text_repair import unique
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame

FILE_NAME = "Online_Courses.csv"
COLUMNS = ("Title", "URL", "Short Intro", "Category", "Sub-Category", "Language", "Skills", "Site")
CATEGORY_NAMES = {"计算机科学": "Computer Science"}
MAX_ID_LENGTH = 128
_MAX_SLUG_LENGTH = 60
_VISITS = regex.compile(r"specialization|utm_\w+|gclid|fbclid|ref(errer)?|source|trk|locale", regex.IGNORECASE)
"""Query parameters that say how somebody came to a page, not which page it is."""
_ROUTE = ("/", "!")
"""How the part after # begins where an application in the browser finds the page by it."""
_NO_SLUG = regex.compile(r"[^\p{L}\p{M}\p{N}+#]+")
_LEVELS = (
    ("Advanced", regex.compile(r"\badvanced\b", regex.IGNORECASE)),
    ("Intermediate", regex.compile(r"\bintermediate\b", regex.IGNORECASE)),
    (
        "Beginner",
        regex.compile(
            r"\b(beginners?|introduct(ion|ory)|intro to|basics|fundamentals|getting started)\b", regex.IGNORECASE
        ),
    ),
)


def import_online_courses(source: Path, options: ImportOptions) -> Imported:
    """Reads the file, or the folder that holds it.

    Returns:
        No interactions, and the courses in file order without repeats; sub-category and skills are the skills.

    Raises:
        InputError: The file is missing, has a structural fault, or has no usable row.
    """
    path = source if source.is_file() else find(source, (FILE_NAME,))
    if path is None:
        raise InputError(f"{source} holds no {FILE_NAME}")
    rows = Rows(path, COLUMNS, options)
    table = pd.DataFrame({name: rows.titles(name) if name == "Title" else rows.texts(name) for name in COLUMNS})
    pages = pd.Series([_page(url) for url in table["URL"]], index=table.index, dtype=object)
    rows.note(pages == "", "id from title", "the address of a page as {}", "URL")
    table["course_id"] = [_id(row, page) for row, page in zip(table.to_dict("records"), pages, strict=True)]
    # Of repeated rows the fullest one is kept: a course scraped twice is often empty once.
    table["length"] = rows.fullness(without="URL")
    fullest = table.loc[rows.index].sort_values("length", ascending=False, kind="stable").drop_duplicates("course_id")
    rows.leave_out(pd.Series(~table.index.isin(fullest.index), index=table.index), "repeats of a course")
    courses = course_frame(_course(row) for row in fullest.sort_index().to_dict("records"))
    return Imported(None, courses, (rows.report(),))


def _id(row: dict[Any, str], page: str) -> str:
    site = "".join(row["Site"].casefold().split()) or (_host(row["URL"]) if page else "")
    if not page:
        slug = _NO_SLUG.sub("-", row["Title"].casefold()).strip("-")[:_MAX_SLUG_LENGTH]
        apart = digest("course", row["Site"], row["Title"], row["Short Intro"])[:8]
        page = f"/{slug}-{apart}"
    whole = f"{site}{page}".removeprefix("/")
    return whole if whole.isprintable() and len(whole) <= MAX_ID_LENGTH else digest("course", row["URL"] or whole)


def _page(url: str) -> str:
    """What an address says about which page it is; "" where it is none, is malformed, or names a whole site."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # an unclosed [ in the host
        return ""
    host, _, rest = parts.path.partition("/")
    if not parts.netloc and "." not in host:
        return ""
    written = parts.path if parts.netloc else f"/{rest}"
    if parts.fragment.startswith(_ROUTE):
        written += f"#{parts.fragment}"
    try:
        path = unquote(written, errors="strict").rstrip("/")
    except UnicodeDecodeError:  # escapes that are no text: two such addresses must not become one
        path = written.rstrip("/")
    path = path.replace("/courses/", "/").replace("/learn/", "/")
    named = sorted((name, value) for name, value in parse_qsl(parts.query) if not _VISITS.fullmatch(name))
    query = "&".join(f"{name}={quote(value, safe=' ')}" for name, value in named)
    return f"{path}?{query}" if query else path


def _host(url: str) -> str:
    """The site of an address, where the file names none."""
    parts = urlsplit(url.strip())
    return (parts.netloc or parts.path.partition("/")[0]).casefold().removeprefix("www.")


def _course(row: dict[Any, Any]) -> Course:
    return Course(
        course_id=row["course_id"],
        title=row["Title"],
        intro=row["Short Intro"],
        skills=unique([row["Sub-Category"], *row["Skills"].split(",")]),
        category=CATEGORY_NAMES.get(row["Category"], row["Category"]),
        level=next((level for level, says_so in _LEVELS if says_so.search(row["Title"])), ""),
        language=row["Language"],
    )
