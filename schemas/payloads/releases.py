"""The record on `deployments`: one model's release, with all that a worker needs to serve it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..trial_id import TrialId
from .compiled_domain import Domain
from .model_memory import Memory
from .overrides import Overrides
from .profiles import OutputBins, Profile
from .rules import Rules, Step
from .signatures import Signature
from .unknown_values import OrUnknown, Unknown

# Limits of a version's warm-up rows; without any, a worker generates some from the signature.
SAMPLE_ROWS, SAMPLE_BYTES = 8, 64_000
# Limits of a version, and of a release with all its versions, in a record.
SPEC_BYTES = 1_000_000
RELEASE_BYTES = 2_500_000

Strategy = Literal["full", "canary", "shadow", "ab"]
VariantRole = Literal["stable", "candidate", "shadow", "arm"]
Framework = Literal["sklearn", "torch", "onnx"]


class Batching(BaseModel):
    """Batching limits: rows per batch, and how long a request waits for others while another batch runs."""

    model_config = ConfigDict(frozen=True)

    max_batch_size: int = Field(default=64, ge=1, le=65_536)
    max_latency_ms: float = Field(default=2.0, ge=0, le=60_000)


class Original(BaseModel):
    """The model that a served form was compiled from. It answers outside the form's domain, and checks a share of the answers."""

    model_config = ConfigDict(frozen=True)

    framework: OrUnknown[Framework]
    artifact: str
    digest: str = Field(description="SHA-256, in hex")
    seal: str = ""


class VersionSpec(BaseModel):
    """What a worker needs to serve one version: artifact, digest and how to run it.

    A version number can be reused after its version is deleted, so it is a name for people only. Loading, judging and
    caching use the `identity`: a hash of the artifact's digest and of everything that affects the answers.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    framework: OrUnknown[Framework]
    served_as: OrUnknown[Framework]
    artifact: str
    digest: str = Field(description="SHA-256 of the served artifact, in hex")
    seal: str = Field(default="", description="ed25519 signature over model, version and digest, in base64")
    author_signature: str = Field(
        default="",
        description="its author's ed25519 signature over the model's name and what was registered, in base64",
    )
    domain: Domain | None = Field(
        default=None, description="the compiled form's domain; None: all inputs, or not compiled"
    )
    original: Original | None = Field(default=None, description="the model that was compiled; None: not compiled")
    alone: bool = Field(default=False, description="a row's answer depends on its batch mates: requests share no batch")
    signature: Signature
    batching: Batching = Batching()
    cache_ttl_seconds: float = Field(default=0.0, description="how long an answer is cached; 0: not at all")
    sample: list[Any] = Field(default_factory=list, description="a few input rows, for the warm-up")
    profile: Profile | None = Field(default=None, description="the reference rows; None: the first live rows become it")
    output_bins: OutputBins | None = Field(default=None, description="how its answers are counted")
    memory: Memory | None = Field(
        default=None, description="memory bound of the served ONNX model; None: determined when it is loaded"
    )
    identity: str = Field(
        default="", description="hash of the artifact's digest and of how it is served; computed if empty"
    )

    @model_validator(mode="after")
    def _has_identity(self) -> VersionSpec:
        if not self.identity:
            self.__dict__["identity"] = self._hash()
        return self

    def _hash(self) -> str:
        # Excluded because they do not affect answers: location, seals, warm-up rows, a learned reference, memory bound.
        excluded: dict[str, Any] = dict.fromkeys(
            ("identity", "artifact", "seal", "author_signature", "sample", "memory"), True
        )
        if self.original is not None:
            excluded["original"] = {"artifact", "seal"}
        if self.profile is not None and self.profile.source == "live":
            excluded["profile"] = True
        return blake2b(
            self.model_dump_json(exclude=excluded, exclude_defaults=True).encode(), digest_size=12
        ).hexdigest()

    def as_original(self) -> VersionSpec:
        """Return the spec that serves the original model; `self` if the version is not compiled."""
        if self.original is None:
            return self
        other = self.model_copy(
            update={
                "served_as": self.original.framework,
                "artifact": self.original.artifact,
                "digest": self.original.digest,
                "seal": self.original.seal,
                "domain": None,
                "original": None,
                "memory": None,
            }
        )
        other.__dict__["identity"] = other._hash()
        return other


def served_sample(rows: list[Any]) -> list[Any]:
    """Return the first rows, as many as SAMPLE_ROWS and SAMPLE_BYTES allow."""
    kept: list[Any] = []
    remaining = SAMPLE_BYTES
    for row in rows[:SAMPLE_ROWS]:
        remaining -= len(orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS))
        if remaining < 0:
            break
        kept.append(row)
    return kept


def sizes_of(spec: VersionSpec) -> tuple[int, str]:
    """Return the size of a spec in bytes, and a description of its largest parts."""
    parts = {
        name: len(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
        for name, value in spec.model_dump(mode="json").items()
    }
    largest = sorted(parts.items(), key=lambda part: -part[1])[:3]
    return sum(parts.values()), ", ".join(f"{name} {size}" for name, size in largest)


class Variant(BaseModel):
    """A version that gets a share of the requests. Weights add up to 1; a shadow's weight is the share of copies."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    weight: float = Field(ge=0, le=1)
    role: OrUnknown[VariantRole]


