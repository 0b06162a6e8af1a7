"""Models and versions: what the client asks of `/models`."""

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
    """Register, list and delete."""

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
        """Register a model object or the path of a file; return what was registered.

        `sample` is a few input rows (a DataFrame, an array or a list): the signature is inferred from them and their types,
        and the model proves itself on them; without them, on the first rows of `data`, or on what the model itself says it
        has seen. `data` is the training data: its digest is kept, and its first 5,000 rows are what live rows are compared
        with to see drift; without it the first live rows are. Of rows that take more than 32 MiB as JSON, large pictures say,
        the first that fit are sent. Without a version the major is raised. With
        `cache_ttl_seconds` an answer to the same inputs is given again for so long, which only a model that answers the same
        rows the same way may ask for. `author_signature` is what `modelmesh sign` gave for the file, where the deployment takes
        code from signers alone. Sent again with the same `idempotency_key`, within a day, it is not registered again.
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
        """Send the model's file; where the deployment takes no code, the same model as data, if it can be written so."""
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
            # An estimator as skops, a torch module as ONNX.
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
        """Return one page of models by name."""
        query: dict[str, Any] = {"page": page, "per_page": per_page} | ({"framework": framework} if framework else {})
        found = await self._http.request("GET", "/models", params=query)
        return [ModelDocument.received(each) for each in found["models"]]

    async def versions(self, name: str) -> list[VersionDocument]:
        """Return a model's versions, oldest first. Raises ModelNotFound."""
        found = await self._http.request("GET", f"/models/{name}/versions")
        return [VersionDocument.received(each) for each in found["versions"]]

    async def delete_model(self, name: str) -> DeletedModel:
        """Remove a model whole, live or not: release, versions and files, for good. What it did stays in the history.

        Returns its name and its versions with their files' digests. Raises ModelNotFound; Unavailable where a part of it
        has to wait, then ask again.
        """
        return DeletedModel.received(await self._http.request("DELETE", f"/models/{name}", params={"confirm": name}))

    async def delete_version(self, name: str, version: str) -> None:
        """Forget a version. Raises VersionInUse while a release sends requests to it."""
        await self._http.request("DELETE", f"/models/{name}/versions/{version}")


def _json_text(value: Any) -> str:
    return (rows_json(value) if isinstance(value, list) else json_of(value)).decode()
