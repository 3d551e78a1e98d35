"""What goes into an image, by the rules of .dockerignore: everything a process needs and no developer's tools."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def in_the_build(path: str) -> bool:
    """Docker's rule: of all patterns that match a path or a folder above it, the last decides."""
    ancestors = {path, *map(str, Path(path).parents)}
    taken = True
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        if pattern == "*" or pattern in ancestors or (pattern.startswith("**/") and Path(path).match(pattern[3:])):
            taken = line.startswith("!")
    return taken


NEEDED = [
    "recsys/cli.py",
    "stream/command.py",
    "batch/commands.py",
    "serving/commands.py",
    "infra/operator/topics.py",
    "pyproject.toml",
    "requirements/lock.txt",
    "LICENSE",
    "NOTICE",
    "README.md",
    "infra/docker/lock-subset",
]
DEVELOPERS = ["infra/devtools/demo.py", "tests/conftest.py", "benchmarks/soak.py", "docs/faults.md"]


@pytest.mark.parametrize("path", NEEDED)
def test_what_a_process_needs_is_in_the_build(path: str) -> None:
    assert (ROOT / path).is_file()
    assert in_the_build(path)


@pytest.mark.parametrize("path", DEVELOPERS)
def test_what_only_developers_need_is_not(path: str) -> None:
    assert (ROOT / path).is_file()
    assert not in_the_build(path)
