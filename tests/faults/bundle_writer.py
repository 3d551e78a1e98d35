"""Writes and publishes one model bundle after the other until it is killed: `bundle_writer.py MODELS_DIR REDIS_URL`.

`--once` writes one; `--in-place` writes without the temporary folder and its rename, which is the mutant of T20;
`--file-limit` bounds the size of a file, as a full disk does where none can be mounted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import resource
import sys
import time
from pathlib import Path

from recsys.errors import RecsysError
from recsys.model import bundle
from recsys.model.publications import read_publications
from recsys.model.publishing import publish_bundle
from recsys.model.retention import RECENT_S, delete_unreferenced
from recsys.online_store.redis.store import RedisStore
from tests.faults.serving import draw_draft

KEPT = 3
COURSES = 2000
VECTOR_DIM = 64


def write_in_place(models_dir: Path, draft: bundle.Draft) -> Path:
    """`write_bundle` without the atomic rename: whoever looks sees a folder that is not whole yet."""
    contents = bundle._contents(draft)
    manifest = bundle._manifest(draft, {name: bundle._sha256(value) for name, value in contents.items()})
    contents[bundle.MANIFEST] = bundle._signed(manifest)
    target = models_dir / manifest.version
    target.mkdir(parents=True)
    for name, value in contents.items():
        bundle._write_synced(target / name, value)
    return target


async def write_and_publish(models_dir: Path, store: RedisStore, number: int, *, in_place: bool) -> None:
    now_ms = time.time_ns() // 1_000_000
    draft = draw_draft(number, created_at_ms=now_ms, courses=COURSES, vector_dim=VECTOR_DIM)
    path = (write_in_place if in_place else bundle.write_bundle)(models_dir, draft)
    await publish_bundle(store, path, replacing=await store.model(), at_ms=now_ms, keep=KEPT)
    later_ms = now_ms + int(RECENT_S * 1000) + 1  # as if it came a while after the publish before
    delete_unreferenced(models_dir, read_publications(models_dir), keep=KEPT, now_ms=later_ms)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models_dir", type=Path)
    parser.add_argument("redis_url")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--in-place", action="store_true")
    parser.add_argument("--file-limit", type=int)
    options = parser.parse_args()
    if options.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    store = RedisStore.for_stream(options.redis_url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        for number in itertools.count():
            await write_and_publish(options.models_dir, store, number, in_place=options.in_place)
            if options.once:
                return
    finally:
        await store.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except RecsysError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_status)
