"""What a soak saw: one look after the other, the figures of all, what must hold, a report and a plot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.soak_load import LEARNERS, Load

mpl.use("Agg")  # no display, whatever the environment says; before pyplot is imported

import matplotlib.pyplot as plt

PARTITIONS = 6
JUDGE_FROM_MINUTES = 30.0
MAX_SLOPE = 1.0
THEIRS = ("redis", "kafka")  # watched, not judged

KEYS_OF_A_LEARNER = 4  # records, done, bot, top
KEYS_OF_A_SHARD = 9  # fence, guard, counts, trend, its blocks, dirty, learners, their index's state, the model
OTHER_KEYS = 12  # topology, two model pointers, trending and its lease, activity, the log's rewriting, workers, spare
MOST_KEYS = LEARNERS * KEYS_OF_A_LEARNER + PARTITIONS * KEYS_OF_A_SHARD + OTHER_KEYS


@dataclass(frozen=True)
class Sample:
    """One look. Times in s since the load began, memory in MiB."""

    at_s: float
    rss: dict[str, float]
    descriptors: dict[str, int]
    redis_mib: float
    redis_keys: int
    lag: int | None
    load_average: float


def slope_per_hour(samples: Sequence[Sample], process: str) -> float | None:
    """Least-squares slope of resident memory, MiB an hour; None with fewer than three samples."""
    if len(samples) < 3:
        return None
    return float(np.polyfit([sample.at_s / 3600 for sample in samples], [s.rss[process] for s in samples], 1)[0])


def figures(
    samples: Sequence[Sample], accounts: dict[str, Any], load: Load, *, rate: float, warm_up_minutes: float
) -> dict[str, Any]:
    warm = [sample for sample in samples if sample.at_s >= warm_up_minutes * 60]
    judged = warm or samples
    p50, p99 = np.percentile(load.get_ms or [0.0], [50, 99])
    return {
        "rate": rate,
        "ended_by": load.ended_by,
        "minutes": samples[-1].at_s / 60,
        "minutes_after_warm_up": (warm[-1].at_s - warm[0].at_s) / 60 if warm else 0.0,
        "processes": {
            name: {
                "slope_mib_per_hour": slope_per_hour(warm, name),
                "first_mib": judged[0].rss[name],
                "last_mib": judged[-1].rss[name],
                "descriptors": [
                    min(sample.descriptors[name] for sample in judged),
                    max(sample.descriptors[name] for sample in judged),
                ],
            }
            for name in samples[0].rss
        },
        "redis": {
            "keys_max": max(sample.redis_keys for sample in samples),
            "keys_bound": MOST_KEYS,
            "first_mib": judged[0].redis_mib,
            "last_mib": judged[-1].redis_mib,
        },
        "lag_max": max(sample.lag for sample in samples if sample.lag is not None),
        "lag_max_after_warm_up": max(sample.lag for sample in judged if sample.lag is not None),
        "load_average": [min(s.load_average for s in samples), max(s.load_average for s in samples)],
        "gets": {"answers": dict(load.answers), "p50_ms": p50, "p99_ms": p99},
        "accounts": accounts,
        "samples": [asdict(sample) for sample in samples],
    }


def held(figures: dict[str, Any]) -> dict[str, bool | None]:
    """What must hold, and whether it did; None where the run was too short to say."""
    accounts, long_enough = figures["accounts"], figures["minutes_after_warm_up"] >= JUDGE_FROM_MINUTES
    counts, sent = accounts["counts"], accounts["sent"]
    accepted, unchanged, refused = (counts.get(outcome, 0) for outcome in ("accepted", "unchanged", "refused"))
    ours = [process for name, process in figures["processes"].items() if name not in THEIRS]
    steady = all(process["slope_mib_per_hour"] < MAX_SLOPE for process in ours) if long_enough else None
    flat = all(most - least <= 4 for least, most in (process["descriptors"] for process in ours))
    return {
        "every process stayed up": not figures["ended"],
        "accepted + unchanged + refused = produced": (
            accepted + unchanged + refused == accounts["produced"] == accounts["in_topic"]
        ),
        "poison refused, no repeat accepted": refused == sent.get("poison", 0) and unchanged >= sent.get("repeated", 0),
        "Redis keys bounded by the universe": figures["redis"]["keys_max"] <= figures["redis"]["keys_bound"],
        "every GET answered": set(figures["gets"]["answers"]) <= {"cached", "process-cache", "model"},
        "descriptors flat (±2)": flat if figures["minutes_after_warm_up"] else None,
        f"memory slope < {MAX_SLOPE:g} MiB/h": steady,
    }


def report(figures: dict[str, Any]) -> None:
    judged = figures["minutes_after_warm_up"]
    if figures["ended_by"]:
        print(f"ended early by {figures['ended_by']}")
    print(f"{figures['minutes']:.1f} min at {figures['rate']:g} events/s, {judged:.1f} of them after the warm-up")
    for name, process in figures["processes"].items():
        slope = process["slope_mib_per_hour"]
        print(
            f"{name:10} {process['first_mib']:7.1f} → {process['last_mib']:7.1f} MiB   "
            f"slope {'      —' if slope is None else f'{slope:+7.2f}'} MiB/h   "
            f"descriptors {process['descriptors'][0]}–{process['descriptors'][1]}"
        )
    redis_figures, gets, accounts = figures["redis"], figures["gets"], figures["accounts"]
    print(
        f"Redis      {redis_figures['first_mib']:7.1f} → {redis_figures['last_mib']:7.1f} MiB used   "
        f"at most {redis_figures['keys_max']} keys (bound {redis_figures['keys_bound']})"
    )
    print(f"lag        at most {figures['lag_max']} records, {figures['lag_max_after_warm_up']} after the warm-up")
    print(f"GETs       {gets['answers']}   p50 {gets['p50_ms']:.1f} ms, p99 {gets['p99_ms']:.1f} ms")
    print(f"records    produced {accounts['produced']}, in the topic {accounts['in_topic']}, {accounts['counts']}")
    print(f"load       {figures['load_average'][0]:.1f}–{figures['load_average'][1]:.1f} on {os.cpu_count()} cores")
    for name, why in figures["ended"].items():
        print(f"{name} ended: {why}")
    words = {True: "yes", False: "NO", None: "too short to say"}
    for what, ok in held(figures).items():
        print(f"  {what}: {words[ok]}")


def draw(figures: dict[str, Any], path: Path) -> None:
    samples = figures["samples"]
    minutes = [sample["at_s"] / 60 for sample in samples]
    figure, (memory, descriptors, keys, lag) = plt.subplots(4, 1, figsize=(9, 11), sharex=True, layout="constrained")
    for name in figures["processes"]:
        descriptors.plot(minutes, [sample["descriptors"][name] for sample in samples], label=name)
        if name not in THEIRS:  # theirs would flatten the scale of ours
            memory.plot(minutes, [sample["rss"][name] for sample in samples], label=name)
    keys.plot(minutes, [sample["redis_keys"] for sample in samples], label="keys")
    keys.axhline(MOST_KEYS, linestyle="--", color="grey", label="bound")
    lag.plot(minutes, [sample["lag"] for sample in samples], label="records")
    lag.set_xlabel("minutes")
    for axes, title in (
        (memory, "Resident memory, MiB"),
        (descriptors, "Open descriptors"),
        (keys, "Keys in Redis"),
        (lag, "Lag, records"),
    ):
        axes.set_title(title)
        axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
