"""The documents of models and versions that the HTTP API gives."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from ...registry.storage.database import ModelRow, VersionRow
from ...schemas.payloads.releases import Batching, Framework
from ...schemas.payloads.signatures import Signature
from .release_documents import EventDocument


class VersionDocument(BaseModel):
    """A version, with its lineage and how it proved itself."""

    version: str
    framework: Framework
    served_as: Framework = Field(description="onnx where the compiled form gives the same answers")
    parity: dict[str, Any] = Field(description="what was found when the compiled form was compared on sample rows")
    signature: Signature
    batching: Batching
    cache_ttl_seconds: float = Field(description="how long an answer may be given again; 0: never")
    artifact_digest: str
    source_digest: str
    size: int = Field(description="bytes of the registered file")
    metadata: dict[str, Any]
    author: str
    parent: str | None
    data_digest: str | None
    libraries: dict[str, str]
    proof: dict[str, Any] = Field(
        description="times of loading and predicting, in milliseconds; `memory`: what an ONNX form takes at most, in bytes, or "
        "why nobody knows, so that it runs in a process of its own"
    )
    created_at: datetime
    live: bool = Field(description="whether the model's release sends requests to it")


class VersionList(BaseModel):
    """A model's versions, oldest first."""

    name: str
    versions: list[VersionDocument]


class ModelDocument(BaseModel):
    """A model and its versions, oldest first."""

    name: str
    framework: Framework
    created_at: datetime
    live_version: str | None
    versions: list[str]


class ModelPage(BaseModel):
    """One page of models by name."""

    models: list[ModelDocument]
    page: int
    per_page: int
    total: int


class DeletedModel(BaseModel):
    """A model that was removed whole."""

    name: str
    versions: dict[str, str] = Field(description="SHA-256 of the registered file of each version that it had")


class Registered(BaseModel):
    """What came of a registration."""

    name: str
    version: VersionDocument
    deployment: EventDocument | None = Field(
        description="how the first version went live; null where it waits for a deployment"
    )
    ready: bool = Field(description="whether a worker has loaded it")
    warning: str | None = None


def version_document(row: VersionRow, live_versions: set[str]) -> VersionDocument:
    """Return a row of the registry as a document."""
    return VersionDocument(
        version=row.version,
        framework=row.framework,  # type: ignore[arg-type]
        served_as=row.framework if row.parity.get("differs") else row.served_as,  # type: ignore[arg-type]
        parity=row.parity,
        signature=Signature.model_validate(row.signature),
        batching=Batching.model_validate(row.batching),
        cache_ttl_seconds=row.cache_ttl_seconds,
        artifact_digest=row.artifact_digest,
        source_digest=row.source_digest,
        size=row.size,
        metadata=row.attributes,
        author=row.author,
        parent=row.parent,
        data_digest=row.data_digest,
        libraries=row.libraries,
        proof=row.proof,
        created_at=row.created_at,
        live=row.version in live_versions,
    )


def model_document(row: ModelRow, live_version: str | None) -> ModelDocument:
    """Return a row of the registry as a document."""
    return ModelDocument(
        name=row.name,
        framework=row.framework,  # type: ignore[arg-type]
        created_at=row.created_at,
        live_version=live_version,
        versions=[version.version for version in row.versions],
    )
