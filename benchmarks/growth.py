"""An hour of new learners and courses, in minutes: do memory and tables stay where they are?

    python -m benchmarks.growth [--scale 1] [--part finetuner|worker]

At 2,000 events/s, one of ten of a learner whom nobody knows and one course a second that nobody knows: an hour brings
720,000 learners and 3,600 courses. Sent is what is new, and what makes labels of it: each new learner takes a course,
every fifth of them another one. A fine-tuner's trainer learns them; and what a worker does with them without Kafka
(decode, fold, commit on a Redis of its own, merge what courses gained, follow the catalogue) is done in a second
process. Memory and the lengths of tables are looked at ten times an hour.

Exit status 1 where one is larger after the hour than its bound, or than it was after half of it by more than a tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawn import draw_bundle
from benchmarks.fold_commit import OneRecord
from benchmarks.tables import tables
from infra.devtools.local_redis import LocalRedis
from recsys.catalog import Course, encode_course
from recsys.course_sums.activity import Terms, added, untouched
from recsys.events import Interaction, encode
from recsys.keys import KeySpace, Partition, Shard, Topology
from recsys.model.bundle import Bundle, Draft, load_bundle, write_bundle
from recsys.model.course_features import NAMES
from recsys.model.live_catalogue import LiveCatalogue
from recsys.model.live_features import LiveFeatures
from recsys.model.placed_courses import MOST_PLACED
from recsys.model.ranking_lists import CURVATURE
from recsys.model.scorer import Scorer
from recsys.model.signals import SIGNALS
from recsys.model.text import COMPONENTS, TFIDF_FILE, TextModel
from recsys.online_store.redis.store import RedisStore
from recsys.record import RecordRules
from recsys.settings import Settings, load_settings
from stream.engagement.course_activity import ActivityMerge
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.steps import read_state
from stream.engagement.trending import merge_trending
from stream.finetuning.blocks import Block, BlockId, LogRecord
from stream.finetuning.training_process import TrainerRules, make_trainer

LEARNERS, COURSES = 720_000, 3_600
"""New ones of an hour."""

KNOWN = 400
LOOKS = 10
BLOCK, CHUNK = 256, 1000
SHARD, GROUP = Shard(0), "growth"
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SUBJECTS = ("streaming", "painting", "chemistry")
GROWTH = 1.1
MIB = 1024 * 1024


def title_of(number: int) -> str:
    return f"Course {number} about {SUBJECTS[number % len(SUBJECTS)]}"


def parent(folder: Path) -> Path:
    """A published bundle with a text, course features that say what they are made of, and a curvature of its lists."""
    bundle = load_bundle(draw_bundle(folder, courses=KNOWN))
    words = {word: place for place, word in enumerate(SUBJECTS)}
    components = np.eye(len(words), dtype=np.float32)
    once, width = np.ones(KNOWN), len(SIGNALS) + len(NAMES)
    liked_once = Terms(np.arange(KNOWN), once * START_MS, once, once)
    arrays = {
        **bundle.arrays,
        COMPONENTS: components,
        "feature_mean": np.zeros(len(NAMES), np.float32),
        "feature_scale": np.ones(len(NAMES), np.float32),
        "activity": added(untouched(KNOWN), liked_once),
        CURVATURE: np.eye(width, dtype=np.float32),
    }
    return write_bundle(folder, readable(bundle, arrays, TextModel(words, [1.0] * len(words), {}, components)))


def readable(bundle: Bundle, arrays: dict[str, Any], text: TextModel) -> Draft:
    manifest = bundle.manifest
    return Draft(
        parent=None,
        created_at_ms=manifest.created_at_ms + 1,
        data=manifest.data,
        settings=manifest.settings,
        engagement=manifest.engagement,
        metrics={},
        users=bundle.users,
        courses=[Course(course_id=f"c{number}", title=title_of(number)) for number in range(KNOWN)],
        arrays=arrays,
        documents={TFIDF_FILE: text.document()},
    )


def clicks(look: int, scale: float) -> Iterator[Interaction]:
    """The events of one part of the hour, in their order: four of ten are of courses that came in the last minutes."""
    learners, courses = int(LEARNERS * scale) // LOOKS, max(1, int(COURSES * scale) // LOOKS)
    rng = np.random.default_rng(look)
    for number in range(learners):
        newest = look * courses + number * courses // learners
        at_ms = START_MS + int((look + number / learners) * HOUR_MS / LOOKS)
        for again in range(1 + (number % 5 == 0)):
            is_new = rng.random() < 0.4
            course = f"n{max(0, newest - int(rng.integers(60)))}" if is_new else f"c{rng.integers(KNOWN)}"
            yield Interaction(f"e{look}-{number}-{again}", f"u{look}-{number}", course, "click", at_ms + again)


def new_courses(look: int, scale: float) -> list[Course]:
    count = max(1, int(COURSES * scale) // LOOKS)
    return [Course(course_id=f"n{each}", title=title_of(each)) for each in range(look * count, (look + 1) * count)]


def memory_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def of_finetuner(scale: float, folder: Path) -> dict[str, Any]:
    """A trainer with TensorFlow's step and the settings as they are."""
    settings = load_settings(finetune_dir=folder / "state", models_dir=folder / "models")
    (folder / "state").mkdir()
    rules = TrainerRules.of(settings)
    trainer = make_trainer(replace(rules, checkpoint_blocks=64))  # a checkpoint each 8 s, as at 2,000 events/s
    trainer.follow(parent(folder / "models"))
    looks, offset = list[dict[str, Any]](), 0
    for look in range(LOOKS):
        trainer.offer([(course.course_id, course) for course in new_courses(look, scale)])
        held: list[LogRecord] = []
        for event in clicks(look, scale):
            held.append(LogRecord(offset, event.timestamp, event.user_id.encode(), encode(event), ()))
            offset += 1
            if offset % BLOCK == 0:
                trainer.learn(Block(BlockId(0, offset - BLOCK, offset), tuple(held)))
                held = []
        offset += -offset % BLOCK  # the rest of a block is passed over
        looks.append({"memory_mib": round(memory_mib()), **counts(trainer)})
        print(json.dumps(looks[-1]), flush=True)
    learning = rules.learning
    bounds = {
        "learners": learning.learners,
        "reservoir": learning.reservoir,
        "new courses with rows": learning.new_courses.rows,
        "courses watched": learning.new_courses.watched,
        "courses offered": learning.new_courses.offered,
        "frequencies": KNOWN + learning.new_courses.rows,
        "moments": 2 * learning.held + learning.sample,
    }
    return {"events": offset, "bounds": bounds, "looks": looks}


