"""What the state costs in Redis: bytes a pair of learner and course, a learner with 20 courses, and in all.

    python -m benchmarks.state_memory [--before REF] [--events 1000000] [--json OUT]

Each data set is folded into an empty Redis as a worker folds it (`state_fold.py`), by this code and, with `--before`,
by that of another commit: `git archive REF` into a folder, which then comes first on PYTHONPATH, with the same
interpreter and libraries. All events arrive on one day, as in a replay, so a release that remembers event ids
remembers all of them. Read from outside: what Redis says it uses (`used_memory`, before and after) and MEMORY USAGE
of every key, by its kind. Data sets: Online Retail from RECSYS_DATA_DIR (default ../shared/data; left out where it is
not at hand), events of 6,000 simulated learners, and 2,000 made learners of 20 courses each.

The status is 1 if a budget is exceeded: on average 64 bytes of packed value a pair, and 1,536 bytes of keys a learner
of 20 courses.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import redis

from infra.devtools.local_redis import LocalRedis

HERE = Path(__file__).parent
DAY_MS = 86_400_000
NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, where simulations end
LEARNERS, COURSES_A_LEARNER = 2_000, 20
SIMULATED_LEARNERS = 6_000
EVENTS_A_LEARNER_AND_DAY = 0.58
"""Of `recsys simulate`, all learners and days taken together."""

PAIR_BUDGET, LEARNER_BUDGET = 64, 1_536
TWENTY = "20 courses each"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one data set takes.

    Attributes:
        data: Its name.
        code: The commit; "this" for the working tree.
        events: Records folded, by outcome.
        pairs: Pairs of learner and course.
        value_bytes: Mean length of the packed value of a pair.
        pair_bytes: Mean share of a pair in its learner's hash, name and overhead included.
        learner_bytes: Mean of all keys of a learner.
        kinds: Kind of key → bytes of all of them.
        total_mib: What Redis uses for all.
    """

    data: str
    code: str
    events: dict[str, int]
    pairs: int
    value_bytes: float
    pair_bytes: float
    learner_bytes: float
    kinds: dict[str, int]
    total_mib: float


def made_learners(seed: int = 1) -> pd.DataFrame:
    """Learners of 20 courses each, each course seen on one or two days and clicked, some of them taken up."""
    rng = random.Random(seed)

    def events() -> Iterator[tuple[str, str, str, int, float | None]]:
        for learner in range(LEARNERS):
            for course in rng.sample(range(400), COURSES_A_LEARNER):
                at = NOW_MS - rng.randrange(365 * DAY_MS)
                pair = f"learner-{learner:06d}", f"OrgX+CS{course:03d}"
                for day in range(rng.choice((1, 1, 1, 2))):
                    yield *pair, "view", at - day * DAY_MS, None
                yield *pair, "click", at, None
                for kind, share in (("enroll", 0.2), ("progress", 0.4), ("complete", 0.1), ("rate", 0.1)):
                    if rng.random() < share:
                        value = {"progress": rng.random(), "rate": float(rng.randint(1, 5))}.get(kind)
                        yield *pair, kind, min(NOW_MS, at + rng.randrange(30 * DAY_MS)), value

    made = pd.DataFrame(list(events()), columns=["user_id", "course_id", "type", "timestamp", "value"])
    return made.assign(event_id=[f"e{number}" for number in range(len(made))]).sort_values("timestamp")


