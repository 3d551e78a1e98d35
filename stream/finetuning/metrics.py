"""The fine-tuner's Prometheus metrics. Never a user id as a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from stream.finetuning.gate import AGREEMENT_AT_10, Outcome, Verdict

RECORDS = Counter(
    "recsys_finetune_records",
    "Records and training steps of the fine-tuner, by what became of them: learned, folded, bot, capped, over_budget, "
    "frozen, seen_by_parent, control, passed_over; steps, stopped_not_finite, stopped_spike, set_back, "
    "matrices_refreshed, reweighed (the ranker's weights estimated), rows_admitted, rows_expired (of new courses).",
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
AGREEMENT = Gauge(
    "recsys_finetune_agreement",
    "agreement@10 (overlap@10) of the latest candidate with what is published: the share of the places of recent "
    "learners' top-10, of the longer list where they differ, whose course is on both lists, in any order.",
)
PROPOSALS = Counter(
    "recsys_finetune_proposals",
    "Increments judged: waiting, unchanged, rejected, frozen, passed (published), roll_back, dropped.",
    ["outcome"],
)
FROZEN = Gauge("recsys_finetune_frozen", "1 while nothing is learned until a retrain is published.")


def show_verdict(verdict: Verdict) -> None:
    """Shows what was decided of a candidate, and how far it agreed where that was looked at."""
    FROZEN.set(verdict.outcome is Outcome.FROZEN)
    if AGREEMENT_AT_10 in verdict.figures:
        AGREEMENT.set(verdict.figures[AGREEMENT_AT_10])
