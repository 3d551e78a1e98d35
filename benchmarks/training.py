"""Wall time, CPU and peak memory of `recsys retrain`, and samples a second of the towers beside Keras `fit`.

Each retrain is a process of its own, as an operator starts it, with an evaluation, the bundle and the report in it.
Histories are simulated, or given as folders of `recsys import`: `--folder DIR`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

EVENTS_A_LEARNER = 50
EXAMPLES = 4096
FIT_EXAMPLES = 512


class Cost(NamedTuple):
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    status: int


def main() -> None:
    """Prints a table of retrains, then one of the towers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="simulated events, about")
    parser.add_argument("--courses", type=int, nargs="*", default=[3000, 8000], help="sizes of simulated catalogues")
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="of interactions.parquet and courses.parquet"
    )
    parser.add_argument("--no-towers", action="store_true", help="leave the comparison with Keras `fit` out")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}; limits: 180 s, 2,048 MiB for a million events")
    print("| history | wall s | CPU s | peak MiB | status |\n|---|---|---|---|---|")
    for folder in options.folder:
        print(_row(folder.name, retrain(folder)), flush=True)
    for courses in options.courses:
        with tempfile.TemporaryDirectory() as name:
            events = simulate(Path(name), events=options.events, courses=courses)
            print(_row(f"{events:,} simulated events, {courses:,} courses", retrain(Path(name))), flush=True)
    if not options.no_towers:
        for courses in options.courses:
            mine, fit = towers(courses)
            print(
                f"towers, {courses:,} courses: {mine:,.0f} samples/s, Keras fit {fit:,.0f}: {mine / fit:.1f} x",
                flush=True,
            )


def retrain(folder: Path) -> Cost:
    """`recsys retrain --no-publish` on the files of a folder."""
    with tempfile.TemporaryDirectory() as out:
        files = ["--interactions", str(folder / "interactions.parquet"), "--courses", str(folder / "courses.parquet")]
        command = [sys.executable, "-m", "recsys.cli", "retrain", "--no-publish", "--json", *files]
        environment = {**os.environ, "RECSYS_MODELS_DIR": f"{out}/models", "RECSYS_REPORTS_DIR": f"{out}/reports"}
        began = time.monotonic()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return Cost(time.monotonic() - began, cpu, usage.ru_maxrss / 1024, child.returncode)


def simulate(folder: Path, *, events: int, courses: int) -> int:
    """Writes a simulated history and returns how many events it has."""
    from batch.datasets.simulator import simulate as simulated  # noqa: PLC0415 - not needed for --folder
    from recsys.files import write_courses, write_interactions  # noqa: PLC0415 - as above

    found = simulated(learners=max(1, events // EVENTS_A_LEARNER), courses=courses, days=90, seed=0)
    write_interactions(found.interactions, folder / "interactions.parquet")
    write_courses(found.courses, folder / "courses.parquet")
    return len(found.interactions)


def towers(courses: int) -> tuple[float, float]:
    """Samples a second of our training step and of Keras `fit` with its defaults, on one network and drawn examples."""
    import keras  # noqa: PLC0415 - ten seconds

    from recsys.model.hyperparameters import HyperParameters  # noqa: PLC0415 - as above
    from recsys.model.towers import HybridTowers  # noqa: PLC0415 - as above
    from recsys.model.training import TowerTraining  # noqa: PLC0415 - as above

    settings = HyperParameters(epochs=1)
    drawn = _drawn_inputs(courses, settings.history_length, settings.text_dim)
    network = HybridTowers(settings, n_users=EXAMPLES, features=drawn.features)
    ticks: list[float] = []
    training = TowerTraining(network, settings)
    training.run(drawn.inputs, epochs=1, progress=lambda _done, _total: ticks.append(time.monotonic()))
    steps = np.diff(ticks[2:])  # the first ones compile
    mine = min(settings.batch_size, EXAMPLES // 40) / float(np.median(steps))

    model = _fit_model(network)
    some = [array[:FIT_EXAMPLES] for array in drawn.arrays]
    labels = drawn.labels[:FIT_EXAMPLES]
    model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate), loss="categorical_crossentropy")
    clock = _Clock()
    model.fit(some, labels, epochs=2, verbose=0, callbacks=[clock.callback()])
    return mine, 32 / float(np.median(np.diff(clock.ticks[2:])))


class _Drawn(NamedTuple):
    inputs: Any
    features: Any
    arrays: Sequence[np.ndarray]
    labels: np.ndarray


def _drawn_inputs(courses: int, length: int, text_dim: int) -> _Drawn:
    from scipy import sparse  # noqa: PLC0415 - as above

    from recsys.model.history import POOLS, STRENGTH_DIM  # noqa: PLC0415 - as above
    from recsys.model.inputs import CourseFeatures  # noqa: PLC0415 - as above
    from recsys.model.towers import OFFSET_DAYS  # noqa: PLC0415 - as above
    from recsys.model.training import TowerInputs  # noqa: PLC0415 - as above

    rng = np.random.default_rng(0)
    features = CourseFeatures(
        np.arange(1, courses + 1, dtype=np.int32),
        rng.normal(size=(courses, text_dim)).astype(np.float32),
        rng.normal(size=(courses, 8)).astype(np.float32),
    )
    user = np.arange(1, EXAMPLES + 1, dtype=np.int32)
    rows = rng.integers(0, courses, (EXAMPLES, length)).astype(np.int32)
    pools = np.full((EXAMPLES, length, POOLS), 1 / length, np.float32)
    strength = rng.random((EXAMPLES, STRENGTH_DIM)).astype(np.float32)
    places = (np.repeat(np.arange(EXAMPLES), 5), rng.integers(0, courses, EXAMPLES * 5))
    targets = sparse.coo_array((np.ones(EXAMPLES * 5, np.float32), places), shape=(EXAMPLES, courses)).tocsr()
    inputs = TowerInputs(
        user=user, rows=rows, pools=pools, strength=strength, targets=targets, known=sparse.csr_array(targets.shape),
        popularity=np.zeros((1, courses, len(OFFSET_DAYS)), np.float32), bucket=np.zeros(EXAMPLES, np.int32),
    )  # fmt: skip
    labels = targets[:FIT_EXAMPLES].toarray()
    return _Drawn(inputs, features, (user, rows, pools, strength), labels / labels.sum(axis=1, keepdims=True))


def _fit_model(network: Any) -> Any:
    """The same network as one Keras model that ends in a softmax over the catalogue."""
    import keras  # noqa: PLC0415 - as above

    class Catalogue(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.course = network.course

        def call(self, vectors: Any) -> Any:
            features = network.features
            courses, bias = self.course([features.index, features.text, features.attributes])
            return keras.ops.softmax(keras.ops.matmul(vectors, keras.ops.transpose(courses)) + bias[:, 0])

    return keras.Model(network.user.inputs, Catalogue()(network.user.output))


class _Clock:
    """When each batch of a `fit` ended."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def callback(self) -> Any:
        import keras  # noqa: PLC0415 - as above

        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs=None: self.ticks.append(time.monotonic())  # noqa: ARG005 - called by these names
        )


def _row(name: str, cost: Cost) -> str:
    return f"| {name} | {cost.wall_s:.0f} | {cost.cpu_s:.0f} | {cost.peak_mib:.0f} | {cost.status} |"


if __name__ == "__main__":
    main()
