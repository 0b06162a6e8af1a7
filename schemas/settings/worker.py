"""A worker's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from .models import ModelSettings
from .pipeline import PipelineSettings
from .storage import StorageSettings


class WorkerSettings(PipelineSettings, ModelSettings, StorageSettings):
    """Loading and running versions, and reporting on them."""

    unload_grace: float = Field(
        default=10.0, ge=0, description="how long a worker keeps a version after its release ended"
    )
    observation_interval: float = Field(
        default=1.0, gt=0, description="time between two summaries of a worker; a failure sends one at once"
    )
    candidate_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of its remaining time that a candidate gets before stable answers"
    )
    shadow_queue: int = Field(
        default=512, ge=1, description="shadow copies that wait in a worker; beyond that the oldest are dropped"
    )
    seal_public_key: Path | None = Field(
        default=None, description="ed25519 public key (PEM); where it is set, workers load sealed versions only"
    )
    watch_share: float = Field(
        default=0.001, ge=0, le=1, description="share of a compiled form's batches that the original is asked too"
    )
    watch_interval: float = Field(
        default=60.0, gt=0, description="longest time without such a comparison while batches come"
    )
    onnx_threads: int = Field(default=1, ge=1, description="threads of one ONNX session")
    inference_threads: int = Field(default=2, ge=1, description="batches of one version that may run at once")