def counts(trainer: Any) -> dict[str, int]:
    """Of the tables that could grow, and of everything together."""
    found = tables(trainer, "trainer")

    def of(*endings: str) -> int:
        return sum(count for path, count in found.items() if path.endswith(endings))

    return {
        "learners": of("learners._known"),
        "reservoir": of("_reservoir._examples"),
        "new courses with rows": of("_new_courses.admitted"),
        "courses watched": of("_new_courses._watched"),
        "courses offered": of("_offered._states"),
        "frequencies": of("_frequencies.counts"),
        "moments": of(".held", "evidence._sample"),
        "everything": sum(found.values()),
    }


async def of_worker(scale: float, folder: Path) -> dict[str, Any]:
    """What a worker does with the same events, without Kafka."""
    scorer, catalogue, looks, offset = Scorer.load(parent(folder)), LiveCatalogue(), list[dict[str, Any]](), 0
    with LocalRedis() as server:
        store = RedisStore.for_stream(server.url)
        merge = ActivityMerge(store, [SHARD], GROUP, KeySpace())
        features = LiveFeatures[Scorer](store.all_activity, clock=time.monotonic, now_ms=lambda: START_MS, every_s=0)
        for look in range(LOOKS):
            catalogue.add((each.course_id.encode(), encode_course(each), 0) for each in new_courses(look, scale))
            model = catalogue.of(scorer)
            offset = await committed(store, [encode(each) for each in clicks(look, scale)], offset)
            await merge_trending(store, [SHARD], size=100, now_ms=START_MS, catalogue=model.catalogue)
            await merge.merge(model.catalogue, START_MS)
            await features.follow()
            live = features.of(model)
            live.rank("nobody", {"c1": RecordRules().decay.stored(5.0, START_MS)}, at_ms=START_MS, n=10)
            held = {"catalogue": catalogue, "features": features, "merge": merge, "model": live}
            found = tables(held, "worker")
            looks.append(
                {
                    "memory_mib": round(memory_mib()),
                    "courses of the catalogue": found["worker[]._catalogue.courses"],
                    "courses of the model": len(live.course_ids),
                    "everything": sum(found.values()),
                }
            )
            print(json.dumps(looks[-1]), flush=True)
        await store.close()
    bounds = {"courses of the catalogue": int(COURSES * scale), "courses of the model": KNOWN + MOST_PLACED}
    return {"events": offset, "bounds": bounds, "looks": looks}


async def committed(store: RedisStore, values: Sequence[bytes], offset: int) -> int:
    """Folds and commits events in chunks; returns the offset after them."""
    rules = FoldRules.of(Settings(), Topology(1))
    for start in range(0, len(values), CHUNK):
        held = [OneRecord(offset + n, each, b"", START_MS) for n, each in enumerate(values[start : start + CHUNK])]
        batch = decode_records(held, Partition(0), rules)
        state = await read_state(store, SHARD, GROUP, batch, rules)
        fence, last = offset - 1 if offset else None, offset + len(held) - 1
        if state is None or not await store.commit(SHARD, GROUP, fence, last, fold(batch, state, rules)):
            raise SystemExit("the fence moved: something else writes to this Redis")
        offset = last + 1
    return offset


def problems(found: dict[str, Any]) -> list[str]:
    """What is larger than it may be after the hour."""
    half, end = found["looks"][LOOKS // 2 - 1], found["looks"][-1]
    over = [f"{name}: {end[name]}, at most {bound}" for name, bound in found["bounds"].items() if end[name] > bound]
    grown = [name for name in ("memory_mib", "everything") if end[name] > GROWTH * half[name]]
    return over + [f"{name}: {half[name]} after half of the hour, {end[name]} after it" for name in grown]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of an hour, at least .3: tables must have filled by half"
    )
    parser.add_argument("--part", choices=("finetuner", "worker"), help="one of them, in this process")
    options = parser.parse_args()
    if options.part is None:  # each in a process of its own, whose memory it is
        again = [sys.executable, "-m", "benchmarks.growth", "--scale", str(options.scale), "--part"]
        ended = [subprocess.run([*again, part], check=False).returncode for part in ("finetuner", "worker")]
        sys.exit(max(ended))
    with tempfile.TemporaryDirectory() as name:
        if options.part == "finetuner":
            found = of_finetuner(options.scale, Path(name))
        else:
            found = asyncio.run(of_worker(options.scale, Path(name)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    found |= {"part": options.part, "peak_mib": used.ru_maxrss // 1024, "cpu_s": round(used.ru_utime + used.ru_stime)}
    found["problems"] = problems(found)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
