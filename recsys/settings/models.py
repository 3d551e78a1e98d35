"""Where model bundles and reports are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from recsys.settings.section import Folder, OptionalFolder, Section


class ModelSettings(Section):
    """Model bundles and reports."""

    models_dir: Folder = Field(default=Path("var/models"), description="Folder of the model bundles.")
    reports_dir: Folder = Field(default=Path("reports"), description="Folder of the retrain and evaluation reports.")
    text_encoder: OptionalFolder = Field(
        default=None,
        description="Folder of a sentence-transformers model that reads course texts in a retrain; empty: TF-IDF.",
    )
    models_retained: int = Field(
        default=10,
        ge=2,
        le=10_000,
        description="Bundles kept in the models folder; one that something refers to is never deleted (decision 10).",
    )
    model_poll_seconds: float = Field(
        default=1.0, ge=1e-3, le=3600, description="How often workers and the API look for a newly published model."
    )
