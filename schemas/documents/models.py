"""The documents of models and versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from ..payloads.releases import Batching, Framework
from ..payloads.signatures import Signature
from .document import Document
from .releases import EventDocument


class VersionDocument(Document):
    """A version, with its lineage and the results of its checks."""

    version: str
    framework: Framework
    served_as: Framework = Field(description="onnx where the compiled form gives the same answers")
    parity: dict[str, Any] = Field(description="the comparison of the compiled form with the model on sample rows")
    signature: Signature
    batching: Batching
    cache_ttl_seconds: float = Field(description="how long an answer is cached; 0: not at all")
    artifact_digest: str
    source_digest: str
    size: int = Field(description="bytes of the registered file")
    metadata: dict[str, Any]
    author: str
    parent: str | None
    data_digest: str | None
    libraries: dict[str, str]
    proof: dict[str, Any] = Field(
        description="times of loading and predicting, in milliseconds; `memory`: an ONNX form's memory limit in bytes, or why "
        "it has none and runs in a process of its own"
    )
    created_at: datetime
    live: bool = Field(description="whether the model's release sends requests to it")


class VersionList(Document):
    """A model's versions, oldest first."""

    name: str
    versions: list[VersionDocument]


class ModelDocument(Document):
    """A model and its versions, oldest first."""

    name: str
    framework: Framework
    created_at: datetime
    live_version: str | None
    versions: list[str]


class ModelPage(Document):
    """One page of models by name."""

    models: list[ModelDocument]
    page: int
    per_page: int
    total: int


class DeletedModel(Document):
    """A model that was deleted with all versions."""

    name: str
    versions: dict[str, str] = Field(description="SHA-256 of the registered file of each version that it had")


class Registered(Document):
    """The result of a registration."""

    name: str
    version: VersionDocument
    deployment: EventDocument | None = Field(
        description="how the first version went live; null if it waits for a deployment"
    )
    ready: bool = Field(description="whether a worker has loaded it")
    warning: str | None = None
