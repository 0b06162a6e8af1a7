"""The client's calls to `/models`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from ..models.adapters.base import SavesSafely
from ..models.adapters.registry import adapter_for
from ..models.values.json_values import json_of
from ..schemas.documents.models import DeletedModel, ModelDocument, Registered, VersionDocument
from ..schemas.errors import PickleRefused
from .column_types import signature_of
from .gateway_session import GatewaySession
from .model_file import sample_rows, save_model
from .rows import data_digest, is_table, rows_json, rows_of

REFERENCE_ROWS = 5000
SAMPLE_ROWS = 100


class ModelCalls:
    """Register, list and delete models and versions."""

    _http: GatewaySession

    async def register_model(
        self,
        name: str,
        model_object: Any,
        framework: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        version: str | None = None,
        sample: Any | None = None,
        parent: str | None = None,
        author: str = "",
        compile: bool = True,
        batching: dict[str, Any] | None = None,
        cache_ttl_seconds: float = 0.0,
        data: Any | None = None,
        idempotency_key: str | None = None,
        author_signature: str = "",
    ) -> Registered:
        """Register a model object or a model file; return what was registered.

        `sample` is a few input rows (a DataFrame, an array or a list). The signature is inferred from them and their types,
        and the model is tested on them; by default on the first rows of `data`, or on inputs that the model itself describes.
        `data` is the training data: its digest is stored, and its first 5,000 rows are the reference for drift; without it,
        the first live rows are. Of rows that take more than 32 MiB as JSON, such as large images, only the first are sent.
        The default version raises the major number. With `cache_ttl_seconds` answers are cached for so long; the model must be
        deterministic. `author_signature` is the output of `modelmesh sign` for the file, for deployments that accept code
        only from known signers. A repeated call with the same `idempotency_key` within a day does not register it again.
        Raises RegistrationRefused, VersionExists, InvalidInput.
        """
        if sample is None and data is not None:
            sample = (data if is_table(data) or hasattr(data, "shape") else rows_of(data))[:SAMPLE_ROWS]
        texts = {"name": name, "version": version, "parent": parent}
        texts |= {"author": author or None, "author_signature": author_signature or None}
        documents = {
            "metadata": metadata,
            "sample": None if sample is None else (sample_rows(model_object, sample) or [])[:SAMPLE_ROWS],
            "batching": batching,
            "cache_ttl_seconds": cache_ttl_seconds or None,
            "compile": compile,
            "reference": None if data is None else rows_of(data)[:REFERENCE_ROWS],
        }
        fields = {field: text for field, text in texts.items() if text is not None}
        fields |= {field: _json_text(value) for field, value in documents.items() if value is not None}
        if data is not None:
            fields["data_digest"] = await asyncio.to_thread(data_digest, data)
        with tempfile.TemporaryDirectory() as folder:
            return await self._save_and_send(model_object, framework, sample, fields, Path(folder), idempotency_key)

    async def _save_and_send(
        self, model: Any, framework: str | None, sample: Any, fields: dict[str, str], folder: Path, key: str | None
    ) -> Registered:
        """Send the model's file. If the deployment refuses pickles, send the model in a safe format, if it has one."""
        path, kind = await asyncio.to_thread(save_model, model, framework, sample, folder)
        fields["framework"] = kind
        if kind == "sklearn" and sample is not None and (typed := signature_of(sample)) is not None:
            fields["signature"] = typed.model_dump_json(exclude_defaults=True)
        try:
            return await self._send(path, fields, key)
        except PickleRefused:
            adapter = adapter_for(kind)
            if isinstance(model, str | Path) or not isinstance(adapter, SavesSafely):
                raise
            # skops for an estimator, ONNX for a torch module.
            safe, fields["framework"] = await asyncio.to_thread(adapter.save_safely, model, folder, sample)
            return await self._send(safe, fields, key)

    async def _send(self, path: Path, fields: dict[str, str], key: str | None) -> Registered:
        form = aiohttp.FormData()
        for field, value in fields.items():
            form.add_field(field, value)
        with path.open("rb") as file:
            form.add_field("artifact", file, filename=path.name)
            headers = {"Idempotency-Key": key} if key else {}
            return Registered.received(await self._http.request("POST", "/models", data=form, headers=headers))

    async def models(self, *, page: int = 1, per_page: int = 50, framework: str | None = None) -> list[ModelDocument]:
        """Return one page of the models, sorted by name."""
        query: dict[str, Any] = {"page": page, "per_page": per_page} | ({"framework": framework} if framework else {})
        found = await self._http.request("GET", "/models", params=query)
        return [ModelDocument.received(each) for each in found["models"]]

    async def versions(self, name: str) -> list[VersionDocument]:
        """Return a model's versions, oldest first. Raises ModelNotFound."""
        found = await self._http.request("GET", f"/models/{name}/versions")
        return [VersionDocument.received(each) for each in found["versions"]]

    async def delete_model(self, name: str) -> DeletedModel:
        """Delete a model, live or not, with its release, versions and files. Its events stay in the history.

        Returns its name and its versions with their files' digests. Raises ModelNotFound, or Unavailable if a step could not
        be completed; then call it again.
        """
        return DeletedModel.received(await self._http.request("DELETE", f"/models/{name}", params={"confirm": name}))

    async def delete_version(self, name: str, version: str) -> None:
        """Delete a version. Raises VersionInUse while it is part of a release."""
        await self._http.request("DELETE", f"/models/{name}/versions/{version}")


def _json_text(value: Any) -> str:
    return (rows_json(value) if isinstance(value, list) else json_of(value)).decode()
