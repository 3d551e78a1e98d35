"""Which tests one process takes together, where `pytest -n` starts several.

A file's tests share what its fixtures make. Those that train also share TensorFlow, which takes a process some ten
seconds to import, and the model that `tests/unit/batch/conftest.py` trains: all of them are one process's.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

TRAINING = (
    "tests/unit/benchmarks/test_towers.py",
    "tests/unit/batch/test_",
    "tests/unit/batch/evaluation/",
    "tests/unit/batch/ranking/",
    "tests/unit/recsys/model/test_adam.py",
    "tests/unit/recsys/model/test_increment_training.py",
    "tests/unit/recsys/model/test_tower_training.py",
    "tests/unit/stream/finetuning/test_learning.py",
    "tests/unit/stream/finetuning/test_matrices.py",
    "tests/unit/stream/finetuning/test_shadow.py",
    "tests/unit/stream/finetuning/test_trainer.py",
    "tests/integration/test_comparisons.py",
    "tests/integration/test_notebook.py",
    "tests/integration/test_towers.py",
)


ALL_THAT_TRAINS = "training"


def together(test: str) -> str:
    """What a test is run with: its file, or everything that trains."""
    return ALL_THAT_TRAINS if test.startswith(TRAINING) else test.partition("::")[0]


def is_begun_later(test: str) -> bool:
    """Whether a test is no part of what takes one process longest, and so is begun first."""
    return together(test) != ALL_THAT_TRAINS


class Distribution(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """Hands the tests out in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)
