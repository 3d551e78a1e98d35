"""What the catalogue's topic says reaches the training process: once, the newest state, and never without bound."""

from __future__ import annotations

from recsys.catalog import Course, encode_course
from stream.finetuning.catalogue import CatalogueChanges, Changes

Row = tuple[bytes | None, bytes | None, int]


def record(course_id: str, title: str | None, offset: int = 0, *, retired: bool = False) -> Row:
    if title is None:
        return course_id.encode(), None, offset
    return course_id.encode(), encode_course(Course(course_id=course_id, title=title, retired=retired)), offset


class Training:
    """Takes changes."""

    def __init__(self) -> None:
        self.told: list[Changes] = []

    async def offer(self, changes: Changes) -> None:
        self.told.append(changes)


async def test_the_newest_state_of_each_course_is_handed_on_once() -> None:
    training = Training()
    changes = CatalogueChanges(training.offer, most=10)
    changes.add([record("a", "first"), record("b", "one"), record("a", "second"), record("c", None)])
    changes.add([(b"d", b"no course", 4), record("e", "gone", retired=True), record("b", None), record("b", "back")])
    await changes.tell()
    await changes.tell()
    assert training.told == [
        [
            ("a", Course(course_id="a", title="second")),
            ("c", None),
            ("e", None),
            ("b", Course(course_id="b", title="back")),
        ]
    ]
    assert not len(changes)


async def test_a_catalogue_that_is_never_handed_on_keeps_the_last_courses_only() -> None:
    training = Training()
    changes = CatalogueChanges(training.offer, most=10)
    changes.add(record(f"c{number}", "title", number) for number in range(1000))
    assert len(changes) == 10
    await changes.tell()
    assert [course_id for course_id, _ in training.told[0]] == [f"c{number}" for number in range(990, 1000)]
