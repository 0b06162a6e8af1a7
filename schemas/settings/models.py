"""What a model may be and how much it may take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..machine import memory_bytes
from .mesh import MeshSettings


def _half_of_memory() -> int:
    return max(4 * 1024**3, memory_bytes() // 2)


class ModelSettings(MeshSettings):
    """Limits on models, for each process that proves or serves them: gateway, workers, replay."""

    pickles: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether model files that contain code are accepted: pickles, and all PyTorch files (`modelmesh up` and "
        "`demo` accept them)",
    )
    signers: str = Field(
        default="",
        description="files of ed25519 public keys (PEM), as a,b: where `pickles` is `refuse`, a model file that contains code is "
        "accepted if one of these keys signed it (`modelmesh sign`); set it for the gateway and the workers",
    )
    sandbox: Literal["available", "whole"] = Field(
        default="available",
        description="`available`: a model that contains code runs with every isolation that this machine offers, and the log "
        "says at start what is missing; `whole`: it runs only if nothing is missing",
    )
    model_memory_bytes: int = Field(
        default_factory=_half_of_memory,
        gt=0,
        description="address space limit of a process that proves or serves a model, and memory limit of all ONNX models that "
        "a worker runs in its own process; default: half of the memory of the machine or container, at least 4 GiB, "
        "which the libraries themselves need",
    )
    max_artifact_bytes: int = Field(default=2 * 1024**3, gt=0, description="largest model file")
    max_batch_bytes: int = Field(
        default=16 * 1024 * 1024,
        gt=0,
        description="largest batch of several requests, each row counted as the widest",
    )
    proof_timeout: float = Field(default=120.0, gt=0, description="time limit of a model's checks at registration")
    model_load_timeout: float = Field(
        default=120.0, gt=0, description="time limit for loading a model in a process of its own"
    )
