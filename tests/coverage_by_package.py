"""`python -m tests.coverage_by_package`: the line and branch coverage of each package, from coverage's data file."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import coverage

PARTS = ("covered_lines", "covered_branches", "num_statements", "num_branches")


def package_of(file: str) -> str:
    """The folder of a source file as a package: `stream/engagement/fold.py` → `stream.engagement`."""
    return ".".join(PurePath(file).parent.parts)


def by_package(files: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, tuple[int, int]]:
    """Adds up what was run and what there is: lines and branches of each package, and of `all`.

    Args:
        files: Path of a source file, and its summary in coverage's JSON report.
    """
    run: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for file, summary in files:
        lines, branches, statements, exits = (int(summary[part]) for part in PARTS)
        for name in (package_of(file), "all"):
            run[name] += lines + branches
            there[name] += statements + exits
    return {name: (run[name], there[name]) for name in sorted(there, key=lambda name: (name == "all", name))}


def main() -> None:
    """Prints a line for each package, and one for all."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        data.json_report(outfile=str(path))
        files = json.loads(path.read_text())["files"]
    for name, (run, there) in by_package((file, one["summary"]) for file, one in files.items()).items():
        if there:  # a package may hold no code itself
            sys.stdout.write(f"{name:34} {run:6} of {there:6}  {100 * run / there:5.1f} %\n")


if __name__ == "__main__":
    main()