class CanaryPlan(BaseModel):
    """A canary's stages and rules. Without steps a person raises the share and promotes; with steps the judge does."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[Step, ...] = ()
    step: int = 0
    step_began_at: float = 0.0
    rules: Rules = Rules()
    overrides: Overrides = Overrides()


class RunningCanary(NamedTuple):
    """A running canary: its plan and the versions that it compares."""

    id: TrialId
    plan: CanaryPlan
    stable: str
    candidate: str

    def unpaused(self) -> RunningCanary:
        """Return the canary as if its judge were not paused."""
        overrides = self.plan.overrides.model_copy(update={"paused": None})
        return self._replace(plan=self.plan.model_copy(update={"overrides": overrides}))


class Release(BaseModel):
    """One model's release. `generation` grows by one with each change.

    `trial` is the generation in which the current comparison began. Evidence belongs to a trial; a step of a canary does not
    begin a new one.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    generation: int = Field(ge=1)
    strategy: OrUnknown[Strategy]
    variants: tuple[Variant, ...] = Field(min_length=1)
    versions: dict[str, VersionSpec]
    trial: int = Field(default=1, ge=1)
    began_at: float = Field(default=0.0, description="when the trial began")
    canary: CanaryPlan | None = None
    salt: str = Field(default="", description="mixed into the hash of the routing key")
    updated_at: float = Field(description="seconds since the epoch")
    actor: str = ""
    reason: str = ""

    @model_validator(mode="after")
    def _variants_have_versions(self) -> Release:
        missing = {variant.version for variant in self.variants} - self.versions.keys()
        if missing:
            raise ValueError(f"variants name versions that the release does not describe: {sorted(missing)}")
        return self

    @property
    def stable(self) -> Variant:
        """The variant that answers when another cannot: the one marked stable, else the first."""
        return next((variant for variant in self.variants if variant.role == "stable"), self.variants[0])

    @property
    def id(self) -> TrialId:
        """The trial's public id."""
        return TrialId(self.model, self.trial)

    @property
    def unknown_shape(self) -> str:
        """The strategy or roles that this release of ModelMesh does not know, as text; empty if it knows all."""
        found = [f"strategy {str(self.strategy)!r}"] if isinstance(self.strategy, Unknown) else []
        found += [f"role {str(one.role)!r}" for one in self.variants if isinstance(one.role, Unknown)]
        return ", ".join(found)

    @property
    def running_canary(self) -> RunningCanary | None:
        """The canary, or None."""
        candidate = self.variant("candidate")
        if self.canary is None or candidate is None or self.unknown_shape:
            return None
        return RunningCanary(self.id, self.canary, self.stable.version, candidate.version)

    @property
    def identities(self) -> dict[str, str]:
        """The identity of each version in the release, by number."""
        return {version: spec.identity for version, spec in self.versions.items()}

    def variant(self, role: VariantRole) -> Variant | None:
        """Return the first variant of that role."""
        return next((variant for variant in self.variants if variant.role == role), None)
