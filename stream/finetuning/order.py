"""The order in which blocks were learned since the last checkpoint, written down before each is learned.

Which partition's block is whole first differs from run to run, and so does after which block a verdict decided from the
evidence or an increment was published. With this file a restart repeats all of it, so its weights and its evidence are
those of a run that nothing disturbed.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from recsys.process.atomic import write_atomically
from stream.finetuning.blocks import BlockId

FILE = "order.log"
_FIELDS = 3


class Mark(StrEnum):
    """What a verdict did between two blocks."""

    DECIDED = "decided"
    """From the evidence; none of it is left."""
    PUBLISHED = "published"
    """What was proposed is."""


class BlockOrder:
    """The file.

    Args:
        folder: The fine-tuner's.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def begin(self, checkpoint: int) -> None:
        """Empties it: the checkpoint of this number holds everything learned so far."""
        write_atomically(self._file, f"checkpoint {checkpoint}\n".encode())

    def go_on(self, checkpoint: int) -> None:
        """Makes it fit for more after a restart from the checkpoint of this number.

        A crash may have left the file of the checkpoint before, or a torn line, of which the next would be a part.
        """
        lines = self._read()
        if not _is_of(lines, checkpoint):
            self.begin(checkpoint)
        elif not self._file.read_bytes().endswith(b"\n"):
            write_atomically(self._file, "".join(f"{line}\n" for line in lines).encode())

    def append(self, place: BlockId) -> None:
        """Writes a block down; it is on the disk when this returns."""
        self._write(f"{place.partition} {place.start} {place.stop}")

    def mark(self, mark: Mark) -> None:
        """Writes down what a verdict did after the blocks until now."""
        self._write(mark)

    def _write(self, line: str) -> None:
        with self._file.open("ab") as handle:
            handle.write(f"{line}\n".encode())
            handle.flush()
            os.fsync(handle.fileno())

    def since(self, checkpoint: int) -> list[BlockId]:
        """The blocks begun after the checkpoint of this number; a last line that a crash tore is none."""
        return [BlockId(*map(int, fields)) for fields in self._lines(checkpoint) if len(fields) == _FIELDS]

    def marks_after(self, checkpoint: int, blocks: int) -> list[Mark]:
        """What verdicts did when so many blocks had been begun after a checkpoint."""
        begun, found = 0, list[Mark]()
        for fields in self._lines(checkpoint):
            if begun == blocks and fields[0] in set(Mark):
                found.append(Mark(fields[0]))
            begun += len(fields) == _FIELDS
        return found

    def _lines(self, checkpoint: int) -> list[list[str]]:
        lines = self._read()
        return [line.split() for line in lines[1:] if line.strip()] if _is_of(lines, checkpoint) else []

    def _read(self) -> list[str]:
        try:
            return self._file.read_bytes().decode("ascii", "replace").split("\n")[:-1]
        except FileNotFoundError:
            return []


def _is_of(lines: list[str], checkpoint: int) -> bool:
    return lines[:1] == [f"checkpoint {checkpoint}"]
