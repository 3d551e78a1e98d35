"""The comparison of the towers' training with Keras `fit` says of each figure what it counts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.towers import ALL, FULL, IALS, ONE, RETRAIN, Comparison, Trained
from recsys.model.inputs import Doubles

NONE = float("nan")


def trained(samples_per_s: float, pairs_per_s: float, cpu_s: float, ndcg: float, *, reached: bool) -> Trained:
    return Trained("an example", samples_per_s, pairs_per_s, 2.0, cpu_s, np.full(4, ndcg), reached)


def test_each_reading_of_the_speed_is_said() -> None:
    by_name = {
        RETRAIN: trained(800.0, 8000.0, 10.0, 0.14, reached=True),
        ALL: trained(400.0, 4000.0, 40.0, 0.14, reached=True),
        ONE: trained(200.0, 200.0, 90.0, 0.13, reached=False),
        IALS: Trained("–", NONE, NONE, NONE, 0.5, np.full(4, 0.1), reached=False),
    }
    lines = Comparison(100, 1000, by_name).lines()
    assert lines[3] == "| retrain | an example | 800 | 8,000 | 2.00 | 10.0 | 0.1400 | – |"
    assert lines[5].endswith("| 200 | 200 | 2.00 | 90.0 | 0.1300 | -0.0100 (-0.0100 … -0.0100) |")
    assert lines[6] == "| implicit ALS | – | – | – | – | 0.5 | 0.1000 | -0.0400 (-0.0400 … -0.0400) |"
    assert lines[7:] == [
        "samples/s, each an example with all of its targets: 2.0 x",
        "pairs/s beside fit with one target a sample: 40.0 x",
        "CPU s to the same NDCG@10, Keras fit, all targets: 4.0 x the retrain's",
        "CPU s to the same NDCG@10, Keras fit, one target: not reached in 2.0 passes, 9.0 x the retrain's",
    ]


def test_a_sampled_softmax_is_said_beside_the_full_one() -> None:
    one = trained(200.0, 200.0, 90.0, 0.13, reached=False)
    by_name = {RETRAIN: trained(800.0, 8000.0, 10.0, 0.14, reached=True), FULL: one, ALL: one, ONE: one, IALS: one}
    lines = Comparison(100, 1000, by_name).lines()
    assert lines[4].startswith("| retrain, full softmax | an example | 200 | 200 |")
    assert lines[8] == "samples/s beside the full softmax: 4.0 x"


@pytest.mark.parametrize(("goal", "looks", "reached"), [(0.2, 1, True), (0.3, 2, True), (0.5, 3, False)])
def test_fit_ends_once_it_is_as_good(goal: float, looks: int, reached: bool) -> None:
    """It looks at the held-out lists every so many steps and at the end; afterwards nothing is looked at again."""
    from benchmarks.keras_fit import JUDGED_EVERY, Watch  # noqa: PLC0415 - TensorFlow

    model, judged = SimpleNamespace(stop_training=False), list[float]()

    def judge() -> Doubles:
        judged.append(0.1 * (len(judged) + 2))
        return np.full(4, judged[-1])

    watch = Watch(judge, goal)
    watch.set_model(model)
    watch.on_train_begin()
    for step in range(2 * JUDGED_EVERY + 1):
        if model.stop_training:
            break
        watch.on_train_batch_end(step)
    watch.on_train_end()
    assert (len(judged), watch.reached, float(watch.ndcg[0])) == (looks, reached, judged[-1])
    assert len(watch.step_s) == min(2 * JUDGED_EVERY + 1, looks * JUDGED_EVERY)
