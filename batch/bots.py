"""Bots in a history: the rules of `recsys.bots` on whole columns, and the filter that leaves their events out.

A property test holds `find_bots` equal to the stream's detector on random histories, late and unordered events
included. What still differs is in docs/state.md.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from recsys.bots import BOT_MINUTES, MAX_EVENTS_PER_MINUTE, MINUTE_MS, is_declared_crawler

DECLARED_CRAWLER = "declared_crawler"
SUSTAINED_RATE = "sustained_rate"


def find_bots(interactions: pd.DataFrame) -> pd.DataFrame:
    """The learners that the stream would flag as bots.

    Args:
        interactions: Cleaned events in the order of their arrival: that of the topic, or of the file that
            `recsys replay` sends.

    Returns:
        Columns `user_id` and `reason` (`declared_crawler` before `sustained_rate`), one row a bot, by user id.
    """
    crawlers = pd.DataFrame({"user_id": _declared_crawlers(interactions), "reason": DECLARED_CRAWLER})
    fast = pd.DataFrame({"user_id": _too_fast(interactions), "reason": SUSTAINED_RATE})
    both = pd.concat([crawlers, fast]).drop_duplicates("user_id")
    return both.sort_values("user_id", ignore_index=True)


def without_repeated_instants(interactions: pd.DataFrame) -> pd.DataFrame:
    """The first event of each learner at each instant.

    Sources book together what a person did not do one by one: the lines of an invoice share one time. Training on such
    a source must not lose its learners to the rate rule, so a retrain asks `find_bots` about these events only.
    """
    return interactions.drop_duplicates(["user_id", "timestamp"])


def without_bots(interactions: pd.DataFrame, bots: Collection[str]) -> pd.DataFrame:
    """The events of everybody else, in their order, index 0…n−1."""
    return interactions[~interactions["user_id"].isin(list(bots))].reset_index(drop=True)


def _declared_crawlers(interactions: pd.DataFrame) -> list[str]:
    seen = interactions[["user_id", "user_agent"]].dropna().drop_duplicates()
    agents = [agent for agent in seen["user_agent"].unique() if agent and is_declared_crawler(agent)]
    return sorted(seen.loc[seen["user_agent"].isin(agents), "user_id"].unique())


def _too_fast(interactions: pd.DataFrame) -> list[str]:
    """An event counts in its minute unless a later minute of its learner came before it, as in `BotFeatures.add`."""
    minutes = interactions[["user_id"]].assign(minute=interactions["timestamp"] // MINUTE_MS)
    counted = minutes[minutes["minute"] == minutes.groupby("user_id")["minute"].cummax()]
    per_minute = counted.groupby(["user_id", "minute"]).size()
    busy = per_minute[per_minute > MAX_EVENTS_PER_MINUTE].groupby(level="user_id").size()
    return sorted(busy[busy >= BOT_MINUTES].index)
