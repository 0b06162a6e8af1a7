"""The headers that a router adds to a request."""

from __future__ import annotations

from ..schemas import records
from .route import Route

# Only the router writes these. Those of a client are dropped.
ROUTER_HEADERS = frozenset(
    (
        records.VARIANT,
        records.VERSION,
        records.VERSION_ID,
        records.TRIAL,
        records.GENERATION,
        records.SHADOW,
        records.ROLE,
        records.DIGEST,
        records.FILL,
    )
)


def assigned_headers(route: Route) -> list[tuple[str, bytes]]:
    """Return the headers that say which version was assigned, for which trial and by which release."""
    return [
        (records.VARIANT, route.variant.encode()),
        (records.VERSION, route.version.encode()),
        (records.VERSION_ID, route.identity.encode()),
        (records.TRIAL, b"%d" % route.trial),
        (records.GENERATION, b"%d" % route.generation),
    ]
