"""Which variant a request gets: a pure function of the release and the routing key.

Weighted rendezvous hashing (Schindelhauer, Schomaker, "Weighted Distributed Hash Tables", 2005): each variant derives
from the hash of (trial, variant, key) an exponential variate whose rate is its weight, and the smallest wins. A variant wins
in proportion to its weight. Raising a weight only moves keys to that variant; removing a variant only moves its own keys.
There is no state, so all routers agree, also after a restart.
"""

from __future__ import annotations

import math
from hashlib import blake2b

from ..schemas.payloads.releases import Release, Variant

_HASHES = 2.0**64


def uniform(*parts: str) -> float:
    """Return a pseudorandom number from (0, 1] that is determined by the parts."""
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / _HASHES


def assign(release: Release, routing_key: str) -> Variant:
    """Return the variant that answers. It is never a shadow."""
    running = [variant for variant in release.variants if variant.role != "shadow" and variant.weight > 0]
    if len(running) < 2:
        return running[0] if running else release.stable
    return min(
        running,
        key=lambda variant: -math.log(uniform(release.salt, variant.name, routing_key)) / variant.weight,
    )


def shadow_of(release: Release, request: str) -> Variant | None:
    """Return the shadow variant if it gets a copy of the request. `request` is the request's unique identity."""
    if release.strategy != "shadow":
        return None
    shadow = release.variant("shadow")
    if shadow is None or uniform(release.salt, "copy", request) > shadow.weight:
        return None
    return shadow
