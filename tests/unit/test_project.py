"""What a user of the distribution finds beside the code."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

from recsys.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_distribution_names_its_licence_and_brings_the_text() -> None:
    described = metadata("course-stream-recommender")
    assert described["License-Expression"] == "Apache-2.0"
    assert described.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_every_file_a_page_links_to_is_there() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert len(links) > 30
    assert [(page.name, link) for page, link in links if not (page.parent / link).is_file()] == []


def test_every_decision_has_a_number_of_its_own_and_a_line_in_the_index() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    titles = [record.read_text().splitlines()[0].removeprefix("# ") for record in records]
    assert [title.partition(".")[0] for title in titles] == [str(number) for number in range(1, len(records) + 1)]
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    lines = [
        f"| {number} | [{title.partition('. ')[2]}]({record.name}) |"
        for number, (title, record) in enumerate(zip(titles, records, strict=True), start=1)
    ]
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert [line for line in lines if line not in index] == []


def test_every_fault_case_has_a_row_in_the_page_on_faults() -> None:
    sources = (path.read_text() for path in (ROOT / "tests/faults/cases").glob("*.py"))
    cases = [name for source in sources for name in re.findall(r'^@case\("(T\d+)"', source, re.MULTILINE)]
    page = (ROOT / "docs/faults.md").read_text().partition("## Mutants")[0]
    assert len(cases) > 25
    assert [name for name in cases if f"\n| {name} | " not in page] == []


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`recsys {name}" not in readme] == []


def test_every_package_stands_in_the_layout_of_the_readme() -> None:
    layout = (ROOT / "README.md").read_text().partition("## Layout")[2].partition("\n## ")[0]
    named = re.findall(r"^[├└│─ ]*([a-z_]+)/", layout, re.MULTILINE)
    packages = [
        folder.name
        for layer in ("recsys", "stream", "batch", "serving", "infra")
        for folder in (ROOT / layer, *sorted((ROOT / layer).iterdir()))
        if (folder / "__init__.py").is_file()
    ]
    assert sorted(set(packages) - set(named)) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_a_page_names_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", (ROOT / page).read_text()))
    assert named - targets == set()
