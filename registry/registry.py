"""The registry of models and their immutable versions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import selectinload

from ..models.artifacts.seals import Sealer
from ..models.artifacts.store import ArtifactStore
from ..models.proof.proof import Proof
from ..schemas.errors import InvalidInput, ModelNotFound, VersionExists, VersionNotFound
from ..schemas.names import check_model_name, parse_version
from ..schemas.payloads.releases import Batching
from ..schemas.trial_id import TrialId
from .registration import Registration
from .storage.database import DeploymentRow, ExperimentRow, ModelRow, VersionRow
from .version_specs import check_size

_STORED_PROOF_FIELDS = {"load_ms", "row_ms", "batch_ms", "batch_rows", "sample_given", "alone", "why_alone", "memory"}


def next_version(existing: list[str]) -> str:
    """Return the next version: the highest major plus one."""
    majors = [parse_version(version)[0] for version in existing]
    return f"{max(majors, default=0) + 1}.0.0"


class Registry:
    """Reads and writes the registry's tables."""

    def __init__(self, engine: AsyncEngine, store: ArtifactStore, sealer: Sealer | None = None) -> None:
        self._engine = engine
        self._store = store
        self._sealer = sealer

    async def existing(self, name: str, version: str, digest: str) -> VersionRow | None:
        """Return the version if it exists with the same bytes. Raises VersionExists if it has other bytes."""
        async with AsyncSession(self._engine) as session:
            row = await self._find(session, name, version)
            if row is not None and row.source_digest != digest:
                raise VersionExists(
                    f"{name} {version} exists with other bytes (SHA-256 {row.source_digest[:12]}..., "
                    f"this file has {digest[:12]}...): versions are immutable, give a new one",
                    field="version",
                )
            return row

    async def add(
        self, registration: Registration, proof: Proof, source: Path, compiled: Path
    ) -> tuple[VersionRow, bool]:
        """Store the artifacts and the version; return it, and whether it is the model's first.

        Raises VersionExists if the version was registered concurrently with other bytes, and RegistrationRefused if its
        description is too large for the records that workers read.
        """
        check_size(registration, proof)
        source_digest, source_url = await asyncio.to_thread(self._store.put, source)
        digest, url = source_digest, source_url
        if proof.compiled:
            digest, url = await asyncio.to_thread(self._store.put, compiled)
        for _ in range(5):
            try:
                async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                    model = await self._model_or_new(session, registration)
                    versions = [row.version for row in model.versions]
                    version = registration.version or next_version(versions)
                    stored = {
                        "source_url": source_url,
                        "source_digest": source_digest,
                        "artifact_url": url,
                        "artifact_digest": digest,
                        "size": source.stat().st_size,
                    }
                    row = self._new_row(model, version, registration, proof, stored)
                    session.add(row)
                await asyncio.to_thread(self._store.restore, source, source_digest)
                if proof.compiled:
                    await asyncio.to_thread(self._store.restore, compiled, digest)
                return row, not versions
            except IntegrityError:
                # A concurrent registration took the version. If it was requested, compare the bytes; else try the next number.
                if registration.version:
                    found = await self.existing(registration.name, registration.version, source_digest)
                    if found is not None:
                        return found, False
        raise VersionExists(f"{registration.name}: too many registrations at once, try again")

    def _new_row(
        self, model: ModelRow, version: str, registration: Registration, proof: Proof, stored: dict[str, Any]
    ) -> VersionRow:
        """Return the row of a version; `stored` has the places, digests and size of its files."""
        return VersionRow(
            model=model,
            version=version,
            framework=registration.framework,
            served_as=proof.served_as,
            seal=self._seal(registration, version, stored["artifact_digest"]),
            signature=proof.signature.model_dump(mode="json"),
            batching=(registration.batching or Batching()).model_dump(mode="json"),
            cache_ttl_seconds=registration.cache_ttl_seconds,
            sample=proof.sample,
            parity=proof.parity | {"domain": proof.domain.model_dump() if proof.domain else None},
            proof=proof.model_dump(mode="json", include=_STORED_PROOF_FIELDS)
            | {
                "source_seal": self._seal(registration, version, stored["source_digest"]),
                "author_signature": registration.author_signature,
            },
            profile=proof.profile.model_dump(mode="json") if proof.profile else None,
            output_bins=proof.output_bins.model_dump(mode="json") if proof.output_bins else None,
            libraries=proof.libraries,
            attributes=registration.metadata,
            author=registration.author,
            parent=registration.parent,
            data_digest=registration.data_digest,
            **stored,
        )

    def _seal(self, registration: Registration, version: str, digest: str) -> str:
        return self._sealer.seal(registration.name, version, digest) if self._sealer else ""

    async def check_parent(self, registration: Registration) -> None:
        """Raise InvalidInput if the parent of a registration does not exist."""
        if registration.parent is None:
            return
        async with AsyncSession(self._engine) as session:
            if await self._find(session, registration.name, registration.parent) is None:
                raise InvalidInput(
                    f"parent {registration.parent} is not a version of {registration.name}", field="parent"
                )

    async def models(
        self, names: Collection[str] | None, *, page: int, per_page: int, framework: str | None
    ) -> tuple[list[ModelRow], int]:
        """Return one page of these models (None: all), by name, and their total number."""
        query = select(ModelRow)
        if names is not None:
            query = query.where(ModelRow.name.in_(names))
        if framework:
            query = query.where(ModelRow.framework == framework)
        async with AsyncSession(self._engine) as session:
            total = await session.scalar(select(func.count()).select_from(query.subquery()))
            rows = await session.scalars(
                query.options(selectinload(ModelRow.versions))
                .order_by(ModelRow.name)
                .offset((page - 1) * per_page)
                .limit(per_page)
            )
            return list(rows), total or 0

    async def model(self, name: str) -> ModelRow:
        """Return a model with its versions. Raises ModelNotFound."""
        async with AsyncSession(self._engine) as session:
            query = select(ModelRow).where(ModelRow.name == name).options(selectinload(ModelRow.versions))
            row = await session.scalar(query)
            if row is None:
                raise ModelNotFound(f"there is no model named {name[:80]!r}", field="name")
            return row

    async def version(self, name: str, version: str) -> VersionRow:
        """Return one version. Raises ModelNotFound or VersionNotFound."""
        row = next((row for row in (await self.model(name)).versions if row.version == version), None)
        if row is None:
            raise VersionNotFound(f"{name} has no version {version[:40]!r}", field="version")
        return row

    async def delete_version(self, name: str, version: str) -> None:
        """Delete a version, and with the last version the model.

        The artifact is kept until the model is deleted: a version deleted by mistake can be registered again from it, by the
        digest in the history.
        """
        row = await self.version(name, version)
        async with AsyncSession(self._engine) as session, session.begin():
            await session.execute(delete(VersionRow).where(VersionRow.id == row.id))
            others = select(VersionRow.id).where(VersionRow.model_id == row.model_id)
            await session.execute(delete(ModelRow).where(ModelRow.id == row.model_id, ~others.exists()))

    async def delete_model(self, name: str) -> dict[str, str]:
        """Delete a model with all its versions and the artifacts that no other model uses. Its history is kept.

        Return the digest of each version's file; empty if there is no such model. Raises Unavailable if the artifact store does
        not answer: then no row is deleted, and the call can be repeated.
        """
        async with AsyncSession(self._engine) as session, session.begin():
            query = select(ModelRow).where(ModelRow.name == name).options(selectinload(ModelRow.versions))
            model = await session.scalar(query)
            if model is None:
                return {}
            versions = {row.version: row.source_digest for row in model.versions}
            files = await self._files_of(session, model)
            # By statements, not objects: the same rows may be deleted concurrently.
            await session.execute(delete(VersionRow).where(VersionRow.model_id == model.id))
            await session.execute(delete(ModelRow).where(ModelRow.id == model.id))
            # Before the commit: a concurrent registration of the same bytes waits for it, and then stores the file again.
            for digest in files.keys() - await self._used(session, files):
                await asyncio.to_thread(self._store.delete, files[digest])
        return versions

    async def _files_of(self, session: AsyncSession, model: ModelRow) -> dict[str, str]:
        """Return the URLs of the files of all versions of a model, deleted ones included, by digest."""
        events = select(DeploymentRow.data).where(
            DeploymentRow.model == model.name, DeploymentRow.kind == "model.registered"
        )
        once = {data.get(field) for data in await session.scalars(events) for field in ("digest", "artifact_digest")}
        files = {digest: self._store.url_of(digest) for digest in once if isinstance(digest, str)}
        for row in model.versions:
            files |= {row.source_digest: row.source_url, row.artifact_digest: row.artifact_url}
        return files

    async def _used(self, session: AsyncSession, files: Iterable[str]) -> set[str]:
        """Return the digests that registered versions use."""
        found: set[str] = set()
        for column in (VersionRow.source_digest, VersionRow.artifact_digest):
            found |= set(await session.scalars(select(column).where(column.in_(list(files)))))
        return found

    async def history(
        self, models: Collection[str] | None, *, page: int, per_page: int
    ) -> tuple[list[DeploymentRow], int]:
        """Return one page of the history of these models (None: all), newest first, and the total number of entries."""
        query = select(DeploymentRow)
        if models is not None:
            query = query.where(DeploymentRow.model.in_(models))
        async with AsyncSession(self._engine) as session:
            total = await session.scalar(select(func.count()).select_from(query.subquery()))
            rows = await session.scalars(
                query.order_by(DeploymentRow.at.desc()).offset((page - 1) * per_page).limit(per_page)
            )
            return list(rows), total or 0

    async def events_of_trial(self, model: str, trial: TrialId | None, kinds: tuple[str, ...]) -> list[DeploymentRow]:
        """Return a model's events of these kinds, newest first, of one trial or of all."""
        query = select(DeploymentRow).where(DeploymentRow.model == model, DeploymentRow.kind.in_(kinds))
        async with AsyncSession(self._engine) as session:
            rows = list(await session.scalars(query.order_by(DeploymentRow.at.desc())))
        return [row for row in rows if trial is None or row.data.get("id") == str(trial)]

    async def experiments(self, models: Collection[str] | None) -> list[ExperimentRow]:
        """Return the experiments of these models (None: all), newest first."""
        query = select(ExperimentRow).order_by(ExperimentRow.created_at.desc())
        if models is not None:
            query = query.where(ExperimentRow.model.in_(models))
        async with AsyncSession(self._engine) as session:
            return list(await session.scalars(query))

    async def experiment(self, model: str, trial: TrialId | None) -> ExperimentRow | None:
        """Return the experiment of a trial, or without a trial the model's newest."""
        rows = await self.experiments((model,))
        return next((row for row in rows if trial is None or row.id == str(trial)), None)

    async def _find(self, session: AsyncSession, name: str, version: str) -> VersionRow | None:
        query = select(VersionRow).join(ModelRow).where(ModelRow.name == name, VersionRow.version == version)
        return await session.scalar(query.options(selectinload(VersionRow.model)))

    async def _model_or_new(self, session: AsyncSession, registration: Registration) -> ModelRow:
        query = select(ModelRow).where(ModelRow.name == check_model_name(registration.name))
        model = await session.scalar(query.options(selectinload(ModelRow.versions)))
        if model is None:
            model = ModelRow(name=registration.name, framework=registration.framework, versions=[])
            session.add(model)
        return model
