"""One policy for every process that uses the model: it follows what was published and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.errors import BundleError, ServiceUnavailable, UnreadableState
from recsys.model.follower import ModelFollower
from recsys.model.publications import Publications, write_publications
from recsys.online_store import ModelPointer

AWAY = ServiceUnavailable("no answer from Redis")
CORRUPT = UnreadableState("model:current", "is no model pointer", remedy="`recsys models rollback VERSION`")


@dataclass(frozen=True)
class Loaded:
    version: str
    folder: Path


class Place:
    """A models folder with bundles that hold nothing but their version, a pointer, and one process that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models_dir = folder / "models"
        self.pointer: ModelPointer | Exception | None = None
        self.restored: list[ModelPointer] = []
        self.outcomes: Counter[str] = Counter()
        self.attempts: list[float] = []
        self.now = 0.0
        self.process = self.started()

    def started(
        self,
        *,
        restores: bool = False,
        listed: Callable[[Loaded], Loaded] = lambda model: model,
        prepare: Callable[[Loaded], None] = lambda _model: None,
    ) -> ModelFollower[Loaded]:
        """A process that begins to follow."""
        self.process = ModelFollower(
            self.read,
            self.load,
            self.models_dir,
            count=lambda outcome: self.outcomes.update([outcome]),
            remember_in=self.folder / "state" / "model.json",
            restore=self.restore if restores else None,
            listed=listed,
            prepare=prepare,
            clock=lambda: self.now,
        )
        return self.process

    async def read(self) -> ModelPointer | None:
        if isinstance(self.pointer, Exception):
            raise self.pointer
        return self.pointer

    async def restore(self, pointer: ModelPointer) -> None:
        self.restored.append(pointer)

    def load(self, folder: Path) -> Loaded:
        self.attempts.append(self.now)
        version = (folder / "version").read_text()
        if version == "broken":
            raise BundleError(f"{folder} does not verify")
        return Loaded(version, folder)

    def write(self, version: str, *, holds: str | None = None, models_dir: Path | None = None) -> Path:
        folder = (models_dir or self.models_dir) / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "version").write_text(version if holds is None else holds)
        return folder

    def publish(self, version: str, at_ms: int, *, path: Path | None = None, noted: bool = True) -> ModelPointer:
        pointer = ModelPointer(version, str(path or self.models_dir / version), at_ms)
        self.pointer = pointer
        if noted:
            self.note(pointer)
        return pointer

    def note(self, *pointers: ModelPointer) -> None:
        self.models_dir.mkdir(parents=True, exist_ok=True)
        write_publications(self.models_dir, Publications(pointers))

    @property
    def version(self) -> str | None:
        return None if self.process.current is None else self.process.current.version

    async def version_at(self, second: float) -> str | None:
        self.now = second
        await self.process.follow()
        return self.version


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_the_published_bundle_is_loaded_once_and_the_next_one_takes_over(place: Place) -> None:
    place.write("v1")
    place.publish("v1", 1)
    assert await place.process.follow()
    assert not await place.process.follow()
    place.write("v2")
    place.publish("v2", 2)
    assert await place.process.follow()
    assert (place.version, place.outcomes) == ("v2", {"loaded": 2})
    assert place.process.up_to_date


async def test_a_rollback_takes_over_too(place: Place) -> None:
    for at_ms, version in ((1, "v1"), (2, "v2"), (3, "v1")):
        place.write(version)
        place.publish(version, at_ms)
        await place.process.follow()
    assert place.version == "v1"


async def test_a_volume_that_is_mounted_late_is_found_at_the_next_look(place: Place) -> None:
    place.publish("v1", 1, path=Path("/publisher/models/v1"), noted=False)
    for second in range(100):
        assert await place.version_at(second) is None
    place.write("v1")
    assert await place.version_at(100) == "v1"


async def test_a_bundle_that_does_not_load_is_tried_again_after_growing_pauses(place: Place) -> None:
    place.write("v1", holds="broken")
    place.publish("v1", 1)
    for second in range(40):
        await place.version_at(second)
    assert place.attempts == [0, 1, 3, 7, 15, 31]
    place.write("v1")
    assert [await place.version_at(second) for second in (62, 63)] == [None, "v1"]


async def test_the_pauses_end_at_a_minute_and_another_version_is_tried_at_once(place: Place) -> None:
    place.write("v1", holds="broken")
    place.publish("v1", 1)
    for second in range(400):
        await place.version_at(second)
    assert place.attempts[-2:] == [303.0, 363.0]
    place.write("v2")
    place.publish("v2", 2)
    assert await place.version_at(400) == "v2"


