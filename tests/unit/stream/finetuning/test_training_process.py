"""The training process: one at a time in a folder, also where the one before lost its fine-tuner."""

from __future__ import annotations

import threading
from pathlib import Path

from stream.finetuning.training_process import only_trainer


def test_a_second_training_process_waits_for_the_first(tmp_path: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with only_trainer(tmp_path):
            entered.set()

    with only_trainer(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    waiting.join()
