"""What the demo tells: lists side by side, a course that came and went, what the fine-tuner learned."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from infra.devtools.live_learner import Answer, Change
from infra.devtools.new_course import CameAndWent
from infra.devtools.running_finetuner import decisive
from infra.devtools.taste_shift import TasteShift

CLICKS = 3
"""Of the learner whose list is shown."""


def before_and_after(change: Change) -> Table:
    """The two lists side by side; a course that moved in is marked."""
    known = set(change.before.course_ids)
    table = Table(
        title=f"{CLICKS} clicks changed the list after {change.event_to_answer_ms:.0f} ms (model {change.after.model})",
        title_justify="left",
    )
    for name in ("", "before", "after"):
        table.add_column(name)
    for rank, (old, new) in enumerate(zip(_named(change.before), _named(change.after), strict=False), 1):
        mark = "" if new[0] in known else "[green]new[/] "
        table.add_row(str(rank), old[1], mark + new[1])
    return table


def _named(answer: Answer) -> Iterator[tuple[str, str]]:
    return zip(answer.course_ids, answer.titles, strict=True)


def of_new_course(found: CameAndWent) -> str:
    """What became of the new course, as one sentence."""
    return (
        f"A new course, {found.course.title!r}, was number {found.rank} of the list {found.listed_s:.1f} s after its "
        "record in the catalogue's topic, with the learner's next event; retired, it was off the list after "
        f"{found.gone_s:.1f} s."
    )


def places(shift: TasteShift) -> Table:
    """The places of a list's courses before, after the learner's clicks, after the others', and after fine-tuning."""
    table = Table(
        title=f"Places on the same list while {shift.others} others turned to {shift.subject}, too",
        caption="A list is ranked anew with its learner's next event: they looked at the clicked courses again.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("course")
    columns = [("before", shift.before), (f"{CLICKS} clicks", shift.clicked)]
    if shift.popular is not None:
        columns.append(("others' clicks", shift.popular))
    columns.append(("increment" if shift.published else "same model", shift.tuned))
    for name, _ in columns:
        table.add_column(name, justify="right")
    titles = {course_id: title for _, answer in reversed(columns) for course_id, title in _named(answer)}
    for course_id, title in titles.items():
        table.add_row(title, *(_place(answer, course_id) for _, answer in columns))
    return table


def _place(answer: Answer, course_id: str) -> str:
    return str(answer.course_ids.index(course_id) + 1) if course_id in answer.course_ids else "–"


def of_finetuning(shift: TasteShift) -> str:
    """What the fine-tuner learned and what its gate said, in sentences."""
    if shift.published:
        done = f"published an increment, {shift.tuned.model}"
    else:
        done = f"published nothing: the list is still ranked by {shift.tuned.model}"
    verdicts = "; then ".join(str(each) for each in decisive(shift.verdicts))
    return (
        f"Of the {shift.clicks} clicks of the others and the learner's own, the fine-tuner learned from "
        f"{shift.learned} and {done}. "
        f"Its gate said: {verdicts or 'nothing yet'}."
    )


def summary(change: Change, course: CameAndWent, shift: TasteShift, url: str) -> dict[str, object]:
    """What a program wants to know of the demo."""
    return {
        "before": list(change.before.course_ids),
        "after": list(change.after.course_ids),
        "event_to_answer_ms": round(change.event_to_answer_ms, 3),
        "model": change.after.model,
        "source": change.after.source,
        "new_course": {
            "course_id": course.course.course_id,
            "rank": course.rank,
            "listed_s": round(course.listed_s, 3),
            "gone_s": round(course.gone_s, 3),
        },
        "taste_shift": {
            "subject": shift.subject,
            "others": shift.others,
            "clicks": shift.clicks,
            "learned": shift.learned,
            "published": shift.published,
            "model": shift.tuned.model,
            "verdicts": [f"{each}" for each in shift.verdicts],
            "others_clicks": None if shift.popular is None else list(shift.popular.course_ids),
            "finetuned": list(shift.tuned.course_ids),
        },
        "titles": {
            course_id: title
            for answer in (change.before, change.after, shift.popular, shift.tuned)
            if answer is not None
            for course_id, title in _named(answer)
        },
        "url": url,
    }
