"""MARS, English part: page views and watch events of an e-learning site with its catalogue.

Hafsa et al., "MARS: a data set for e-learning recommendation", Harvard Dataverse doi:10.7910/DVN/BMY3UD (2023).

`implicit_ratings_en.csv` becomes `view` events; `explicit_ratings_en.csv` becomes `progress` events with the watched
fraction as value (its rating is derived from that fraction and carries nothing more). Times have no zone in the files
and are taken as UTC. The ids are digests of the rows, so the exact repeats among the view rows stay in the file and are
recognised downstream as what they are: the same event again.
Left behind: `nb_views` (a total over the whole period, a leak as a feature) and the items' `created_at` (only a year).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pandas as pd

from batch.datasets.importers.digests import digests
from batch.datasets.importers.results import Imported, ImportOptions
from batch.datasets.importers.rows import Rows, require
from batch.text_repair import readable, unique
from recsys.catalog import Course
from recsys.errors import RefusalReason
from recsys.files import course_frame

NOT_STATED = "N/A"
LANGUAGES = {"en": "English", "fr": "French"}
LISTS = ("Software", "Theme", "Job")
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_LIST = re.compile(rf"\[\s*(?:{_TEXT}\s*(?:,\s*{_TEXT}\s*)*,?\s*)?\]", re.DOTALL)
"""Texts parted by commas. Python joins texts without a comma between them, and that is how NumPy writes two texts."""
_NO_FRACTION = "a percentage from 0 to 100 as {} (these look like fractions of 1)"
_EVENT_COLUMNS = {"user_id": "user_id", "course_id": "item_id", "timestamp": "created_at", "value": "watch_percentage"}


def import_mars(source: Path, options: ImportOptions) -> Imported:
    """Reads the folder that holds the three files.

    Returns:
        Interactions in order of time, and courses: software, theme and job as skills, the first software as category.

    Raises:
        InputError: A file is missing, has a structural fault, or has no usable row.
    """
    paths = [require(source, f"{name}_en.csv") for name in ("implicit_ratings", "explicit_ratings", "items")]
    views = Rows(paths[0], ("item_id", "user_id", "created_at"), options)
    watched = Rows(paths[1], ("user_id", "item_id", "watch_percentage", "created_at"), options)
    items = Rows(paths[2], ("item_id", "name", "language", "description", "Difficulty", *LISTS), options)
    events = pd.concat([_views(views), _watch_events(watched)])
    courses = _courses(items)
    ordered = events.sort_values("timestamp", kind="stable", ignore_index=True)
    return Imported(ordered, courses, (views.report(), watched.report(), items.report()))


def _views(rows: Rows) -> pd.DataFrame:
    user, item, time = rows.identifiers("user_id"), rows.identifiers("item_id"), rows.dates("created_at")
    columns = {"user_id": user, "course_id": item, "timestamp": time}
    content = [column[rows.index] for column in (user, item, rows.texts("created_at"))]
    return rows.events(_EVENT_COLUMNS, event_id=digests(content, "view"), type="view", **columns)


def _watch_events(rows: Rows) -> pd.DataFrame:
    user, item, time = rows.identifiers("user_id"), rows.identifiers("item_id"), rows.dates("created_at")
    percent = rows.numbers("watch_percentage", 0.0, 100.0, "a percentage from 0 to 100 as {}")
    rows.refuse(_are_fractions(percent), RefusalReason.BAD_VALUE, _NO_FRACTION, "watch_percentage")
    columns = {"user_id": user, "course_id": item, "timestamp": time, "value": percent / 100.0}
    written = [user, item, rows.texts("created_at"), rows.texts("watch_percentage")]
    content = [column[rows.index] for column in written]
    return rows.events(_EVENT_COLUMNS, event_id=digests(content, "progress"), type="progress", **columns)


def _are_fractions(percent: pd.Series[Any]) -> pd.Series[bool]:
    """All rows, where no value is above 1 and two or more differ within (0, 1): fractions under a percentage's name."""
    within = percent[percent.between(0, 1, inclusive="neither")]
    return pd.Series(data=bool(len(set(within)) > 1 and percent.max() <= 1), index=percent.index)


def _courses(rows: Rows) -> pd.DataFrame:
    ids, titles, intros = rows.identifiers("item_id"), rows.titles("name"), rows.texts("description")
    levels, languages = rows.texts("Difficulty"), rows.texts("language")
    lists = {name: rows.texts(name).map(_names) for name in LISTS}
    for name, read in lists.items():
        rows.refuse(read.isna(), RefusalReason.BAD_VALUE, "a list of names such as ['Word'] as {}", name)
    rows.leave_out_repeats(ids)
    return course_frame(
        Course(
            course_id=ids[row],
            title=titles[row],
            intro=intros[row],
            skills=unique(name for read in lists.values() for name in read[row]),
            category=readable(lists["Software"][row][0]) if lists["Software"][row] else "",
            level=levels[row].replace(NOT_STATED, ""),
            language=LANGUAGES.get(languages[row], languages[row]),
        )
        for row in rows.index
    )


def _names(field: str) -> list[str] | None:
    """The names in a field such as `['Share', 'Produce']`; None where it is no list of texts."""
    if not field:
        return []
    if _LIST.fullmatch(field) is None:
        return None
    try:
        names: list[str] = ast.literal_eval(field)
    except (ValueError, SyntaxError):  # an unfinished escape
        return None
    return names
