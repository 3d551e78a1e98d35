"""The archive of Kafka's classes is made once, by one process, and nobody waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.devtools.class_archive import archive_options
from recsys.errors import ServiceUnavailable


class Maker:
    """Counts how often it is asked for an archive, and writes one with some content."""

    def __init__(self, content: bytes | None) -> None:
        self.asked, self._content = 0, content

    def __call__(self, path: Path) -> None:
        self.asked += 1
        if self._content is not None:
            path.write_bytes(self._content)


def test_the_first_to_ask_makes_it_and_all_start_with_it(tmp_path: Path) -> None:
    archive, make = tmp_path / "kafka.jsa", Maker(b"classes")
    options = [archive_options(archive, make) for _ in range(2)]
    assert options == [[f"-XX:SharedArchiveFile={archive}"]] * 2
    assert (make.asked, archive.read_bytes()) == (1, b"classes")


def test_who_asks_while_it_is_made_starts_without_it(tmp_path: Path) -> None:
    archive, second = tmp_path / "kafka.jsa", Maker(b"of the second")
    meanwhile: list[list[str]] = []

    def first(path: Path) -> None:
        meanwhile.append(archive_options(archive, second))
        path.write_bytes(b"classes")

    assert archive_options(archive, first) == [f"-XX:SharedArchiveFile={archive}"]
    assert (meanwhile, second.asked) == ([[]], 0)


def test_a_java_that_writes_none_is_asked_once(tmp_path: Path) -> None:
    make = Maker(None)
    assert [archive_options(tmp_path / "kafka.jsa", make) for _ in range(2)] == [[], []]
    assert make.asked == 1


def test_where_the_broker_does_not_start_it_is_tried_again(tmp_path: Path) -> None:
    def fails(_path: Path) -> None:
        raise ServiceUnavailable("kafka ended")

    archive = tmp_path / "kafka.jsa"
    assert archive_options(archive, fails) == []
    assert archive_options(archive, Maker(b"classes")) == [f"-XX:SharedArchiveFile={archive}"]
    assert {path.name for path in tmp_path.iterdir()} == {"kafka.jsa", "kafka.lock"}


@pytest.mark.parametrize("content", [b"classes", None])
def test_nothing_half_made_is_left(tmp_path: Path, content: bytes | None) -> None:
    archive_options(tmp_path / "kafka.jsa", Maker(content))
    assert {path.name for path in tmp_path.iterdir()} == {"kafka.jsa", "kafka.lock"}
