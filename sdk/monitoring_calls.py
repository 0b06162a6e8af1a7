"""Monitoring: what the client asks of `/monitoring`, `/labels`, `/events` and `/health`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from itertools import islice
from typing import Any

from ..models.values.json_values import json_of
from ..schemas.documents.monitoring import Health, Monitored, State
from ..schemas.documents.releases import EventDocument
from .gateway_session import GatewaySession

LABELS_AT_ONCE = 5000


class MonitoringCalls:
    """What the judge knows, events as they come, and what was right."""

    _http: GatewaySession

    async def drift(self, name: str) -> Monitored:
        """Return how the live inputs differ from the reference, by version and feature. Raises NotFound."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/drift/{name}"))

    async def latency(self, name: str | None = None) -> dict[str, Any]:
        """Return p50, p95 and p99 in ms over 1 min, 5 min and 1 h, by model and version."""
        query = {"model": name} if name else {}
        models: dict[str, Any] = (await self._http.request("GET", "/monitoring/latency", params=query))["models"]
        return models

    async def accuracy(self, name: str) -> Monitored:
        """Return how right each version's answers were, over 1 h, 24 h and all labels. Raises NotFound before the first."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/accuracy/{name}"))

    async def errors(self, name: str | None = None) -> dict[str, Any]:
        """Return requests, failures and the failure rate of the present trial, by model and version."""
        query = {"model": name} if name else {}
        models: dict[str, Any] = (await self._http.request("GET", "/monitoring/errors", params=query))["models"]
        return models

    async def shadow(self, name: str) -> Monitored:
        """Return how a shadow's answers differ from production's. Raises NotFound."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/shadow/{name}"))

    async def send_labels(self, name: str, labels: Mapping[str, Any]) -> int:
        """Say what was right, by request id: one value, or for a request of several rows one for each. Return how many.

        Each is compared with the answer within seconds: see `accuracy`. A later label replaces an earlier one.
        """
        taken, pairs = 0, iter(labels.items())
        while part := dict(islice(pairs, LABELS_AT_ONCE)):
            body = json_of({"labels": part})
            taken += (await self._http.request("POST", f"/labels/{name}", data=body))["accepted"]
        return taken

    async def watch(self, name: str | None = None) -> AsyncGenerator[EventDocument, None]:
        """Iterate over events as they come, of one model or of all, without end."""
        async for event in self._http.events("/events", params={"model": name} if name else {}):
            yield EventDocument.received(event)

    async def dashboard_state(self) -> State:
        """Return what the dashboard shows now: every model with what the judge knows, and every live replica."""
        return State.received(await self._http.request("GET", "/ui/state"))

    async def health(self) -> Health:
        """Return what works; not being ready is no error here."""
        return Health.received(await self._http.request("GET", "/health", accept=(503,)))
