"""The importers on the real files, where they are at hand: the published counts, and one clean row an event."""

import os
from pathlib import Path

import pytest

from batch.clean import clean_interactions
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail

DATA = Path(os.environ.get("RECSYS_DATA_DIR", Path(__file__).parents[2].parent / "shared" / "data"))
ARRIVAL_MS = 1_700_000_000_000

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not at hand ({DATA}); set RECSYS_DATA_DIR")


def test_mars_has_its_views_and_watch_events_and_355_repeats() -> None:
    events, courses = import_mars(DATA / "mars")
    kept, report = clean_interactions(events, arrival_ms=ARRIVAL_MS)

    assert events["type"].value_counts().to_dict() == {"view": 21_908, "progress": 3_659}
    assert report.dropped == {"duplicate": 355}
    assert kept["user_id"].nunique() == 3_007
    assert set(events["course_id"]) <= set(courses["course_id"])


def test_online_retail_has_397884_distinct_events() -> None:
    events, courses = import_online_retail(DATA / "online_retail")
    kept, report = clean_interactions(events, arrival_ms=ARRIVAL_MS)

    assert (len(kept), dict(report.dropped)) == (397_884, {})
    assert kept["user_id"].nunique() == 4_338
    assert len(courses) == kept["course_id"].nunique() == 3_866


def test_the_course_catalogue_has_one_row_a_course() -> None:
    _, courses = import_online_courses(DATA / "online_courses")

    assert len(courses) > 5_000
    assert courses["course_id"].is_unique
    assert (courses["title"] != "").all()
