"""How the fine-tuner learns, judges and publishes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from recsys.settings.section import Folder, Name, OptionalFlag, Section


class FinetuningSettings(Section):
    """The fine-tuner."""

    finetune_dir: Folder = Field(
        default=Path("var/finetune"),
        description="Folder of the fine-tuner's checkpoint; one fine-tuner uses it at a time.",
    )
    finetune_group: Name = Field(default="recsys-finetune", description="Consumer group of the fine-tuner.")
    finetune_metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the fine-tuner's `/metrics` and `/healthz`, on `RECSYS_WORKER_METRICS_HOST`; 0 is off.",
    )
    finetune_idle: OptionalFlag = Field(
        default=None,
        description="Whether to train only while nobody else wants the processor (SCHED_IDLE), so that workers and API "
        "on the same cores do not wait for it; unset is `true` on Linux, `false` elsewhere. Where the cores are always "
        "busy it then learns next to nothing and logs `training_starved`: give it a core, or set `false`.",
    )
    finetune_block_offsets: int = Field(
        default=256,
        ge=1,
        le=5000,
        description="Offsets of a partition that are learned together; fewer are learned sooner, at more CPU an event.",
    )
    finetune_checkpoint_blocks: int = Field(
        default=128,
        ge=1,
        le=10_000,
        description="Blocks between two checkpoints, which are tens of megabytes; a restart learns them once more.",
    )
    finetune_gate_seconds: float = Field(
        default=300.0, ge=1e-3, le=86_400, description="How often an increment is judged, and published if it passes."
    )
    finetune_gate_events: int = Field(
        default=200,
        ge=2,
        le=1_000_000,
        description="Positive events that must have been predicted before an increment is judged.",
    )
    finetune_gate_moved: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Least share of the top-10 of recent learners that an increment changes; less is not published.",
    )
    finetune_gate_agreement: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Least agreement@10 of an increment with what is published, by recent learners; less is rejected. "
        "Two lists drawn of n courses agree by 10 / n.",
    )
    finetune_lists_behind: int = Field(
        default=12,
        ge=0,
        le=1000,
        description="Increments that a cached list may be behind; it is ranked anew with its learner's next event, or "
        "in turn, one list in so many an increment. 12 are an hour or more; 0 has every increment replace all lists.",
    )
    finetune_rejections: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Rejections in a row after which nothing is learned until a retrain is published.",
    )
    finetune_max_learners: int = Field(
        default=50_000,
        ge=1,
        le=10_000_000,
        description="Learners whose records the fine-tuner remembers; who did nothing for longest is forgotten first.",
    )
    finetune_new_courses: int = Field(
        default=100,
        ge=0,
        le=500,
        description="Courses that came after the retrain and have rows of their own in increments, at most; 0 is off.",
    )
    finetune_new_course_events: int = Field(
        default=20, ge=1, le=1_000_000, description="Trusted events that like a new course before it has rows."
    )
    finetune_new_course_learners: int = Field(
        default=10, ge=1, le=10_000, description="Different learners that they must be of."
    )
    finetune_new_course_days: float = Field(
        default=7.0, gt=0, le=3650, description="Days without such an event after which the rows of a new course go."
    )

    @model_validator(mode="after")
    def _something_can_pass(self) -> FinetuningSettings:
        if self.finetune_gate_agreement + self.finetune_gate_moved > 1:
            raise ValueError(
                f"RECSYS_FINETUNE_GATE_AGREEMENT={self.finetune_gate_agreement:g} and "
                f"RECSYS_FINETUNE_GATE_MOVED={self.finetune_gate_moved:g} let no increment pass: "
                "expected a sum of at most 1"
            )
        return self