def data_sets(folder: Path, events: int) -> dict[str, Path]:
    """Name → file of events in the neutral form."""
    files = {}
    retail = Path(os.environ.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / "online_retail"
    if retail.is_dir():
        _recsys("import", "online-retail", "--source", str(retail), "--out", str(folder / "retail"))
        files["Online Retail"] = folder / "retail" / "interactions.parquet"
    days = max(1, round(events / (SIMULATED_LEARNERS * EVENTS_A_LEARNER_AND_DAY)))
    size = ("--learners", str(SIMULATED_LEARNERS), "--courses", "1000", "--days", str(days))
    _recsys("simulate", *size, "--out", str(folder / "simulated"))
    files[f"{SIMULATED_LEARNERS:,} simulated learners"] = folder / "simulated" / "interactions.parquet"
    files[TWENTY] = folder / "twenty.parquet"
    made_learners().to_parquet(files[TWENTY], index=False)
    return files


def _recsys(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "recsys.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def measure(data: str, events: Path, code: str, path: Path) -> Figures:
    """Folds the file by the code in `path` and looks at what it left in Redis."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}
    with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
        client.ping()
        before = client.info("memory")["used_memory"]
        command = [sys.executable, str(HERE / "state_fold.py"), str(events), server.url]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        client.script_flush()
        total = client.info("memory")["used_memory"] - before
        kinds, learners, pairs, value_bytes = Counter[str](), set[str](), 0, 0
        for kind, owner, key, size in _keys(client):
            kinds[kind] += size
            if kind == "eng":
                learners.add(owner)
                values: Any = client.hvals(key)
                pairs, value_bytes = pairs + len(values), value_bytes + sum(map(len, values))
    of_learners = kinds["eng"] + kinds["done"] + kinds["bot"]
    return Figures(
        data,
        code,
        json.loads(done.stdout.splitlines()[-1]),
        pairs,
        round(value_bytes / pairs, 1),
        round(kinds["eng"] / pairs, 1),
        round(of_learners / len(learners), 1),
        dict(kinds.most_common()),
        round(total / 2**20, 2),
    )


def _keys(client: redis.Redis) -> Iterator[tuple[str, str, bytes, int]]:
    """Kind, owner, key and bytes of every key of a shard."""
    for part in _parts(client.scan_iter(count=5000), 1000):
        pipeline: Any = client.pipeline(transaction=False)
        for key in part:
            pipeline.memory_usage(key, samples=0)
        for key, size in zip(part, pipeline.execute(), strict=True):
            kind, _, owner = key.decode().partition("}:")[2].partition(":")
            yield kind, owner, key, size


def _parts(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    for key in keys:
        part.append(key)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def unpacked(ref: str, folder: Path) -> Path:
    """The code of another commit, in a folder."""
    top, path = HERE.parent, folder / ref
    path.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=top, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(path)], input=archive, check=True)
    return path


def exceeded(figures: Figures) -> list[str]:
    """A line for each budget that the figures exceed."""
    lines = []
    if figures.value_bytes > PAIR_BUDGET:
        lines.append(f"{figures.data}: expected at most {PAIR_BUDGET} bytes a pair, received {figures.value_bytes}")
    if figures.data == TWENTY and figures.learner_bytes > LEARNER_BUDGET:
        lines.append(
            f"{figures.data}: expected at most {LEARNER_BUDGET} bytes a learner, received {figures.learner_bytes}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="REF", help="a commit to measure as well, such as 31e9a26")
    parser.add_argument("--events", type=int, default=1_000_000, help="simulated events, about")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: list[Figures] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        codes = {"this": HERE.parent}
        if arguments.before:
            codes = {arguments.before: unpacked(arguments.before, folder), **codes}
        for data, events in data_sets(folder, arguments.events).items():
            for code, path in codes.items():
                found.append(measure(data, events, code, path))
                print(line(found[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    problems = [problem for each in found if each.code == "this" for problem in exceeded(each)]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))


def line(figures: Figures) -> str:
    kinds = ", ".join(f"{kind} {size / 2**20:.2f}" for kind, size in figures.kinds.items() if size > 2**14)
    return (
        f"{figures.data} ({figures.code}): {sum(figures.events.values()):,} events, {figures.pairs:,} pairs; "
        f"{figures.value_bytes} bytes of value and {figures.pair_bytes} of Redis a pair, "
        f"{figures.learner_bytes:,} a learner; "
        f"{figures.total_mib} MiB in all ({kinds})"
    )


if __name__ == "__main__":
    main()
