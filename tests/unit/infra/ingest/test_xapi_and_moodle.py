"""`recsys ingest xapi` and `recsys ingest moodle` as their users run them; sending is held by tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import ConfigurationError, InputError
from tests.doubles.commands import Run

XAPI = Path("tests/data/xapi")
MOODLE = Path("tests/data/moodle")


def dry(run: Run, *arguments: str, status: int = 0) -> dict[str, Any]:
    ended = run("ingest", *arguments, "--dry-run", "--json")
    assert ended.returncode == status, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def counted(found: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["name"].rpartition("/")[2], row["type"]): row["events"] for row in found["events"]}


def test_statements_are_summed_up_by_verb(run: Run, tmp_path: Path) -> None:
    found = dry(run, "xapi", str(XAPI / "voided.jsonl"), "--index", str(tmp_path / "index"))
    assert counted(found) == {
        ("registered", "enroll"): 4,
        ("voided", "unenroll"): 2,
        ("unregistered", "unenroll"): 1,
        ("voided", "enroll"): 1,
        ("played", "play"): 1,
        ("completed", "complete"): 1,
        ("voided", "uncomplete"): 1,
    }
    assert (found["lines"], found["learners"]) == (15, 5)
    assert not (tmp_path / "index").exists()  # a dry run keeps nothing


def test_batches_count_each_statement_and_gzip_is_the_same(run: Run) -> None:
    assert dry(run, "xapi", str(XAPI / "batches.jsonl"))["lines"] == 4
    assert dry(run, "xapi", str(XAPI / "block_completions.jsonl.gz"))["lines"] == 302


def test_rows_of_moodle_are_summed_up_by_event(run: Run, tmp_path: Path) -> None:
    modules = tmp_path / "modules.csv"
    modules.write_text("course_id,blocks\n6,300\n")
    found = dry(run, "moodle", str(MOODLE / "module_completions.csv.gz"), "--modules", str(modules))
    assert counted(found)["core\\event\\course_module_completion_updated", "progress"] == 4
    assert found["learners"] == 2


@pytest.mark.parametrize(
    ("form", "log", "staff", "lines"),
    [("moodle", MOODLE / "staff.csv", "user_id,course_id\n350,5\n", 1), ("xapi", XAPI / "verbs.jsonl", None, 7)],
)
def test_staff_are_skipped(run: Run, tmp_path: Path, form: str, log: Path, staff: str | None, lines: int) -> None:
    listed = tmp_path / "staff.csv"
    listed.write_text(staff or "user_id,course_id\n260,DemoX\n260,5\n")
    found = dry(run, form, str(log), "--staff", str(listed))
    assert sum(row["lines"] for row in found["skipped"] if row["why"] == "staff") == lines


@pytest.mark.parametrize(("form", "log"), [("xapi", XAPI / "damaged.jsonl"), ("moodle", MOODLE / "damaged.csv")])
def test_damaged_input_is_counted_with_an_example_and_ends_well(run: Run, form: str, log: Path) -> None:
    found = dry(run, form, str(log))
    assert found["refused"]
    assert all(row["example"].startswith("line ") for row in found["refused"])


@pytest.mark.parametrize("form", ["xapi", "moodle"])
def test_what_is_nothing_of_the_kind_has_status_2(run: Run, tmp_path: Path, form: str) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("Dear all,\nplanted.email@example.org\n")
    ended = run("ingest", form, str(wrong), "--dry-run")
    assert ended.returncode == InputError.exit_status
    assert "none of 2 lines could be read: not_json, line 1" in ended.stderr
    assert "planted" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("form", "log"), [("xapi", XAPI / "personal_data.jsonl"), ("moodle", MOODLE / "personal_data.csv")]
)
def test_no_planted_name_is_shown(run: Run, form: str, log: Path) -> None:
    for shape in ((), ("--json",)):
        ended = run("ingest", form, str(log), "--dry-run", *shape)
        assert ended.returncode == 0
        assert "planted" not in ended.stdout.lower() + ended.stderr.lower()


def test_home_pages_come_from_the_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_XAPI_HOME_PAGES", '{"https://other.example.org/": "other:"}')
    found = dry(run, "xapi", str(XAPI / "two_runs.jsonl"), status=InputError.exit_status)
    assert found["refused"][0]["example"].endswith("RECSYS_XAPI_HOME_PAGES")
    monkeypatch.setenv("RECSYS_XAPI_HOME_PAGES", "lms")
    assert run("ingest", "xapi", str(XAPI / "two_runs.jsonl"), "--dry-run").returncode == ConfigurationError.exit_status
