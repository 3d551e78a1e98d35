"""Every table of the fine-tuner has a bound: learners and courses that come without end make none of them grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import tables
from recsys.catalog import Course, encode_course
from recsys.events import Interaction
from recsys.model.bundle import write_bundle
from recsys.record import RecordRules
from stream.finetuning.blocks import Blocks, Ready
from stream.finetuning.catalogue import CatalogueChanges
from stream.finetuning.learners import Learners
from stream.finetuning.new_courses import NewCourseRules
from stream.finetuning.rules import LearningRules
from stream.finetuning.trainer import Trainer
from tests.unit.stream.finetuning.drawn import LEARNING, LINKS, N_COURSES, START_MS, hybrid, records
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

BLOCK, ROUNDS, OF_A_ROUND, LOOK_EVERY = 50, 8, 600, 5
BOUNDED = replace(
    LEARNING,
    learners=40,
    max_courses=12,
    refresh_known=0.0,
    refresh_growth=0.2,
    new_courses=NewCourseRules(rows=3, events=5, learners=3, days=0.01, watched=6, offered=8),
    gate=replace(LEARNING.gate, rejections=10**6),  # a frozen line would fill no table
)


def crowd(number: int) -> list[Interaction]:
    """Learners and courses that nobody knew before, some that come back, merges, erasures, and one with all courses."""
    rng, found, first = np.random.default_rng(number), list[Interaction](), number * OF_A_ROUND
    for event in range(first, first + OF_A_ROUND):
        course = f"n{event // 60}" if rng.random() < 0.4 else f"c{rng.integers(N_COURSES)}"
        user = str(rng.choice(["collector", f"u{event // 5}", f"u{event // 5}", f"u{event}"]))
        kind, into = "click", None
        if event % 30 == 0:
            kind, course, into = "merge", "", str(rng.choice(["collector", f"u{event // 5 - 1}"]))
            user = f"u{event // 5}"
        elif event % 70 == 0:
            kind, course = "erase", ""
        found.append(Interaction(f"e{event}", user, course, kind, START_MS + event * 1000, into=into))  # type: ignore[arg-type] # of both
    return found


def peaks(folder: Path, rules: LearningRules) -> Iterator[Counter[str]]:
    """The largest length of each table in each round."""
    folder.mkdir()
    trainer = Trainer(folder, folder, rules, RecordRules(), checkpoint_blocks=4, step=numpy_step, start=NumpyState.at)
    parent = hybrid(live=True)
    few = replace(parent.settings, neighbours=LINKS)  # as many as it has, so that a refresh makes it no larger
    trainer.follow(write_bundle(folder, replace(parent, settings=few)))
    blocks, ready = Blocks(BLOCK, {}), Ready()
    changes = CatalogueChanges(_nothing, most=rules.new_courses.offered)
    for number in range(ROUNDS):
        first = number * OF_A_ROUND
        ready.add(blocks.add(0, records(crowd(number), first=first)))
        catalogue = [Course(course_id=f"n{each}", title="streaming") for each in range(first // 60, first // 60 + 10)]
        changes.add((b"", encode_course(each), 0) for each in catalogue)
        trainer.offer([(each.course_id, each) for each in catalogue])
        peak = tables([blocks, ready, changes], "reading")
        while (block := ready.take()) is not None:
            trainer.learn(block)
            if block.place.start // BLOCK % LOOK_EVERY == 0:
                peak |= tables(trainer, "trainer")
        if trainer.propose(number).bundle is not None:
            trainer.dropped()
        yield peak


async def _nothing(_changes: Any) -> None:
    return


def grown(folder: Path, rules: LearningRules) -> set[str]:
    """Tables that are larger in the later rounds than they ever were in the earlier ones, by a fifth."""
    found = list(peaks(folder, rules))
    early, late = Counter[str](), Counter[str]()
    for peak in found[1 : ROUNDS // 2]:
        early |= peak
    for peak in found[ROUNDS // 2 :]:
        late |= peak
    return {path for path, count in late.items() if count > 1.2 * early[path]}


def test_no_table_grows_with_new_learners_and_courses(tmp_path: Path) -> None:
    assert grown(tmp_path / "bounded", BOUNDED) == set()


def test_tables_without_their_bounds_would_be_found(tmp_path: Path) -> None:
    new_courses = replace(BOUNDED.new_courses, watched=10**6, offered=10**6)
    found = grown(tmp_path / "unbounded", replace(BOUNDED, learners=10**6, reservoir=10**6, new_courses=new_courses))
    for table in ("learners._known", "_reservoir._examples", "new_courses._watched", "_offered._states"):
        assert any(path.endswith(table) for path in found), table


def test_a_merge_gives_nobody_more_courses_than_are_remembered() -> None:
    learners = Learners(RecordRules(), limit=10, max_courses=3)
    for user, courses in (("a", "123"), ("b", "345")):
        for course in courses:
            learners.apply(Interaction("e", user, course, "click", START_MS))
    folded = learners.apply(Interaction("m", "b", "", "merge", START_MS + 1, into="a"))
    assert [*learners.engagement("a")] == ["1", "2", "3"]
    gone = [change.course for change in folded.changes if not change.now.touch_ms]
    assert gone == ["3", "4", "5"]  # from whom they were
