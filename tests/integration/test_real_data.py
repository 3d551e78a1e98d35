"""The importers on the real files, where they are at hand: the published counts, and one clean row an event."""

import os
from pathlib import Path

import pytest

from batch.clean import clean_interactions
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.importers.results import ImportOptions

DATA = Path(os.environ.get("RECSYS_DATA_DIR", Path(__file__).parents[2].parent / "shared" / "data"))
ARRIVAL_MS = 1_700_000_000_000
OPTIONS = ImportOptions(ARRIVAL_MS)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not at hand ({DATA}); set RECSYS_DATA_DIR")


def test_mars_has_its_views_and_watch_events_and_355_repeats() -> None:
    imported = import_mars(DATA / "mars", OPTIONS)
    events, courses = imported.interactions, imported.courses
    assert events is not None
    kept, report = clean_interactions(events, arrival_ms=ARRIVAL_MS)

    assert [(file.read, file.used, file.refused_rows) for file in imported.files] == [
        (21_908, 21_908, 0),
        (3_659, 3_659, 0),
        (1_167, 1_167, 0),
    ]
    assert events["type"].value_counts().to_dict() == {"view": 21_908, "progress": 3_659}
    assert report.dropped == {"repeated": 355}
    assert kept["user_id"].nunique() == 3_007
    assert set(events["course_id"]) <= set(courses["course_id"])


def test_online_retail_has_397884_purchases_of_which_10301_are_repeats() -> None:
    imported = import_online_retail(DATA / "online_retail", OPTIONS)
    events, courses = imported.interactions, imported.courses
    assert events is not None
    kept, report = clean_interactions(events, arrival_ms=ARRIVAL_MS)

    assert imported.files[0].left_out == {"without a customer": 135_080, "taken back": 8_905, "without a price": 40}
    assert imported.files[0].refused_rows == 0
    assert (len(kept), dict(report.dropped)) == (387_583, {"repeated": 10_301})
    assert kept["user_id"].nunique() == 4_338
    assert len(courses) == kept["course_id"].nunique() == 3_866


def test_the_course_catalogue_has_one_row_a_course() -> None:
    imported = import_online_courses(DATA / "online_courses", OPTIONS)
    courses = imported.courses

    # 5,012 pages, 18 searches and 3 rows whose address is the site alone; 5,014 while those 21 were two courses.
    assert len(courses) == 5_033
    assert courses["course_id"].is_unique
    assert (courses["title"] != "").all()
