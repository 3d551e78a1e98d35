"""Completed blocks to quarters, in memory and in a file that goes on where it was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.adapters.completions import Completions, FilePlaces, MemoryPlaces, Places
from recsys.errors import InputError


@pytest.fixture(params=["memory", "file"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    if request.param == "memory":
        yield MemoryPlaces()
        return
    kept = FilePlaces(tmp_path / "completions.sqlite3")
    yield kept
    kept.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], FilePlaces]]:
    """Opens the same file again and again."""
    found: list[FilePlaces] = []

    def open_one() -> FilePlaces:
        found.append(FilePlaces(tmp_path / "in" / "completions.sqlite3", wait_s=0.05))
        return found[-1]

    yield open_one
    for each in found:
        each.close()


def shares(completions: Completions, blocks: list[str], *, of: int, user: str = "1", run: str = "r") -> list[float]:
    found = (completions.reached(user, run, block, blocks=of) for block in blocks)
    return [share for share in found if share is not None]


def test_each_quarter_is_told_once_and_again_when_its_block_comes_again(places: Places) -> None:
    completions = Completions({}, places)
    blocks = [f"block-{number}" for number in range(8)]
    assert shares(completions, blocks, of=8) == [0.25, 0.5, 0.75, 1.0]
    assert shares(completions, blocks, of=8) == [0.25, 0.5, 0.75, 1.0]
    assert shares(completions, blocks[:1], of=8) == []
    assert shares(completions, ["one more", "and another"], of=8) == []


def test_learners_and_runs_are_apart(places: Places) -> None:
    completions = Completions({}, places)
    assert shares(completions, ["a"], of=2) == [0.5]
    assert shares(completions, ["a"], of=2, user="2") == [0.5]
    assert shares(completions, ["a"], of=2, run="s") == [0.5]
    assert shares(completions, ["b"], of=2) == [1.0]


def test_a_small_course_passes_several_quarters_at_once(places: Places) -> None:
    assert shares(Completions({}, places), ["a", "b"], of=2) == [0.5, 1.0]
    assert shares(Completions({}, MemoryPlaces()), ["a"], of=1) == [1.0]


def test_a_file_goes_on_where_it_was_saved(opened: Callable[[], FilePlaces]) -> None:
    monday = opened()
    assert shares(Completions({}, monday), ["a"], of=8) == []
    monday.save()
    monday.close()
    tuesday = opened()
    assert shares(Completions({}, tuesday), ["b"], of=8) == [0.25]
    tuesday.close()  # its events were not acknowledged
    again = opened()
    assert shares(Completions({}, again), ["b"], of=8) == [0.25]


def test_no_id_stands_in_the_file(opened: Callable[[], FilePlaces], tmp_path: Path) -> None:
    kept = opened()
    kept.place("learner-4711", "course-v1:O+C+R", "block-v1:planted")
    kept.save()
    kept.close()
    content = b"".join(file.read_bytes() for file in (tmp_path / "in").iterdir())
    assert content
    assert not any(word in content for word in (b"4711", b"course-v1", b"planted"))


def test_two_processes_do_not_number_the_same_blocks(opened: Callable[[], FilePlaces]) -> None:
    opened()
    with pytest.raises(InputError, match="database is locked"):
        opened()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "in" / "completions.sqlite3"
    other.parent.mkdir()
    other.write_bytes(b"no database at all, but long enough to be looked at " * 20)
    with pytest.raises(InputError, match="not a database"):
        FilePlaces(other)
    with pytest.raises(InputError, match="expected a file of completions"):
        FilePlaces(tmp_path / "in")
