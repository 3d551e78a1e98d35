"""A made tracking log of an Open edX site, as large as wanted: for demonstrations, benchmarks and tests.

    python -m infra.devtools.openedx_log --out FOLDER [--events 300000] [--learners 6000] [--courses 300] [--seed 0]

writes `tracking.log.gz`, `blocks.csv`, `staff.csv` and `courses.csv`: all that `recsys ingest openedx-logs` takes.
Equal arguments give equal files; the log ends on 2026-01-01 unless `--end` says otherwise. No line is anybody's; what
looks like personal data is made of the learner's number.

What makes such a log hard is in it: enrolments that come twice under other transaction ids, a completion for each
block, a grade for each answer, courses with several runs and run switches, instructors who enrol learners and click
around in their own courses, visitors who are not logged in, requests of all kinds, events whose content is a string,
times without a zone, refunds, certificates taken back, and lines that are no JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.devtools.openedx_site import FIRST_LEARNER, SUBJECTS, Site, SiteCourse, make_site, write_site
from recsys.times import parse_time

DEFAULT_END_MS: Final = 1_767_225_600_000  # 2026-01-01
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
DAMAGED: Final = 0.0005
"""Share of lines that are cut, as by a full disk."""


class _Entry(NamedTuple):
    """An event before it is written. Sorts by time, then by the order in which it was drawn."""

    at_ms: int
    number: int
    name: str
    user: int | None
    run: str
    fields: dict[str, Any]
    source: str = "server"
    about: int | None = None


def log_lines(site: Site, *, events: int, end_ms: int, days: int = 90) -> Iterator[bytes]:
    """The lines of the site's log in order of time, each with its line end.

    Args:
        site: Whose log it is.
        events: How many lines.
        end_ms: Nothing is later than this, ms since 1970 UTC.
        days: What it spans.
    """
    rng = random.Random(f"log {site.seed}")
    entries: list[_Entry] = []
    story = _Story(site, rng, entries, end_ms - days * DAY_MS, end_ms)
    while len(entries) < events:
        story.tell()
    damage = random.Random(f"damage {site.seed}")
    for entry in sorted(entries[:events], key=lambda entry: entry[:2]):
        line = json.dumps(_written(entry)).encode()
        yield line[: len(line) // 2] + b"\n" if damage.random() < DAMAGED else line + b"\n"


class _Story:
    """Draws what one learner does with one course, again and again."""

    def __init__(self, site: Site, rng: random.Random, entries: list[_Entry], start_ms: int, end_ms: int) -> None:
        self._site, self._rng, self._entries, self._start_ms, self._end_ms = site, rng, entries, start_ms, end_ms
        self._popularity = list(accumulate(1 / (rank + 5) for rank in range(len(site.courses))))

    def tell(self) -> None:
        """One learner's way through one course, and now and then somebody who is no learner."""
        rng = self._rng
        user = FIRST_LEARNER + int(self._site.learners * rng.random() ** 1.5)
        course = self._course(user)
        run, at_ms = rng.choice(course.runs), rng.randrange(self._start_ms, self._end_ms)
        if rng.random() < 0.1:  # noqa: PLR2004 - shares of what happens, here and below
            self._no_learner(course, run, at_ms)
        at_ms = self._looks(user, course, run, at_ms)
        if rng.random() < 0.45:  # noqa: PLR2004
            self._takes(user, course, run, at_ms)

    def _course(self, user: int) -> SiteCourse:
        """By popularity, and mostly of the learner's subject."""
        while True:
            (course,) = self._rng.choices(self._site.courses, cum_weights=self._popularity)
            if course.subject == SUBJECTS[user % len(SUBJECTS)] or self._rng.random() < 0.2:  # noqa: PLR2004
                return course

    def _add(self, at_ms: int, name: str, user: int | None, run: str, fields: dict[str, Any], **more: Any) -> None:
        if at_ms <= self._end_ms:
            self._entries.append(_Entry(at_ms, len(self._entries), name, user, run, fields, **more))

    def _no_learner(self, course: SiteCourse, run: str, at_ms: int) -> None:
        self._add(at_ms, f"/courses/{run}/about", None, run, {"GET": {}, "POST": {}})
        teacher = self._rng.choice(course.staff)
        for step in range(self._rng.randrange(1, 6)):
            self._add(at_ms + step * 60_000, "play_video", teacher, run, {"duration": 300}, source="browser")

    def _looks(self, user: int, course: SiteCourse, run: str, at_ms: int) -> int:
        for _ in range(self._rng.randrange(1, 4)):
            self._add(at_ms, f"/courses/{run}/about", user, run, {"GET": {}, "POST": {}})
            self._add(at_ms + 900, "/api/user/v1/me", user, run, {"GET": {}, "POST": {}})
            at_ms += self._rng.randrange(60_000, 2 * DAY_MS)
        if len(course.runs) > 1:
            self._add(at_ms, f"/courses/{course.runs[0]}/about", user, course.runs[0], {"GET": {}, "POST": {}})
        return at_ms

    def _takes(self, user: int, course: SiteCourse, run: str, at_ms: int) -> None:
        rng = self._rng
        by = rng.choice(course.staff) if rng.random() < 0.05 else user  # noqa: PLR2004
        self._enrolment("activated", at_ms, by, user, run)
        if rng.random() < 0.1:  # noqa: PLR2004 - the same enrolment under another transaction
            self._enrolment("activated", at_ms + 40, by, user, run)
        done = 0
        for _ in range(rng.randrange(1, 10)):
            at_ms += rng.randrange(HOUR_MS, 5 * DAY_MS)
            done = self._studies(user, course, run, at_ms, done)
        if done >= course.blocks * 0.6:
            self._passes(user, run, at_ms + HOUR_MS)
        elif rng.random() < 0.08:  # noqa: PLR2004
            self._enrolment("deactivated", at_ms + HOUR_MS, user, user, run)
            if rng.random() < 0.3:  # noqa: PLR2004
                self._enrolment("activated", at_ms + 2 * DAY_MS, user, user, course.runs[-1])

    def _enrolment(self, what: str, at_ms: int, by: int, user: int, run: str) -> None:
        fields = {"course_id": run, "user_id": user, "mode": "audit"}
        self._add(at_ms, f"edx.course.enrollment.{what}", by, run, fields, about=user)

    def _studies(self, user: int, course: SiteCourse, run: str, at_ms: int, done: int) -> int:
        """A session; returns how many blocks are completed after it."""
        rng = self._rng
        for _ in range(rng.randrange(1, 12)):
            at_ms += rng.randrange(30_000, 600_000)
            video = {"id": f"v{done}", "duration": rng.randrange(60, 900)}
            for name in ("load_video", "play_video", rng.choice(("pause_video", "seek_video", "stop_video"))):
                self._add(at_ms, name, user, run, video, source="browser")
            if done < course.blocks:
                done += 1
                block = f"{run.replace('course-v1', 'block-v1')}+type@html+block@{done:04x}"
                fields = {"user_id": user, "course_id": run, "block_id": block, "completion": 1.0}
                self._add(at_ms + 5_000, "edx.completion.block_completion.changed", user, run, fields)
                grade = {"user_id": str(user), "course_id": run, "percent_grade": round(done / course.blocks, 2)}
                self._add(at_ms + 6_000, "edx.grades.course.grade_calculated", user, run, grade)
        if rng.random() < 0.1:  # noqa: PLR2004
            self._add(at_ms + 9_000, "edx.bookmark.added", user, run, {"course_id": run})
        return done

    def _passes(self, user: int, run: str, at_ms: int) -> None:
        fields = {"course_id": run, "user_id": user}
        self._add(at_ms, "edx.course.grade.passed.first_time", user, run, fields)
        self._add(at_ms + 1_000, "edx.certificate.created", user, run, fields)
        if self._rng.random() < 0.03:  # noqa: PLR2004
            self._add(at_ms + DAY_MS, "edx.certificate.revoked", user, run, fields)


