"""A history as the fine-tuner reads it: blocks of a topic of one partition, in the order of its events."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.events import Interaction
from recsys.events import encode as encode_event
from stream.finetuning.blocks import Block, BlockId, LogRecord

BLOCK = 256
"""Records of a block."""


def blocks(events: Sequence[Interaction]) -> list[Block]:
    """The events as blocks; their places are their offsets."""
    records = [
        LogRecord(offset, event.timestamp, event.user_id.encode(), encode_event(event), ())
        for offset, event in enumerate(events)
    ]
    return [Block(BlockId(0, at, at + BLOCK), tuple(records[at : at + BLOCK])) for at in range(0, len(records), BLOCK)]
