"""What is made of a log of courses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog import Course, encode_course
from recsys.catalogue_log import Catalogue, decode_key


@pytest.mark.parametrize(
    ("key", "course_id"),
    [
        (b"c1", "c1"),
        (b'"c1"', "c1"),
        (b'"caf\\u00e9"', "café"),
        (b"17", "17"),
        (b'"half', '"half'),
        ("«ü»".encode(), "«ü»"),
        (b"", None),
        (b'""', None),
        (None, None),
        (b"\xff\xfe", None),
        (b'"\xff"', None),
    ],
)
def test_a_key_is_the_id_itself_or_a_json_string_of_it(key: bytes | None, course_id: str | None) -> None:
    assert decode_key(key) == course_id


@given(
    st.text(min_size=1, max_size=30).filter(
        lambda text: text.isprintable() and not text.isspace() and not text.startswith('"')
    )
)
def test_both_ways_to_write_a_key_are_read_alike(course_id: str) -> None:
    assert decode_key(course_id.encode()) == course_id
    assert decode_key(json.dumps(course_id).encode()) == course_id
    assert decode_key(json.dumps(course_id, ensure_ascii=False).encode()) == course_id


def test_a_log_of_courses_is_its_newest_states_and_a_count_of_everything_else() -> None:
    """Before, records that were no course were passed without a word, and a quoted key retired nothing."""
    catalogue = Catalogue()
    log: list[tuple[bytes | None, bytes | None]] = [
        (b"c1", encode_course(Course(course_id="c1", title="old"))),
        (b"c1", encode_course(Course(course_id="c1", title="new"))),
        (b'"c2"', encode_course(Course(course_id="c2", title="gone"))),
        (b'"c2"', None),
        (b"c3", b"not JSON"),
        (b"c4", b'{"course_id": 4, "title": "Four"}'),
        (b"c5", b'{"course_id": "c5"}'),
        (b"c6", b'{"course_id": "c6", "title": null}'),
        (b"compacted-away", None),
        (b"\xff", None),
        (b" ", b'{"course_id": " ", "title": "Blank"}'),
        (b" ", None),
    ]
    for offset, (key, value) in enumerate(log):
        catalogue.add(key, value, offset)

    assert {c.course_id: (c.title, c.retired) for c in catalogue.courses.values()} == {
        "c1": ("new", False),
        "c2": ("gone", True),
    }
    assert catalogue.retired == {"c2", "compacted-away"}
    assert (catalogue.records, catalogue.tombstones) == (12, 2)
    assert catalogue.refused == {"not_json": 1, "bad_id": 2, "no_title": 2, "bad_key": 2}
    assert [line.split(":")[1].strip() for line in catalogue.remarks()] == [
        "2 of 12 records refused as bad_id, the first at offset 5, key 'c4'",
        r"2 of 12 records refused as bad_key, the first at offset 9, key '\\xff'",
        "2 of 12 records refused as no_title, the first at offset 6, key 'c5'",
        "1 of 12 records refused as not_json, the first at offset 4, key 'c3'",
    ]


def test_a_course_that_is_written_after_its_tombstone_is_recommended_again() -> None:
    catalogue = Catalogue()
    for offset, value in enumerate((None, encode_course(Course(course_id="c1", title="back")))):
        catalogue.add(b"c1", value, offset)
    assert catalogue.retired == set()
    assert not catalogue.courses["c1"].retired
