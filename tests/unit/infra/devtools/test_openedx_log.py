"""The made tracking log: the same for the same seed, and as hard to read as a real one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra.devtools.openedx_log import DAMAGED, DAY_MS, DEFAULT_END_MS, log_lines, main
from infra.devtools.openedx_site import make_site
from recsys.adapters.inputs import read_blocks, read_course_ids, read_staff

EVENTS = 20_000


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    site = make_site(courses=60, learners=500, seed=3)
    return list(log_lines(site, events=EVENTS, end_ms=DEFAULT_END_MS, days=90))


@pytest.fixture(scope="module")
def decoded(lines: list[bytes]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_equal_arguments_give_equal_lines(lines: list[bytes]) -> None:
    site = make_site(courses=60, learners=500, seed=3)
    assert list(log_lines(site, events=EVENTS, end_ms=DEFAULT_END_MS, days=90)) == lines
    other = make_site(courses=60, learners=500, seed=4)
    assert list(log_lines(other, events=EVENTS, end_ms=DEFAULT_END_MS, days=90)) != lines


def test_as_many_lines_as_asked_for_in_order_of_time(lines: list[bytes], decoded: list[dict[str, Any]]) -> None:
    assert len(lines) == EVENTS
    assert 0 < EVENTS - len(decoded) < 5 * DAMAGED * EVENTS
    times = [line["time"].removesuffix("+00:00") for line in decoded]
    assert times == sorted(times)
    assert "2025-10-03" <= times[0] < times[-1] <= "2026-01-01T00:00:00.000000"
    assert DAY_MS * 90 <= DEFAULT_END_MS


def test_what_makes_a_log_hard_is_in_it(decoded: list[dict[str, Any]]) -> None:
    names = Counter(line["name"] for line in decoded)
    enrolled = Counter(
        (line["event"]["user_id"], line["event"]["course_id"])
        for line in decoded
        if line["name"] == "edx.course.enrollment.activated"
    )
    assert max(enrolled.values()) > 1
    assert names["edx.completion.block_completion.changed"] > names["edx.course.enrollment.activated"] * 5
    assert names["edx.course.enrollment.deactivated"] > 0
    assert names["edx.course.grade.passed.first_time"] > 0
    assert any(line["context"]["user_id"] == "" for line in decoded)
    assert any(isinstance(line["event"], str) for line in decoded)
    assert {line["time"].endswith("+00:00") for line in decoded} == {True, False}
    assert any(
        line["event"]["user_id"] != line["context"]["user_id"]
        for line in decoded
        if line["name"] == "edx.course.enrollment.activated"
    )


def test_the_files_are_what_ingest_takes(tmp_path: Path) -> None:
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        main(["--out", str(folder), "--events", "500", "--learners", "20", "--courses", "9"])
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"tracking.log.gz", "blocks.csv", "staff.csv", "courses.csv"}
    assert len(read_blocks(tmp_path / "a" / "blocks.csv")) == 9
    assert len(read_course_ids(tmp_path / "a" / "courses.csv")) == 9
    assert len(read_staff(tmp_path / "a" / "staff.csv")) >= 9