def _written(entry: _Entry) -> dict[str, Any]:
    user = entry.user
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC).isoformat(timespec="microseconds")
    as_text = entry.source == "browser" or entry.name.startswith("/")
    return {
        "name": entry.name,
        "event_type": entry.name,
        "event_source": entry.source,
        "time": at.removesuffix("+00:00") if entry.number % 3 else at,
        "session": f"{(user or 0):032x}",
        "agent": AGENT,
        "ip": f"198.51.100.{(user or 0) % 256}",
        "username": "" if user is None else f"user_{user}",
        "host": "lms.example.org",
        "referer": "https://lms.example.org/dashboard",
        "accept_language": "en",
        "page": None,
        "context": {
            "course_id": entry.run,
            "org_id": entry.run.split(":")[1].split("+")[0],
            "user_id": "" if user is None else user,
            "path": "/event",
        },
        "event": json.dumps(entry.fields) if as_text else entry.fields,
    }


def write_log(file: Path, site: Site, *, events: int, end_ms: int) -> None:
    """Writes the site's log, packed by gzip without the time of the packing."""
    with file.open("wb") as packed, gzip.GzipFile("", "wb", compresslevel=5, fileobj=packed, mtime=0) as log:
        log.writelines(log_lines(site, events=events, end_ms=end_ms))


def main(given: Sequence[str] | None = None) -> None:
    """Writes the files that the arguments ask for; None for those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder, made if missing")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--learners", type=int, default=6_000)
    parser.add_argument("--courses", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end", default=str(DEFAULT_END_MS), help="ms since 1970 UTC, or RFC 3339 with a zone")
    arguments = parser.parse_args(given)
    arguments.out.mkdir(parents=True, exist_ok=True)
    site = make_site(courses=arguments.courses, learners=arguments.learners, seed=arguments.seed)
    write_site(arguments.out, site)
    write_log(
        arguments.out / "tracking.log.gz", site, events=arguments.events, end_ms=parse_time(arguments.end, "--end")
    )


if __name__ == "__main__":
    main()
