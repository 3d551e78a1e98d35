"""A parent in a models folder, the training step of TensorFlow, and trainers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from recsys.model.bundle import Bundle, as_bundle, load_bundle, write_bundle
from recsys.model.increment import Increment
from recsys.record import RecordRules
from stream.finetuning.trainer import Trainer
from tests.unit.stream.finetuning.drawn import LEARNING, hybrid


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def parent_path(models_dir: Path) -> Path:
    return write_bundle(models_dir, hybrid())


@pytest.fixture
def parent(parent_path: Path) -> Bundle:
    return load_bundle(parent_path)


@pytest.fixture
def live_parent() -> Bundle:
    """One that says what its course features are made of."""
    return as_bundle(hybrid(live=True))


@pytest.fixture(scope="session")
def step() -> Callable[[Any, Sequence[Any]], tuple[Any, float]]:
    from recsys.model.increment_training import Examples, IncrementTraining  # noqa: PLC0415 - TensorFlow

    training = IncrementTraining(rates=(0.03, 0.03, 0.002), l2=1e-4, clip=1.0, bound=2.0)
    return lambda state, columns: training.step(state, Examples(*columns))


@pytest.fixture(scope="session")
def start() -> Callable[[Increment], Any]:
    from recsys.model.increment_training import OptimizerState  # noqa: PLC0415 - TensorFlow

    return OptimizerState.at


@pytest.fixture
def new_trainer(tmp_path: Path, models_dir: Path, step: Any, start: Any) -> Callable[..., Trainer]:
    """Makes a trainer in a folder; another one in the same folder is that after a restart."""

    def make(folder: str = "state", *, checkpoint_blocks: int = 4) -> Trainer:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        return Trainer(
            place,
            models_dir,
            LEARNING,
            RecordRules(),
            checkpoint_blocks=checkpoint_blocks,
            step=step,
            start=start,
        )

    return make
