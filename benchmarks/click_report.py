"""What became of clicks, as tables and as a curve (`click_to_answer`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table


@dataclass(slots=True)
class Clicks:
    """What became of the clicks at one rate.

    Attributes:
        rate: Events a second that were asked for beside them.
        sent_per_s: Events a second that Kafka acknowledged.
        ms: From each click to the answer that contains it.
        late: Answers that said `fresh: false`.
        missed: Answers that said `fresh: true` and did not contain the click.
        ranked: Answers ranked by the API, because the worker's list did not follow in time.
        stages: Stage → mean, p50 and p99 in ms, of histograms.
        lists_per_s: Lists that the worker wrote a second.
        chunks_per_s: Chunks that it committed a second.
        cores: CPU seconds that it took a second.
    """

    rate: float
    sent_per_s: float = 0.0
    ms: list[float] = field(default_factory=list)
    late: int = 0
    missed: int = 0
    ranked: int = 0
    stages: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    lists_per_s: float = 0.0
    chunks_per_s: float = 0.0
    cores: float = 0.0


def tables(results: Sequence[Clicks]) -> Iterator[Table]:
    """The clicks, and the stages."""
    table = Table(title="click to an answer that contains it, ms")
    for heading in (
        "events/s",
        "sent/s",
        "clicks",
        "p50",
        "p90",
        "p99",
        "longest",
        "late",
        "missed",
        "ranked",
        "lists/s",
        "chunks/s",
        "cores",
    ):
        table.add_column(heading, justify="right")
    for one in results:
        p50, p90, p99 = np.percentile(one.ms, [50, 90, 99])
        shown = [f"{value:.1f}" for value in (p50, p90, p99, max(one.ms))]
        counts = [str(count) for count in (one.late, one.missed, one.ranked)]
        worker = f"{one.lists_per_s:.0f}", f"{one.chunks_per_s:.0f}", f"{one.cores:.2f}"
        table.add_row(f"{one.rate:g}", f"{one.sent_per_s:.0f}", str(len(one.ms)), *shown, *counts, *worker)
    yield table
    if not any(one.stages for one in results):
        return
    table = Table(title="stages, ms: mean / p50 / p99 of all events (docs/operations.md)")
    table.add_column("stage")
    for one in results:
        table.add_column(f"{one.rate:g} events/s", justify="right")
    for stage in dict.fromkeys(stage for one in results for stage in one.stages):
        cells = [one.stages.get(stage) for one in results]
        table.add_row(stage, *("" if cell is None else " / ".join(f"{ms:.1f}" for ms in cell) for cell in cells))
    yield table


def plot(results: Sequence[Clicks], path: Path) -> None:
    """The curve: p50 and p99 over the rate."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only for the plot

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rates = [max(one.sent_per_s, 1.0) for one in results]
    for share, label in ((50, "p50"), (99, "p99")):
        axes.plot(rates, [np.percentile(one.ms, share) for one in results], marker="o", label=label)
    for bound, style in ((10, ":"), (50, "--")):
        axes.axhline(bound, linestyle=style, color="grey", linewidth=1, label=f"{bound} ms")
    axes.set(xscale="log", yscale="log", xlabel="events/s beside the clicks", ylabel="click to its answer, ms")
    axes.legend()
    figure.savefig(path, dpi=150)
