"""MovieLens files (GroupLens): `ratings.csv`/`movies.csv`, the older `ratings.dat`/`movies.dat`, and `u.data`/`u.item`.

Each rating is a `rate` event; genres are the skills. Half a star is the lowest mark of the newer sets and 1 the lowest
of the event schema, so 0.5 is raised to 1.0. The times are seconds since 1970 UTC. `u.data` lies wholly in 1997–1998,
before the events' first year 2000: its times are moved by ten years (3,652 days), which keeps order and distances.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from batch.datasets.importers.tables import find, interactions, numbers, read_csv, require
from batch.datasets.text import plain, unique
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.files import course_frame

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
TEN_YEARS_MS = 3652 * 86_400_000
NO_GENRES = "(no genres listed)"
U_ITEM_GENRES = [
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
]
LOWEST_RATE = 1.0


def import_movielens(source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads the folder of one MovieLens set, in any of its three forms.

    Returns:
        Interactions in order of time, and the films as courses.

    Raises:
        InputError: The folder holds none of the forms, or a file is not as published.
    """
    ratings = find(source, ("ratings.csv", "ratings.dat", "u.data"))
    if ratings is None:
        raise InputError(f"{source}: expected ratings.csv, ratings.dat or u.data, received a place without them")
    if ratings.name == "ratings.csv":
        movies = read_csv(require(source, "movies.csv"), ("movieId", "title", "genres"))
        return _events(read_csv(ratings, RATING_COLUMNS), ratings), _courses(movies)
    if ratings.name == "ratings.dat":
        rows = _parted(ratings, "::", RATING_COLUMNS)
        return _events(rows, ratings), _courses(
            _parted(require(source, "movies.dat"), "::", ("movieId", "title", "genres"))
        )
    events = _events(_parted(ratings, "\t", RATING_COLUMNS), ratings)
    events["timestamp"] += TEN_YEARS_MS
    return events, _courses(_u_items(require(source, "u.item")))


def _events(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    seconds = numbers(rows, "timestamp", path)
    return interactions(
        event_id=rows["movieId"] + "-" + seconds.astype("int64").astype(str),
        user_id=rows["userId"],
        course_id=rows["movieId"],
        type="rate",
        timestamp=(seconds * 1000).astype("int64"),
        value=numbers(rows, "rating", path).clip(lower=LOWEST_RATE),
    )


def _courses(movies: pd.DataFrame) -> pd.DataFrame:
    courses = []
    for movie, title, genres in zip(movies["movieId"], movies["title"], movies["genres"], strict=True):
        names = unique(name for name in genres.split("|") if name != NO_GENRES)
        courses.append(Course(course_id=movie, title=plain(title), skills=names, category=names[0] if names else ""))
    return course_frame(courses)


def _parted(path: Path, separator: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A file without header whose separator no CSV reader takes; Latin-1, as published."""
    rows = [line.split(separator) for line in path.read_text(encoding="latin-1").splitlines() if line]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise InputError(f"{path}, row {number}: expected {len(columns)} fields, received {len(row)}")
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def _u_items(path: Path) -> pd.DataFrame:
    columns = ("movieId", "title", "released", "video", "url", *U_ITEM_GENRES)
    rows = _parted(path, "|", columns)
    flags = rows[U_ITEM_GENRES].to_numpy() == "1"
    rows["genres"] = [
        "|".join(name for name, is_set in zip(U_ITEM_GENRES, row, strict=True) if is_set) for row in flags
    ]
    return rows[["movieId", "title", "genres"]]
