"""The engagement worker as a Faust tutorial would write it: one typed record, two awaited Redis commands an event.

The yardstick of `ingest.py`; it counts duplicates twice and loses what it raises on.
"""

from __future__ import annotations

import os

import faust
from redis.asyncio import Redis

WEIGHTS = {"view": 1.0, "click": 5.0, "play": 2.0, "progress": 2.0, "enroll": 10.0}


class Interaction(faust.Record, serializer="json"):
    """One event."""

    event_id: str
    user_id: str
    course_id: str
    type: str
    timestamp: int


app = faust.App(
    os.environ.get("TEXTBOOK_ID", "textbook"),
    broker=f"kafka://{os.environ['KAFKA_BOOTSTRAP_SERVERS']}",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    datadir=os.environ["TEXTBOOK_DATADIR"],
)
topic = app.topic(os.environ["RECSYS_INTERACTIONS_TOPIC"], value_type=Interaction, key_type=bytes)
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.agent(topic)
async def engagement(events):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - as the tutorial has it
    """Adds each event to its user's scores and to trending."""
    async for event in events:
        weight = WEIGHTS.get(event.type, 1.0)
        await redis.hincrbyfloat(f"eng:{event.user_id}", event.course_id, weight)
        await redis.zincrby("trending", weight, event.course_id)


if __name__ == "__main__":
    app.main()