async def test_a_broken_folder_at_the_publishers_path_gives_way_to_our_own(place: Place) -> None:
    elsewhere = place.write("v1", holds="broken", models_dir=place.folder / "elsewhere")
    place.write("v1")
    place.publish("v1", 1, path=elsewhere)
    await place.process.follow()
    assert place.process.current is not None
    assert place.process.current.folder == place.models_dir / "v1"


async def test_so_does_one_at_which_the_loader_raises_what_nobody_foresaw(place: Place) -> None:
    elsewhere = place.write("v1", models_dir=place.folder / "elsewhere")
    elsewhere.joinpath("version").write_bytes(b"\xff")
    place.write("v1")
    place.publish("v1", 1, path=elsewhere)
    await place.process.follow()
    assert place.version == "v1"


async def test_a_publishers_path_that_cannot_be_looked_at_here_gives_way_to_our_own(place: Place) -> None:
    """As a folder of another user's: the question whether it is there fails."""
    place.publish("v1", 1, path=Path("/", "x" * 300, "v1"))
    await place.process.follow()
    assert place.version is None
    place.write("v1")
    await place.process.follow()
    assert place.version == "v1"


async def test_a_failed_load_keeps_the_model_in_use_and_says_that_it_is_not_the_published_one(place: Place) -> None:
    place.write("v1")
    place.publish("v1", 1)
    await place.process.follow()
    place.write("v2", holds="broken")
    place.publish("v2", 2)
    await place.process.follow()
    assert (place.version, place.outcomes["failed"]) == ("v1", 1)
    assert not place.process.up_to_date


async def test_a_failed_load_takes_no_model_back_to_what_this_folder_has_noted(place: Place) -> None:
    """The publisher's folder is another one; in ours is an old note."""
    place.write("v1")
    place.publish("v1", 1)
    place.write("v2")
    place.publish("v2", 2, noted=False)
    await place.process.follow()
    place.write("v3", holds="broken")
    place.publish("v3", 3, noted=False)
    await place.process.follow()
    assert (place.version, place.outcomes) == ("v2", {"loaded": 1, "failed": 1})


async def test_whatever_the_loader_raises_the_process_goes_on(place: Place) -> None:
    place.write("v1").joinpath("version").write_bytes(b"\xff")
    place.publish("v1", 1)
    await place.process.follow()
    assert (place.version, place.outcomes) == (None, {"failed": 1})


async def test_a_bundle_of_another_version_is_refused(place: Place) -> None:
    place.write("v1", holds="v0")
    place.publish("v1", 1)
    await place.process.follow()
    assert (place.version, place.outcomes) == (None, {"failed": 1})


async def test_a_version_that_leads_out_of_the_folder_loads_nothing(place: Place) -> None:
    shutil.move(place.write("v1"), place.folder / "v1")
    place.publish("../v1", 1, path=Path("/elsewhere"))
    await place.process.follow()
    assert place.version is None


@pytest.mark.parametrize("unknown", [AWAY, None, CORRUPT], ids=["redis away", "pointer lost", "pointer corrupt"])
async def test_a_bundle_that_was_never_published_is_never_loaded(place: Place, unknown: Exception | None) -> None:
    """As `recsys retrain --no-publish` leaves it: the newest folder, and no business of anybody's."""
    place.write("v1")
    place.publish("v1", 1)
    place.write("v9")
    place.pointer = unknown
    await place.started().follow()
    assert place.version == "v1"
    (place.models_dir / "published.json").unlink()
    await place.started().follow()
    assert place.version is None


async def test_a_start_without_redis_knows_the_pointer_it_read_last(place: Place) -> None:
    place.write("v1")
    place.write("v2")
    place.publish("v1", 1)
    place.publish("v2", 2, noted=False)  # as a publisher of the release before, which leaves no note
    await place.process.follow()
    place.pointer = AWAY
    await place.started().follow()
    assert place.version == "v2"


async def test_a_note_that_is_newer_than_what_was_read_counts(place: Place) -> None:
    for version in ("v1", "v2"):
        place.write(version)
    place.publish("v2", 2)
    await place.process.follow()
    place.publish("v1", 3)  # a rollback while this process cannot reach Redis
    place.pointer = AWAY
    await place.process.follow()
    assert place.version == "v1"


