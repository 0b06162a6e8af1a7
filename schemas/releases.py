"""The record on `deployments`: one model's whole release, and all that a worker needs to serve it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .signatures import Signature

Strategy = Literal["full", "canary", "shadow", "ab"]
VariantRole = Literal["stable", "candidate", "shadow", "arm"]
Framework = Literal["sklearn", "torch", "onnx"]


class Batching(BaseModel):
    """How a worker gathers requests: rows per batch, and how long company is waited for while another batch runs."""

    model_config = ConfigDict(frozen=True)

    max_batch_size: int = Field(default=64, ge=1, le=65_536)
    max_latency_ms: float = Field(default=2.0, ge=0, le=60_000)


class VersionSpec(BaseModel):
    """What a worker needs to serve one version: where the bytes are, what they must hash to, how to run them."""

    model_config = ConfigDict(frozen=True)

    version: str
    framework: Framework
    served_as: Framework
    artifact: str
    digest: str = Field(description="SHA-256 of the served artifact, in hex")
    signature: Signature
    batching: Batching = Batching()
    sample: list[Any] = Field(default_factory=list, description="a few input rows, for the warm-up")


class Variant(BaseModel):
    """One road that a request can take. Weights of one release add up to 1; a shadow's weight counts copies."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    weight: float = Field(ge=0, le=1)
    role: VariantRole


class Release(BaseModel):
    """One model's release. `generation` grows by one with each change; evidence belongs to a generation."""

    model_config = ConfigDict(frozen=True)

    model: str
    generation: int = Field(ge=1)
    strategy: Strategy
    variants: tuple[Variant, ...] = Field(min_length=1)
    versions: dict[str, VersionSpec]
    salt: str = Field(default="", description="mixed into the hash of the routing key")
    updated_at: float = Field(description="seconds since the epoch")
    actor: str = ""
    reason: str = ""

    @model_validator(mode="after")
    def _variants_have_versions(self) -> Release:
        missing = {variant.version for variant in self.variants} - self.versions.keys()
        if missing:
            raise ValueError(f"variants name versions that the release does not describe: {sorted(missing)}")
        return self

    @property
    def stable(self) -> Variant:
        """The variant that answers when another cannot: the one marked stable, else the first."""
        return next((variant for variant in self.variants if variant.role == "stable"), self.variants[0])
