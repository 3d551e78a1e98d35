"""Automated visitors among the learners: declared crawlers and fast scripts, with the truth about who they are."""

from __future__ import annotations

import numpy as np

from batch.datasets.simulator.funnel import Events

CRAWLER_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
)
CRAWLER = "declared_crawler"
SCRIPT = "fast_script"
RUNS = 3
CRAWLER_GAP_MS = 6_000
SCRIPT_GAP_MS = 300


def simulate_bots(
    rng: np.random.Generator, bots: np.ndarray, kinds: np.ndarray, released_ms: np.ndarray, period: tuple[int, int]
) -> Events:
    """Draws the events of bots.

    A crawler views the catalogue in order, a page every few seconds. A script clicks at some three events a second,
    for minutes, on a handful of courses it wants to see on top.

    Args:
        rng: Where the chance comes from.
        bots: int, (bots,): their numbers among the learners.
        kinds: str, (bots,): `CRAWLER` or `SCRIPT`.
        released_ms: int64, (courses,): a course that is not there yet is not touched.
        period: First and last ms.
    """
    parts = []
    for learner, kind in zip(bots.tolist(), kinds.tolist(), strict=True):
        for _ in range(RUNS):
            started = int(rng.integers(*period))
            there = np.flatnonzero(released_ms <= started)
            parts.append(
                _crawl(rng, learner, there, started) if kind == CRAWLER else _script(rng, learner, there, started)
            )
    return Events.joined(parts)


def _crawl(rng: np.random.Generator, learner: int, courses: np.ndarray, started: int) -> Events:
    pages = courses[int(rng.integers(len(courses))) :][:150]
    clock = started + rng.exponential(CRAWLER_GAP_MS, size=len(pages)).cumsum().astype(np.int64)
    return _run(learner, pages, clock, np.full(len(pages), "view", dtype=object))


def _script(rng: np.random.Generator, learner: int, courses: np.ndarray, started: int) -> Events:
    count = int(rng.integers(1000, 1500))
    pages = rng.choice(courses[rng.permutation(len(courses))[:8]], size=count)
    clock = started + rng.uniform(0.8 * SCRIPT_GAP_MS, 1.2 * SCRIPT_GAP_MS, size=count).cumsum().astype(np.int64)
    return _run(learner, pages, clock, rng.choice(np.array(["view", "click"], dtype=object), size=count))


def _run(learner: int, courses: np.ndarray, clock: np.ndarray, kinds: np.ndarray) -> Events:
    count = len(courses)
    return Events(np.full(count, learner), courses, clock, kinds, np.full(count, np.nan))
