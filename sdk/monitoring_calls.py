"""The client's calls to `/monitoring`, `/labels`, `/events` and `/health`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from itertools import islice
from typing import Any

from ..models.values.json_values import json_of
from ..schemas.documents.monitoring import Health, Monitored, State
from ..schemas.documents.releases import EventDocument
from .gateway_session import GatewaySession, model_query

LABELS_PER_REQUEST = 5000


class MonitoringCalls:
    """Read monitoring results and events, and send labels."""

    _http: GatewaySession

    async def drift(self, name: str) -> Monitored:
        """Return how the live inputs differ from the reference, by version and feature. Raises NotFound."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/drift/{name}"))

    async def latency(self, name: str | None = None) -> dict[str, Any]:
        """Return p50, p95 and p99 in ms over 1 min, 5 min and 1 h, by model and version."""
        found = await self._http.request("GET", "/monitoring/latency", params=model_query(name))
        models: dict[str, Any] = found["models"]
        return models

    async def accuracy(self, name: str) -> Monitored:
        """Return each version's accuracy over 1 h, 24 h and all labels. Raises NotFound before the first label."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/accuracy/{name}"))

    async def errors(self, name: str | None = None) -> dict[str, Any]:
        """Return requests, failures and the failure rate of the current trial, by model and version."""
        found = await self._http.request("GET", "/monitoring/errors", params=model_query(name))
        models: dict[str, Any] = found["models"]
        return models

    async def shadow(self, name: str) -> Monitored:
        """Return how a shadow's answers differ from production's. Raises NotFound."""
        return Monitored.received(await self._http.request("GET", f"/monitoring/shadow/{name}"))

    async def send_labels(self, name: str, labels: Mapping[str, Any]) -> int:
        """Send the true values by request id: one value, or one for each row of a request. Return how many were accepted.

        They are compared with the answers within seconds: see `accuracy`. A later label replaces an earlier one.
        """
        accepted, pairs = 0, iter(labels.items())
        while part := dict(islice(pairs, LABELS_PER_REQUEST)):
            body = json_of({"labels": part})
            accepted += (await self._http.request("POST", f"/labels/{name}", data=body))["accepted"]
        return accepted

    async def watch(self, name: str | None = None) -> AsyncGenerator[EventDocument, None]:
        """Iterate over live events of one model or of all, without end."""
        async for event in self._http.events("/events", params=model_query(name)):
            yield EventDocument.received(event)

    async def dashboard_state(self) -> State:
        """Return the state that the dashboard shows: every model with its monitoring results, and every live replica."""
        return State.received(await self._http.request("GET", "/ui/state"))

    async def health(self) -> Health:
        """Return the health of the mesh; a mesh that is not ready is not an error here."""
        return Health.received(await self._http.request("GET", "/health", accept=(503,)))
