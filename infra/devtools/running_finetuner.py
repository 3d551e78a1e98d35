"""A `recsys finetune` that runs beside: how far it is and what its gate said, from its metrics and its log."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from infra.devtools.processes import free_port
from recsys.errors import ServiceUnavailable

BLOCK_OFFSETS = 16
_TIMEOUT_SECONDS = 5.0
_OK = 200
_PUBLISHES = frozenset({"passed", "roll_back"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said of an increment.

    Attributes:
        outcome: passed, waiting, rejected, …; `waiting_for_a_model` where what is published cannot be fine-tuned.
        reason: Why, as one line.
    """

    outcome: str
    reason: str

    def __str__(self) -> str:
        return f"{self.outcome}: {self.reason}"


class RunningFinetuner:
    """What is seen of the process from outside.

    Args:
        log: The file of its standard error, in JSON.
        port: Of its metrics, on the loopback interface.
    """

    def __init__(self, log: Path, port: int | None = None) -> None:
        self._log, self._port = log, port or free_port()
        self._verdicts_when_through: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings to start it with, so that a demonstration sees it: small blocks, judged every two seconds.

        The demonstration waits for it, so it does not train in idle time alone: on a busy machine that takes minutes.
        """
        return {
            "RECSYS_FINETUNE_METRICS_PORT": str(self._port),
            "RECSYS_FINETUNE_BLOCK_OFFSETS": str(BLOCK_OFFSETS),
            "RECSYS_FINETUNE_IDLE": "false",
            "RECSYS_FINETUNE_GATE_SECONDS": "2",
            "RECSYS_FINETUNE_GATE_EVENTS": "50",
            "RECSYS_LOG_FORMAT": "json",
            "RECSYS_LOG_LEVEL": "info",
        }

    @property
    def learned(self) -> int:
        """Events that it learned from.

        Raises:
            ServiceUnavailable: It does not answer.
        """
        return int(self._value("recsys_finetune_records_total", {"outcome": "learned"}))

    def verdicts(self) -> list[Verdict]:
        """What its gate has said, in its order; why it has not begun, where no model can be fine-tuned."""
        written, _, _ = self._log.read_text().rpartition("\n")  # the last line may be on its way
        lines = (json.loads(line) for line in written.splitlines() if line.startswith("{"))
        return [
            Verdict(line.get("outcome", line["event"]), line["reason"])
            for line in lines
            if line["event"] in {"judged", "waiting_for_a_model"}
        ]

    def through(self, logs: Iterable[tuple[int, int]]) -> bool:
        """Whether it took in all whole blocks of the topic, judged what it learned, and published what passed.

        What passed is published after its verdict and before the next one.

        Args:
            logs: First and next offset of each partition.

        Raises:
            ServiceUnavailable: It does not answer.
        """
        verdicts = self.verdicts()
        if verdicts and verdicts[-1].outcome == "waiting_for_a_model":
            return True
        if self._value("recsys_finetune_block_seconds_count", {}) < whole_blocks(logs):
            return False
        if self._verdicts_when_through is None:
            self._verdicts_when_through = len(verdicts)
        return len(verdicts) > self._verdicts_when_through and verdicts[-1].outcome not in _PUBLISHES

    def _value(self, name: str, labels: dict[str, str]) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"the fine-tuner's metrics do not answer: {error!r}") from error
        finally:
            connection.close()
        if response.status != _OK:
            raise ServiceUnavailable(f"the fine-tuner's metrics answered with status {response.status}")
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name and sample.labels == labels)


def whole_blocks(logs: Iterable[tuple[int, int]], size: int = BLOCK_OFFSETS) -> int:
    """Blocks that can be learned: those behind which there is a record."""
    return sum((end - 1) // size - first // size for first, end in logs if end > first)


def decisive(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that something followed from; without any, the last one, which says what was missing."""
    followed = [each for each in verdicts if each.outcome not in {"waiting", "unchanged"}]
    return followed or list(verdicts[-1:])
