"""Which variant a request gets: a pure function of the release and the routing key.

Weighted rendezvous hashing (Schindelhauer, Schomaker, "Weighted Distributed Hash Tables", 2005): each variant draws from the
hash of (trial, variant, key) a time that is exponential with its weight as rate, and the first wins. A variant wins with its
share of the weights; raising a weight only moves keys to it, and taking a variant away only moves those that it had.
Nothing is remembered, so every router, restarted or not, says the same.
"""

from __future__ import annotations

import math
from hashlib import blake2b

from ..schemas.payloads.releases import Release, Variant

_HASHES = 2.0**64


def uniform(*parts: str) -> float:
    """Return a number from (0, 1], the same for the same parts and as good as random otherwise."""
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / _HASHES


def assign(release: Release, routing_key: str) -> Variant:
    """Return the variant that answers; a shadow never does."""
    running = [variant for variant in release.variants if variant.role != "shadow" and variant.weight > 0]
    if len(running) < 2:
        return running[0] if running else release.stable
    return min(
        running,
        key=lambda variant: -math.log(uniform(release.salt, variant.name, routing_key)) / variant.weight,
    )


def shadow_of(release: Release, request: str) -> Variant | None:
    """Return the variant that gets a copy of the request, if one does; `request` is what is its alone."""
    if release.strategy != "shadow":
        return None
    shadow = release.variant("shadow")
    if shadow is None or uniform(release.salt, "copy", request) > shadow.weight:
        return None
    return shadow
