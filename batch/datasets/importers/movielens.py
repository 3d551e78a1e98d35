"""MovieLens files (GroupLens): `ratings.csv`/`movies.csv`, the older `ratings.dat`/`movies.dat`, and `u.data`/`u.item`.

Each rating is a `rate` event; genres are the skills. Half a star is the lowest mark of the newer sets and 1 the lowest
of the event schema, so 0.5 is raised to 1.0. The times are seconds since 1970 UTC. `u.data` lies wholly in 1997–1998,
before the events' first year 2000: its times are moved by ten years (3,652 days), which keeps order and distances.

The 10M set is UTF-8, the 1M and 100K sets are Latin-1: which one a file is, is decided by decoding it. A file with
bytes that Latin-1 has for control characters is Windows-1252, where they are dashes and quotation marks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from batch.datasets.importers.results import Imported, ImportOptions
from batch.datasets.importers.rows import Rows, find, require
from batch.text_repair import unique
from recsys.catalog import Course
from recsys.delimited import Layout
from recsys.errors import InputError
from recsys.files import course_frame

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
MOVIE_COLUMNS = ("movieId", "title", "genres")
TEN_YEARS_MS = 3652 * 86_400_000
NO_GENRES = "(no genres listed)"
U_ITEM_GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
LOWEST_MARK, LOWEST_RATE, HIGHEST_RATE = 0.5, 1.0, 5.0
_ENCODINGS = ("utf-8", "latin-1")
_HEADED = Layout(encodings=_ENCODINGS)


def import_movielens(source: Path, options: ImportOptions) -> Imported:
    """Reads the folder of one MovieLens set, in any of its three forms.

    Returns:
        Interactions in order of time, and the films as courses.

    Raises:
        InputError: The folder holds none of the forms, or a file has a structural fault or no usable row.
    """
    path = find(source, ("ratings.csv", "ratings.dat", "u.data"))
    if path is None:
        raise InputError(f"{source} holds none of ratings.csv, ratings.dat and u.data")
    films_name, separator = {"ratings.csv": ("movies.csv", ","), "ratings.dat": ("movies.dat", "::")}.get(
        path.name, ("u.item", "\t")
    )
    films_path = require(source, films_name)
    is_old = films_name == "u.item"
    if separator == ",":
        ratings = Rows(path, RATING_COLUMNS, options, _HEADED)
        films = Rows(films_path, MOVIE_COLUMNS, options, _HEADED)
    else:
        film_columns = ("movieId", "title", "released", "video", "url", *U_ITEM_GENRES) if is_old else MOVIE_COLUMNS
        ratings = Rows(path, RATING_COLUMNS, options, _headless(RATING_COLUMNS, separator))
        films = Rows(films_path, film_columns, options, _headless(film_columns, "|" if is_old else separator))
    events = _events(ratings, shift_ms=TEN_YEARS_MS if is_old else 0)
    courses = _courses(films, _flagged_genres(films) if is_old else films.texts("genres"))
    return Imported(events, courses, (ratings.report(), films.report()))


def _headless(names: tuple[str, ...], separator: str) -> Layout:
    return Layout(names=names, separators=(separator,), quoted=False, encodings=_ENCODINGS)


def _events(rows: Rows, *, shift_ms: int) -> pd.DataFrame:
    user, film, time = (
        rows.identifiers("userId"),
        rows.identifiers("movieId"),
        rows.seconds("timestamp", shift_ms=shift_ms),
    )
    marks = rows.numbers("rating", LOWEST_MARK, HIGHEST_RATE, "a mark from 0.5 to 5 as {}")
    return rows.events(
        {"user_id": "userId", "course_id": "movieId", "timestamp": "timestamp", "value": "rating"},
        event_id=film + "-" + ((time - shift_ms) // 1000).astype(str),
        user_id=user,
        course_id=film,
        type="rate",
        timestamp=time,
        value=marks.clip(lower=LOWEST_RATE),
    )


def _courses(rows: Rows, genres: pd.Series[Any]) -> pd.DataFrame:
    ids, titles = rows.identifiers("movieId"), rows.titles("title")
    rows.leave_out_repeats(ids)
    courses = []
    for row in rows.index:
        names = unique(name for name in genres[row].split("|") if name != NO_GENRES)
        courses.append(Course(course_id=ids[row], title=titles[row], skills=names, category=names[0] if names else ""))
    return course_frame(courses)


def _flagged_genres(rows: Rows) -> pd.Series[Any]:
    """The genres of `u.item`, which has a column of 0 and 1 for each, in the form of the newer sets."""
    flags = pd.DataFrame({name: rows.texts(name) == "1" for name in U_ITEM_GENRES})
    joined = ["|".join(flags.columns[row]) for row in flags.to_numpy()]
    return pd.Series(joined, index=flags.index, dtype=object)
