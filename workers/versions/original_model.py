"""The model that a version was compiled from, loaded at its first use, since most are never used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...models.values.tensors import Tensors
from .execution import LoadedModel


class OriginalModel:
    """A lazily loaded model. A failed load is retried at the next request."""

    slots = 1

    def __init__(self, load: Callable[[], Awaitable[LoadedModel]]) -> None:
        self._load = load
        self._loading = asyncio.Lock()
        self._loaded: LoadedModel | None = None
        self._closed = False

    async def predict(self, inputs: Tensors) -> Tensors:
        """Run one batch. Raises ModelRefusedInput or ModelFailed, also if the model does not load."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await self._load()
                if self._closed:
                    self._loaded.close()
        return await self._loaded.predict(inputs)

    def close(self) -> None:
        """Release the model."""
        self._closed = True
        if self._loaded is not None:
            self._loaded.close()
