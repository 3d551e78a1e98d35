"""Bots in the history: the stream's two rules on whole columns, and the seam that leaves their events out.

A learner is a bot whose user agent a maintained list knows as a crawler, or who made more than
`MAX_EVENTS_PER_MINUTE` events within one minute of event time in at least `BOT_MINUTES` minutes. Speed alone is no
proof: on a real e-learning log "3 clicks under 5 s apart" would drop learners who hold 42 % of all events. Where many
events share one time because the source books them together (the lines of an invoice), the rate rule means nothing.
"""

from __future__ import annotations

from collections.abc import Collection

import crawleruseragents
import pandas as pd

MINUTE_MS = 60_000
MAX_EVENTS_PER_MINUTE = 60
BOT_MINUTES = 3
DECLARED_CRAWLER = "declared_crawler"
SUSTAINED_RATE = "sustained_rate"


def find_bots(interactions: pd.DataFrame) -> pd.DataFrame:
    """Applies the rules to cleaned events (without duplicates), in any order.

    Returns:
        Columns `user_id` and `reason` (`declared_crawler` before `sustained_rate`), one row a bot, by user id.
    """
    crawlers = pd.DataFrame({"user_id": _declared_crawlers(interactions), "reason": DECLARED_CRAWLER})
    fast = pd.DataFrame({"user_id": _too_fast(interactions), "reason": SUSTAINED_RATE})
    both = pd.concat([crawlers, fast]).drop_duplicates("user_id")
    return both.sort_values("user_id", ignore_index=True)


def without_bots(interactions: pd.DataFrame, bots: Collection[str]) -> pd.DataFrame:
    """The events of everybody else, in their order, index 0…n−1."""
    return interactions[~interactions["user_id"].isin(list(bots))].reset_index(drop=True)


def _declared_crawlers(interactions: pd.DataFrame) -> list[str]:
    seen = interactions[["user_id", "user_agent"]].dropna().drop_duplicates()
    agents = [agent for agent in seen["user_agent"].unique() if agent and crawleruseragents.is_crawler(agent)]
    return sorted(seen.loc[seen["user_agent"].isin(agents), "user_id"].unique())


def _too_fast(interactions: pd.DataFrame) -> list[str]:
    per_minute = interactions.groupby(["user_id", interactions["timestamp"] // MINUTE_MS]).size()
    busy = per_minute[per_minute > MAX_EVENTS_PER_MINUTE].groupby(level="user_id").size()
    return sorted(busy[busy >= BOT_MINUTES].index)
