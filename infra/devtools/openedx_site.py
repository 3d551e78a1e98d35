"""A made Open edX site: its courses with runs, blocks and staff, drawn from a seed, and the files that name them."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ORGS: Final = ("DemoX", "NordU", "SudTech", "OpenArts", "CityCollege")
SUBJECTS: Final = ("Algebra", "Biology", "Chemistry", "Databases", "Economics", "French", "Geology", "History")
FIRST_LEARNER: Final = 1000


@dataclass(frozen=True, slots=True)
class SiteCourse:
    """A course of the made site.

    Attributes:
        course_id: `Org+Number`.
        title: For the catalogue.
        subject: Its category; learners prefer one or two.
        runs: Keys of its runs, the oldest first.
        blocks: That can be completed.
        staff: Numbers of its teachers.
    """

    course_id: str
    title: str
    subject: str
    runs: tuple[str, ...]
    blocks: int
    staff: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """The made site.

    Attributes:
        courses: The catalogue, the most popular first.
        learners: How many there are; they are numbered from `FIRST_LEARNER`.
        seed: What it was made of, and what its log is made of.
    """

    courses: tuple[SiteCourse, ...]
    learners: int
    seed: int


def make_site(*, courses: int, learners: int, seed: int) -> Site:
    """Draws a catalogue.

    Args:
        courses: How many, at least 1.
        learners: How many, at least 1.
        seed: Of all that is drawn.
    """
    rng = random.Random(f"site {seed}")
    made = []
    for number in range(courses):
        org, subject = rng.choice(ORGS), rng.choice(SUBJECTS)
        code = f"{subject[:3].upper()}{number:04d}"
        runs = tuple(
            f"course-v1:{org}+{code}+20{24 + run // 2}_T{1 + run % 2}" for run in range(rng.choice((1, 1, 2, 3)))
        )
        teachers = tuple(rng.sample(range(1, 200), rng.choice((1, 2))))
        made.append(SiteCourse(f"{org}+{code}", f"{subject} {number}", subject, runs, rng.randrange(20, 120), teachers))
    return Site(tuple(made), learners, seed)


def write_site(folder: Path, site: Site) -> None:
    """Writes `blocks.csv`, `staff.csv` and `courses.csv` into a folder that is there."""
    tables: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
        "blocks.csv": (("course_id", "blocks"), [(course.course_id, course.blocks) for course in site.courses]),
        "staff.csv": (
            ("user_id", "course_id"),
            [(teacher, run) for course in site.courses for run in course.runs for teacher in course.staff],
        ),
        "courses.csv": (
            ("course_id", "title", "category"),
            [(course.course_id, course.title, course.subject) for course in site.courses],
        ),
    }
    for name, (header, rows) in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(header)
            table.writerows(rows)
