"""The fine-tuner's Prometheus metrics. Never a user id as a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter(
    "recsys_finetune_records",
    "Records and training steps of the fine-tuner, by what became of them: learned, folded, bot, capped, frozen, "
    "seen_by_parent, control, passed_over; steps, stopped_not_finite, stopped_spike, set_back.",
    ["outcome"],
)
BLOCK_SECONDS = Histogram("recsys_finetune_block_seconds", "To learn one block, in seconds.")
WAITING = Gauge("recsys_finetune_blocks_waiting", "Blocks that are read and not yet learned.")
NDCG = Gauge(
    "recsys_finetune_ndcg",
    "NDCG@10 of positive events, each predicted before it was learned, since the last decision: of the increment, and "
    "of what is published.",
    ["model"],
)
PROPOSALS = Counter(
    "recsys_finetune_proposals",
    "Increments judged: waiting, unchanged, rejected, frozen, passed (published), roll_back, dropped.",
    ["outcome"],
)
FROZEN = Gauge("recsys_finetune_frozen", "1 while nothing is learned until a retrain is published.")
