"""Build the spec of a registered version for workers."""

from __future__ import annotations

from ..models.proof.proof import Proof
from ..schemas.errors import RegistrationRefused
from ..schemas.payloads.releases import SPEC_BYTES, VersionSpec, served_sample, sizes_of
from .registration import Registration
from .storage.database import VersionRow


def spec_of(row: VersionRow) -> VersionSpec:
    """Return the spec that a worker serves: the compiled form, unless a difference from the model was found."""
    compiled = row.artifact_digest != row.source_digest
    original = {
        "framework": row.framework,
        "artifact": row.source_url,
        "digest": row.source_digest,
        "seal": row.proof.get("source_seal", ""),
    }
    spec = VersionSpec.model_validate(
        {
            "version": row.version,
            "framework": row.framework,
            "served_as": row.served_as,
            "artifact": row.artifact_url,
            "digest": row.artifact_digest,
            "seal": row.seal,
            "author_signature": row.proof.get("author_signature", ""),
            "domain": row.parity.get("domain"),
            "original": original if compiled else None,
            "alone": row.proof.get("alone", False),
            "memory": row.proof.get("memory"),
            "signature": row.signature,
            "batching": row.batching,
            "cache_ttl_seconds": row.cache_ttl_seconds,
            "sample": served_sample(row.sample),
            "profile": row.profile,
            "output_bins": row.output_bins,
        }
    )
    return spec.as_original() if compiled and row.parity.get("differs") else spec


def check_size(registration: Registration, proof: Proof) -> None:
    """Raise RegistrationRefused if the version's description is too large for a record."""
    described = VersionSpec(
        version="1.0.0",
        framework=registration.framework,
        artifact="",
        digest="",
        **{
            name: getattr(proof, name)
            for name in ("served_as", "domain", "signature", "sample", "profile", "output_bins")
        },
    )
    size, parts = sizes_of(described)
    if size > SPEC_BYTES:
        raise RegistrationRefused(
            f"the description of this version takes {size} bytes, more than the limit of {SPEC_BYTES}; its largest parts, in "
            f"bytes, are {parts}. Register many columns as one matrix"
        )
