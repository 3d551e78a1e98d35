"""The JSON forms in which platforms tell about their courses, each object to a `Course`. Pure.

- course-discovery of Open edX (`/api/v1/courses/`, `CourseSerializer`): runs, text, skills, programmes.
- Moodle (`core_course_get_courses`, `core_course_get_courses_by_field`).
- the event bus of Open edX (`org.openedx.content_authoring.course.catalog_info.changed.v1`): one run, no description.

A field of another type than the form has is passed by, as if it were not there; only an id and a title are required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from batch.text_repair import unique
from recsys.adapters.course_keys import course_run
from recsys.catalog import Course, PathPosition, Run

Json = Mapping[str, Any]

_PACINGS = {"self_paced": "self", "self": "self", "instructor_paced": "instructor", "instructor": "instructor"}
_FREE = frozenset({"audit", "honor", ""})
_MOODLE_SITE = "site"
_LARGEST = 1e6
_SECONDS_DIGITS = 12


def form_of(row: Json) -> Callable[[Json], Course | None] | None:
    """The reader of the form that an object has, told by the fields that only this form has; None for another."""
    if "fullname" in row and "id" in row:
        return moodle_course
    if "course_key" in row and "name" in row:
        return catalog_info_course
    return discovery_course if "key" in row and "title" in row else None


def discovery_course(row: Json) -> Course:
    """One course of course-discovery."""
    runs = _objects(row, "course_runs")
    newest = runs[-1] if runs else {}
    key = course_run(_text(row, "key"))
    course_id = _text(row, "key") if key is None else key.course_id
    languages = unique(_text(run, "content_language") for run in runs)
    restriction = row.get("location_restriction")
    return Course(
        course_id=course_id,
        title=_text(row, "title"),
        intro="\n\n".join(unique((_text(row, "short_description"), _text(row, "full_description")))),
        skills=unique([*_texts(row, "skill_names"), *(_text(skill, "name") for skill in _objects(row, "skills"))]),
        category=next(_names(row, "subjects"), ""),
        level=next(_names(row, "level_type"), ""),
        language=next(iter(languages), ""),
        runs=tuple(run for run in map(_discovery_run, runs) if run is not None),
        languages=languages,
        subtitles=unique(text for run in runs for text in _texts(run, "transcript_languages")),
        prerequisites=tuple(dict.fromkeys(_prerequisites(row))),
        paths=tuple(
            PathPosition(path_id=_text(path, "uuid"), position=_whole(path, "position"))
            for path in _objects(row, "programs")
            if _text(path, "uuid")
        ),
        org=next((_text(owner, "key") for owner in _objects(row, "owners")), course_id.partition("+")[0]),
        instructors=unique(
            f"{_text(person, 'given_name')} {_text(person, 'family_name')}"
            for run in runs
            for person in _objects(run, "staff")
        ),
        effort_hours=_effort_hours(newest),
        duration_weeks=_number(newest, "weeks_to_complete"),
        certificate=next((text for run in runs if (text := _text(run, "type")) not in _FREE), ""),
        countries_allow=_countries(restriction, "allowlist"),
        countries_block=_countries(restriction, "blocklist"),
        created_at=_iso_ms(row, "created"),
        url=_text(row, "marketing_url"),
        image_url=_text(row, "card_image_url") or _text(_object(row, "image"), "src"),
    )


def moodle_course(row: Json) -> Course | None:
    """One course of Moodle, which is its own only run; None for the front page."""
    if _text(row, "format") == _MOODLE_SITE:
        return None
    number, language = _digits(row, "id"), _text(row, "lang")
    is_hidden = str(row.get("visible")) in {"0", "False"}
    pictures = (_text(file, "fileurl") for file in _objects(row, "overviewfiles"))
    return Course(
        course_id=number,
        title=_text(row, "fullname"),
        intro=_text(row, "summary"),
        skills=unique([*_names(row, "tags")]),
        category=_text(row, "categoryname"),
        language=language,
        languages=(language,) if language else (),
        retired=is_hidden,
        runs=(Run(run_id=number, start=_s_ms(row, "startdate"), end=_s_ms(row, "enddate"), hidden=is_hidden),)
        if number
        else (),
        instructors=unique(_text(person, "fullname") for person in _objects(row, "contacts")),
        created_at=_s_ms(row, "timecreated"),
        image_url=_text(row, "courseimage") or next(pictures, ""),
    )


def catalog_info_course(row: Json) -> Course:
    """One run as the event bus tells it."""
    key, schedule = course_run(_text(row, "course_key")), _object(row, "schedule")
    if key is None or key.run_id is None:
        return Course(course_id="", title=_text(row, "name"))
    run = Run(
        run_id=key.run_id,
        start=_iso_ms(schedule, "start"),
        end=_iso_ms(schedule, "end"),
        enrollment_start=_iso_ms(schedule, "enrollment_start"),
        enrollment_end=_iso_ms(schedule, "enrollment_end"),
        pacing=_PACINGS.get(_text(schedule, "pacing"), ""),
        hidden=row.get("hidden") is True,
        invitation_only=row.get("invitation_only") is True,
    )
    return Course(course_id=key.course_id, title=_text(row, "name"), runs=(run,), org=key.org)


def prerequisites_in_words(row: Json) -> int:
    """How many prerequisites name no course by its key, such as "basic algebra"; they are left out."""
    return len(list(_prerequisite_texts(row))) - len(list(_prerequisites(row)))


def _discovery_run(run: Json) -> Run | None:
    run_id = _text(run, "key")
    if not run_id:
        return None
    return Run(
        run_id=run_id,
        start=_iso_ms(run, "start"),
        end=_iso_ms(run, "end"),
        enrollment_start=_iso_ms(run, "enrollment_start"),
        enrollment_end=_iso_ms(run, "enrollment_end"),
        pacing=_PACINGS.get(_text(run, "pacing_type"), ""),
        hidden=run.get("hidden") is True or _text(run, "status") not in {"", "published"},
        invitation_only=run.get("invitation_only") is True,
    )


def _prerequisite_texts(row: Json) -> Iterator[str]:
    for wanted in _list(row, "prerequisites"):
        text = wanted if isinstance(wanted, str) else _text(wanted, "key") or _text(wanted, "name")
        if text:
            yield text


def _prerequisites(row: Json) -> Iterator[str]:
    for text in _prerequisite_texts(row):
        run = None if " " in text else course_run(text)
        if run is not None:
            yield run.course_id


def _effort_hours(run: Json) -> float | None:
    """Hours in all: the mean of the least and the most a week, times the weeks."""
    weeks = _number(run, "weeks_to_complete")
    efforts = [effort for name in ("min_effort", "max_effort") if (effort := _number(run, name)) is not None]
    return None if weeks is None or not efforts else weeks * sum(efforts) / len(efforts)


def _countries(restriction: Any, kind: str) -> tuple[str, ...]:
    return unique(_texts(restriction, "countries")) if _text(restriction, "restriction_type") == kind else ()


def _names(row: Json, field: str) -> Iterator[str]:
    """The names in a text, an object with a name, or a list of either."""
    given = row.get(field)
    for part in given if isinstance(given, list) else [given]:
        name = part if isinstance(part, str) else _text(part, "name") or _text(part, "slug")
        if name:
            yield name


def _text(row: Any, field: str) -> str:
    value = row.get(field) if isinstance(row, Mapping) else None
    return value.strip() if isinstance(value, str) else ""


def _texts(row: Any, field: str) -> list[str]:
    return [text for text in _list(row, field) if isinstance(text, str)]


def _list(row: Any, field: str) -> list[Any]:
    value = row.get(field) if isinstance(row, Mapping) else None
    return value if isinstance(value, list) else []


def _object(row: Json, field: str) -> Json:
    value = row.get(field)
    return value if isinstance(value, Mapping) else {}


def _objects(row: Any, field: str) -> list[Json]:
    return [part for part in _list(row, field) if isinstance(part, Mapping)]


def _number(row: Json, field: str) -> float | None:
    value = row.get(field)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return float(value) if usable else None  # type: ignore[arg-type]  # `usable` says that it is a number


def _whole(row: Json, field: str) -> int | None:
    value = row.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _digits(row: Json, field: str) -> str:
    value = row.get(field)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if text.isascii() and text.isdigit() else ""


def _s_ms(row: Json, field: str) -> int | None:
    """Seconds since 1970 as ms; 0 is Moodle's word for none."""
    seconds = _digits(row, field)
    return int(seconds) * 1000 if seconds and int(seconds) and len(seconds) <= _SECONDS_DIGITS else None


def _iso_ms(row: Json, field: str) -> int | None:
    """ISO 8601 as ms since 1970 UTC; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(_text(row, field))
        return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
