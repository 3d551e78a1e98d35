"""The order in which blocks were learned since the last checkpoint, written down before each is learned.

Which partition's block is whole first differs from run to run. With this file a restart repeats the order of before, so
its weights are those of a run that nothing disturbed.
"""

from __future__ import annotations

import os
from pathlib import Path

from recsys.process.atomic import write_atomically
from stream.finetuning.blocks import BlockId

FILE = "order.log"
_FIELDS = 3


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

    def append(self, place: BlockId) -> None:
        """Writes a block down; it is on the disk when this returns."""
        with self._file.open("ab") as handle:
            handle.write(f"{place.partition} {place.start} {place.stop}\n".encode())
            handle.flush()
            os.fsync(handle.fileno())

    def since(self, checkpoint: int) -> list[BlockId]:
        """The blocks begun after the checkpoint of this number; a last line that a crash tore is none."""
        try:
            lines = self._file.read_bytes().decode("ascii", "replace").split("\n")[:-1]
        except FileNotFoundError:
            return []
        if not lines or lines[0] != f"checkpoint {checkpoint}":
            return []  # of an earlier checkpoint: the process ended between the checkpoint and `begin`
        found = [line.split() for line in lines[1:]]
        return [BlockId(*map(int, fields)) for fields in found if len(fields) == _FIELDS]
