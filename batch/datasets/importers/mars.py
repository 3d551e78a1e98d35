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
from pathlib import Path

import pandas as pd

from batch.datasets.importers.tables import digests, interactions, numbers, read_csv, require, utc_milliseconds
from batch.datasets.text import plain, unique
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame

NOT_STATED = "N/A"
LANGUAGES = {"en": "English", "fr": "French"}


def import_mars(source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads the folder that holds the three files.

    Returns:
        Interactions in order of time, and courses: software, theme and job as skills, the first software as category.

    Raises:
        InputError: A file, column or row is not as published.
    """
    views_path = require(source, "implicit_ratings_en.csv")
    watched_path = require(source, "explicit_ratings_en.csv")
    items_path = require(source, "items_en.csv")
    events = pd.concat([_views(views_path), _watch_events(watched_path)])
    return events.sort_values("timestamp", kind="stable", ignore_index=True), _courses(items_path)


def _views(path: Path) -> pd.DataFrame:
    rows = read_csv(path, ("item_id", "user_id", "created_at"))
    return interactions(
        event_id=digests([rows["user_id"], rows["item_id"], rows["created_at"]], "view"),
        user_id=rows["user_id"],
        course_id=rows["item_id"],
        type="view",
        timestamp=utc_milliseconds(rows, "created_at", path),
    )


def _watch_events(path: Path) -> pd.DataFrame:
    rows = read_csv(path, ("user_id", "item_id", "watch_percentage", "created_at"))
    content = [rows["user_id"], rows["item_id"], rows["created_at"], rows["watch_percentage"]]
    return interactions(
        event_id=digests(content, "progress"),
        user_id=rows["user_id"],
        course_id=rows["item_id"],
        type="progress",
        timestamp=utc_milliseconds(rows, "created_at", path),
        value=numbers(rows, "watch_percentage", path) / 100.0,
    )


def _courses(path: Path) -> pd.DataFrame:
    lists = ("Software", "Theme", "Job")
    rows = read_csv(path, ("item_id", "name", "language", "description", "Difficulty", *lists))
    courses = []
    for number, row in enumerate(rows.to_dict("records"), start=1):
        software, *others = (_names(row[name], path, number) for name in lists)
        courses.append(
            Course(
                course_id=row["item_id"],
                title=plain(row["name"]),
                intro=plain(row["description"]),
                skills=unique([*software, *others[0], *others[1]]),
                category=plain(software[0]) if software else "",
                level=plain(row["Difficulty"]).replace(NOT_STATED, ""),
                language=LANGUAGES.get(row["language"], row["language"]),
            )
        )
    return course_frame(courses)


def _names(field: str, path: Path, row: int) -> list[str]:
    """The names in a field such as `['Share', 'Produce']`."""
    try:
        names = ast.literal_eval(field or "[]")
    except (ValueError, SyntaxError):
        names = None
    if not isinstance(names, list):
        raise InputError(f"{path}, row {row}: expected a list of names such as ['Word'], received {field[:60]!r}")
    return [str(name) for name in names]
