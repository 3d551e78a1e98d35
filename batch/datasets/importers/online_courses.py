"""`Online_Courses.csv`: a scraped catalogue of online courses; no learners.

The course id is the site with the path of its address, so the same course reached from two programmes
(`?specialization=…`) or scraped twice is one course. The level is taken from the title where the title says it; the
language where the file has it; nothing is guessed. Ratings and viewer counts are left behind: totals without a date.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

from batch.datasets.importers.tables import digests, find, read_csv
from batch.datasets.text import plain, unique
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame

FILE_NAME = "Online_Courses.csv"
COLUMNS = ("Title", "URL", "Short Intro", "Category", "Sub-Category", "Language", "Skills", "Site")
CATEGORY_NAMES = {"计算机科学": "Computer Science"}
MAX_ID_LENGTH = 128
_LEVELS = (
    ("Advanced", re.compile(r"\badvanced\b", re.IGNORECASE)),
    ("Intermediate", re.compile(r"\bintermediate\b", re.IGNORECASE)),
    (
        "Beginner",
        re.compile(r"\b(beginners?|introduct(ion|ory)|intro to|basics|fundamentals|getting started)\b", re.IGNORECASE),
    ),
)


def import_online_courses(source: Path) -> tuple[None, pd.DataFrame]:
    """Reads the file, or the folder that holds it.

    Returns:
        None, and the courses in file order without repeats; sub-category and skills are the skills.

    Raises:
        InputError: The file is missing, unreadable or lacks a column.
    """
    path = source if source.is_file() else find(source, (FILE_NAME,))
    if path is None:
        raise InputError(f"{source}: expected {FILE_NAME}, received a folder without it")
    rows = read_csv(path, COLUMNS)
    rows = rows.assign(course_id=_ids(rows), length=rows.drop(columns="URL").map(len).sum(axis=1))
    # Of repeated rows the fullest one is kept: a course scraped twice is often empty once.
    fullest = rows.sort_values("length", ascending=False, kind="stable").drop_duplicates("course_id").sort_index()
    return None, course_frame(_course(row) for _, row in fullest.iterrows() if plain(row["Title"]))


def _ids(rows: pd.DataFrame) -> list[str]:
    paths = [
        f"{plain(site).casefold().replace(' ', '')}{_path(url)}"
        for site, url in zip(rows["Site"], rows["URL"], strict=True)
    ]
    short = digests([rows["URL"]], "course")
    return [
        path if path.isprintable() and len(path) <= MAX_ID_LENGTH else digest
        for path, digest in zip(paths, short, strict=True)
    ]


def _path(url: str) -> str:
    return unquote(urlsplit(url.strip()).path).rstrip("/").replace("/courses/", "/").replace("/learn/", "/")


def _course(row: pd.Series[str]) -> Course:
    title = plain(row["Title"])
    category = plain(row["Category"])
    return Course(
        course_id=row["course_id"],
        title=title,
        intro=plain(row["Short Intro"]),
        skills=unique([row["Sub-Category"], *row["Skills"].split(",")]),
        category=CATEGORY_NAMES.get(category, category),
        level=next((level for level, says_so in _LEVELS if says_so.search(title)), ""),
        language=plain(row["Language"]),
    )
