"""Convert database rows to the documents of the HTTP API."""

from __future__ import annotations

from typing import Any

from ...registry.storage.database import DeploymentRow, ExperimentRow, ModelRow, VersionRow
from ...schemas.documents.models import ModelDocument, VersionDocument
from ...schemas.documents.releases import EventDocument, ExperimentDocument
from ...schemas.payloads.releases import Batching
from ...schemas.payloads.signatures import Signature
from ...schemas.trial_id import TrialId


def version_document(row: VersionRow, live_versions: set[str]) -> VersionDocument:
    """Return a version as a document."""
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
    """Return a model as a document."""
    return ModelDocument(
        name=row.name,
        framework=row.framework,  # type: ignore[arg-type]
        created_at=row.created_at,
        live_version=live_version,
        versions=[version.version for version in row.versions],
    )


def event_document(row: DeploymentRow) -> EventDocument:
    """Return an event of the history as a document."""
    return EventDocument(
        event_id=row.event_id,
        kind=row.kind,
        model=row.model,
        at=row.at.timestamp(),
        generation=row.generation,
        actor=row.actor,
        summary=row.summary,
        data=row.data,
        problem=row.problem,
    )


def experiment_document(row: ExperimentRow, results: dict[str, Any] | None) -> ExperimentDocument:
    """Return an experiment of the history as a document."""
    return ExperimentDocument(
        id=TrialId.parse(row.id),
        name=row.name,
        model=row.model,
        status="stopped" if row.status == "stopped" else "running",
        variants=row.variants,
        results=results,
    )
