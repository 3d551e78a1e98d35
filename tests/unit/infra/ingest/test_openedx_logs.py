"""`recsys ingest openedx-logs` as its user runs it; sending is held by tests/integration."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.ingest.commands import ingest
from recsys.adapters.completions import FilePlaces
from recsys.errors import ConfigurationError, InputError
from tests.doubles.commands import Run

DATA = Path("tests/data/openedx")


def dry(run: Run, *arguments: str, status: int = 0) -> dict[str, Any]:
    ended = run("ingest", "openedx-logs", *arguments, "--dry-run", "--json")
    assert ended.returncode == status, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert (found["dry_run"], found["acknowledged"]) == (True, 0)
    return found


def counted(found: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["name"], row["type"]): row["events"] for row in found["events"]}


def test_a_log_is_summed_up(run: Run) -> None:
    found = dry(run, str(DATA / "enrol_again.log"))
    assert counted(found) == {
        ("edx.course.enrollment.activated", "enroll"): 3,
        ("edx.course.enrollment.deactivated", "unenroll"): 2,
    }
    assert (found["lines"], found["learners"], found["courses"], found["unjoined_courses"]) == (5, 2, 1, None)


def test_a_log_in_gzip_is_the_same_log(run: Run, tmp_path: Path) -> None:
    packed = tmp_path / "tracking.log-20260901.gz"
    packed.write_bytes(gzip.compress((DATA / "enrol_again.log").read_bytes()))
    first, second = dry(run, str(packed)), dry(run, str(DATA / "enrol_again.log"))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_standard_input_and_a_line_cut_by_rotation() -> None:
    content = (DATA / "enrol_again.log").read_bytes()
    rotated = gzip.compress(content[:1000]) + gzip.compress(content[1000:])  # as `cat a.gz b.gz` gives it
    ended = CliRunner().invoke(ingest, ["openedx-logs", "-", "--dry-run", "--json"], input=rotated)
    found = json.loads(ended.stdout)
    assert (found["lines"], found["refused"]) == (5, [])


def test_blocks_and_staff_and_catalogue(run: Run, tmp_path: Path) -> None:
    blocks = tmp_path / "blocks.json"
    blocks.write_text('{"course-v1:DemoX+C1+2025_T1": 300}')
    found = dry(run, str(DATA / "block_completions.log"), "--blocks", str(blocks))
    assert counted(found)["edx.completion.block_completion.changed", "progress"] == 4
    catalogue = tmp_path / "courses.csv"
    catalogue.write_text("course_id,title\nDemoX+C1,One\n")
    found = dry(run, str(DATA / "staff.log"), "--staff", str(DATA / "staff.csv"), "--courses", str(catalogue))
    assert found["skipped"] == [{"name": "play_video", "why": "staff", "lines": 5}]
    assert found["unjoined_courses"] == {"courses": 1, "most_frequent": ["DemoX+C2"]}


def test_completions_need_blocks(run: Run, tmp_path: Path) -> None:
    ended = run("ingest", "openedx-logs", str(DATA / "staff.log"), "--completions", str(tmp_path / "c"), "--dry-run")
    assert ended.returncode == ConfigurationError.exit_status
    assert "--completions needs --blocks" in ended.stderr
    assert not (tmp_path / "c").exists()


def test_a_dry_run_keeps_no_completions(run: Run, tmp_path: Path) -> None:
    blocks, kept = tmp_path / "blocks.csv", tmp_path / "completions.sqlite3"
    blocks.write_text("course_id,blocks\nDemoX+C1,300\n")
    log = str(DATA / "block_completions.log")
    options = ("--blocks", str(blocks), "--completions", str(kept))
    for _ in range(2):
        assert counted(dry(run, log, *options))["edx.completion.block_completion.changed", "progress"] == 4
    places = FilePlaces(kept)
    assert places.place("103", "course-v1:DemoX+C1+2025_T1", "another block") == 1
    places.close()


def test_grades_count_where_no_blocks_are_known_unless_said_otherwise(run: Run, tmp_path: Path) -> None:
    blocks = tmp_path / "blocks.csv"
    blocks.write_text("course_id,blocks\nDemoX+C1,300\n")
    log = str(DATA / "regrades.log")
    assert sum(counted(dry(run, log)).values()) == 7
    assert counted(dry(run, log, "--no-grades")) == {}
    assert counted(dry(run, log, "--blocks", str(blocks))) == {}
    assert sum(counted(dry(run, log, "--blocks", str(blocks), "--grades")).values()) == 7


def test_damaged_lines_are_counted_with_an_example_and_end_well(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "tracking.log"
    good = (DATA / "damaged.log").read_bytes()
    log.write_bytes(good + b"\n" + b"x" * 10_000_000 + b"\n" + (DATA / "long_key.log").read_bytes())
    found = dry(run, str(log))
    refused = {row["reason"]: row for row in found["refused"]}
    assert {reason: row["lines"] for reason, row in refused.items()} == {"not_json": 6, "too_deep": 1, "too_large": 1}
    assert refused["too_large"]["example"].endswith("expected at most 1000000 bytes, received 10000000")
    assert found["learners"] == 5


def test_what_is_no_log_at_all_has_status_2(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("Dear all,\nplanted.email@example.org\n")
    ended = run("ingest", "openedx-logs", str(wrong), "--dry-run")
    assert ended.returncode == InputError.exit_status
    assert "none of 2 lines could be read: not_json, line 1" in ended.stderr
    assert "planted" not in ended.stdout + ended.stderr


def test_an_empty_log_is_a_log(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tracking.log").touch()
    assert dry(run, str(tmp_path / "tracking.log"))["lines"] == 0


def test_a_file_that_is_not_there_has_status_2(run: Run, tmp_path: Path) -> None:
    ended = run("ingest", "openedx-logs", str(tmp_path / "nowhere"), "--dry-run")
    assert ended.returncode == InputError.exit_status
    assert "No such file" in ended.stderr


def test_the_tables_say_what_the_json_says(run: Run) -> None:
    ended = run("ingest", "openedx-logs", str(DATA / "personal_data.log"), "--dry-run")
    assert ended.returncode == 0
    for expected in ("edx.course.enrollment.activated", "(request to the LMS)", "bad_id", "learners", "dry run"):
        assert expected in ended.stdout
    assert "planted" not in ended.stdout.lower() + ended.stderr.lower()


def test_help_names_what_is_needed(run: Run) -> None:
    ended = run("ingest", "--help")
    assert ended.returncode == 0
    assert "openedx-logs" in ended.stdout


@pytest.mark.parametrize(
    ("option", "content", "expected"),
    [
        ("--staff", "user,course\n1,2\n", "expected the columns user_id, course_id"),
        ("--staff", "user_id,course_id\n1,\n", "row 1 without"),
        ("--staff", '["a"]', "expected a JSON object"),
        ("--staff", "{", "expected a JSON object"),
        ("--blocks", "course_id,blocks\nO+C,many\n", "expected a whole number from 1"),
        ("--blocks", '{"O+C": 0}', "expected a whole number from 1"),
        ("--blocks", '{"O+C": 1.5}', "expected a whole number from 1"),
        ("--blocks", "", "expected the columns course_id, blocks"),
    ],
)
def test_a_file_beside_the_log_that_is_none_is_refused(
    run: Run, tmp_path: Path, option: str, content: str, expected: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(content)
    ended = run("ingest", "openedx-logs", str(DATA / "staff.log"), option, str(wrong), "--dry-run")
    assert ended.returncode == InputError.exit_status
    assert expected in ended.stderr
