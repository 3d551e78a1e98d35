"""Which tests one process takes together, where `pytest -n` starts several.

A file's tests share what its fixtures make. Those that train also share TensorFlow, which takes a process some ten
seconds to import, and the model that `tests/unit/batch/conftest.py` trains: all of them are one process's.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

TRAINING = (
    "tests/unit/batch/test_",
    "tests/unit/batch/evaluation/",
    "tests/unit/batch/ranking/",
    "tests/unit/docs/",
)


def together(test: str) -> str:
    """What a test is run with: its file, or everything that trains."""
    return "training" if test.startswith(TRAINING) else test.partition("::")[0]


class Distribution(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """Hands the tests out in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)