@pytest.mark.parametrize("lost", [AWAY, CORRUPT, None])
async def test_the_model_in_use_stays_while_the_pointer_cannot_be_read(place: Place, lost: Exception | None) -> None:
    place.write("v1")
    place.publish("v1", 1, noted=False)
    await place.process.follow()
    place.pointer = lost
    for second in range(5):
        assert await place.version_at(second) == "v1"
    assert place.process.up_to_date
    assert place.outcomes["pointer_unreadable"] == (1 if lost is CORRUPT else 0)


async def test_without_any_model_the_publication_before_is_better_than_none(place: Place) -> None:
    before = ModelPointer("v1", "/publisher/v1", 1)
    place.write("v1")
    place.write("v2", holds="broken")
    place.write("v9")
    place.note(place.publish("v2", 2), before)
    await place.process.follow()
    assert place.version == "v1"
    assert not place.process.up_to_date
    place.write("v2")
    assert await place.version_at(1) == "v2"


async def test_a_pointer_that_redis_lost_is_written_again_by_who_may(place: Place) -> None:
    place.write("v1")
    pointer = place.publish("v1", 1)
    await place.started(restores=True).follow()
    assert place.restored == []
    place.pointer = None
    await place.process.follow()
    assert place.restored == [pointer]
    await place.started(restores=True).follow()  # a restarted worker knows it from the note
    assert place.restored == [pointer, pointer]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"published":[{"version":1}]}', b"[]"])
async def test_a_note_that_cannot_be_read_is_named_and_ends_nothing(place: Place, content: bytes) -> None:
    place.models_dir.mkdir()
    (place.models_dir / "published.json").write_bytes(content)
    place.pointer = AWAY
    for second in range(3):
        assert await place.version_at(second) is None
    assert place.outcomes == {"publications_unreadable": 1}


async def test_a_state_folder_that_cannot_be_written_costs_only_the_memory(place: Place) -> None:
    (place.folder / "state").write_text("a file, not a folder")
    place.write("v1")
    place.publish("v1", 1)
    await place.process.follow()
    assert place.version == "v1"


async def test_a_catalogue_that_changed_is_taken_over_and_one_that_fails_leaves_the_model_as_published(
    place: Place,
) -> None:
    catalogue = ["first"]

    def listed(model: Loaded) -> Loaded:
        if catalogue[-1] == "bad":
            raise ValueError("no place for it")
        return Loaded(model.version, Path(catalogue[-1]))

    place.write("v1")
    place.publish("v1", 1)
    process = place.started(listed=listed)
    await process.list_anew()  # before there is a model
    assert await process.follow()
    assert process.current == Loaded("v1", Path("first"))
    assert process.up_to_date
    catalogue.append("second")
    assert not await process.follow()
    await process.list_anew()
    assert process.current == Loaded("v1", Path("second"))
    catalogue.append("bad")
    await process.list_anew()
    assert process.current == Loaded("v1", place.models_dir / "v1")


async def test_an_earlier_catalogue_never_replaces_a_later_one_however_long_it_takes(place: Place) -> None:
    catalogue, begun, goes_on = "published", threading.Event(), threading.Event()

    def listed(model: Loaded) -> Loaded:
        taken = catalogue
        if taken == "earlier":
            begun.set()
            goes_on.wait(10)
        return Loaded(model.version, Path(taken))

    place.write("v1")
    place.publish("v1", 1)
    process = place.started(listed=listed)
    await process.follow()
    catalogue = "earlier"
    earlier = asyncio.create_task(process.list_anew())
    assert await asyncio.to_thread(begun.wait, 10)
    catalogue = "later"
    later = asyncio.create_task(process.list_anew())
    await asyncio.wait({later}, timeout=0.2)
    goes_on.set()
    await asyncio.gather(earlier, later)
    assert process.current == Loaded("v1", Path("later"))


async def test_a_model_is_in_use_before_it_is_prepared_and_stays_where_that_fails(place: Place) -> None:
    begun, goes_on, prepared = threading.Event(), threading.Event(), list[str]()

    def prepare(model: Loaded) -> None:
        begun.set()
        goes_on.wait(10)
        prepared.append(model.version)
        raise ValueError("no text")

    place.write("v1")
    place.publish("v1", 1)
    process = place.started(prepare=prepare)
    assert await process.follow()
    assert process.current is not None
    assert await asyncio.to_thread(begun.wait, 10)
    assert await asyncio.wait_for(process.follow(), 10) is False
    assert not prepared
    goes_on.set()
    await asyncio.wait_for(process.prepared(), 10)
    assert prepared == ["v1"]
    assert process.current.version == "v1"
