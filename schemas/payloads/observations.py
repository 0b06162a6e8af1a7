"""The workers' records on `observations`: counts of a short interval, which can be added up."""

from __future__ import annotations

from typing import TypeAlias
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field

from .label_reports import LabelReport

# A larger summary is sent with fewer raw rows, or none; its counts of requests always fit.
SUMMARY_BYTES = 1_000_000


# Routing keys are counted by a hash of so many values.
KEY_UNITS = 1024


def key_unit(routing_key: str) -> int:
    """Return a routing key's hash, the same in all workers and independent of the one that assigns versions."""
    return crc32(routing_key.encode()) % KEY_UNITS


class VersionCounts(BaseModel):
    """The counts of one version. `failed` are requests that it failed on, whether stable answered them or not.

    Requests with a routing key are also counted by key, since one user's requests are not independent.
    """

    requests: int = 0
    failed: int = 0
    late: int = Field(default=0, description="of the failed, those that exceeded the candidate's share of the deadline")
    shared: int = Field(default=0, description="of the failed, those that stable failed on too")
    latency: dict[int, int] = Field(default_factory=dict, description="log histogram of ms in the worker")
    keyed_latency: dict[int, int] = Field(
        default_factory=dict, description="a log bin by key's hash: one of its requests, drawn at random"
    )
    keyed: int = Field(default=0, description="requests with a routing key")
    keyed_failed: int = Field(default=0, description="of the failed, those with a routing key")
    failed_units: list[int] = Field(default_factory=list, description="hashes (below KEY_UNITS) of keys that failed")
    outputs: dict[str, int] = Field(default_factory=dict, description="answers by label or by bin")
    errors: dict[str, int] = Field(default_factory=dict, description="failures by their message, the first few")


class FeatureCounts(BaseModel):
    """The rows of a version's requests: counted on the bins of its profile, or raw while it has none."""

    rows: int = 0
    counts: list[list[int]] = Field(default_factory=list, description="by feature and bin")
    columns: list[list[float | str | None]] = Field(default_factory=list, description="raw, by feature")
    names: list[str] = Field(default_factory=list, description="of the raw columns")
    measured: dict[str, str] = Field(default_factory=dict, description="the text column of each name that is a measure")


class Gaps(BaseModel):
    """How far numbers of one output lie apart in two answers: the number of pairs, and the sum and largest of their distances."""

    pairs: int = 0
    total: float = 0.0
    largest: float = 0.0


class PairCounts(BaseModel):
    """Requests that a canary's candidate and, as a mirror, stable answered: one row of each was compared.

    Of requests with a routing key only the first of each key (by its hash) is kept as an observation, since one user's
    requests are not independent.
    """

    compared: int = 0
    differed: int = 0
    keyed: int = Field(default=0, description="of the compared, those with a routing key")
    keyed_differed: int = 0
    units: dict[int, bool] = Field(
        default_factory=dict, description="by key's hash (below KEY_UNITS): whether its first pair differed"
    )
    confusions: dict[str, int] = Field(
        default_factory=dict, description="pairs by \"stable's label -> the candidate's\", where they differ"
    )
    gaps: dict[str, Gaps] = Field(default_factory=dict, description="by output, of those with numbers")
    dropped: int = Field(default=0, description="not compared, since the worker was busy or the request too large")
    unanswered: int = Field(default=0, description="not compared, since stable gave no answer")


class Summary(BaseModel):
    """What one worker did for one trial of one model since its previous summary.

    `worker`, `epoch` and `seq` identify a summary that is delivered twice: `seq` counts up within an epoch.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    trial: int
    worker: str
    epoch: str
    seq: int
    at: float
    versions: dict[str, VersionCounts] = Field(default_factory=dict)
    identities: dict[str, str] = Field(
        default_factory=dict, description="the identity of each version number; missing from older workers"
    )
    features: dict[str, FeatureCounts] = Field(default_factory=dict)
    shares: dict[str, float] = Field(
        default_factory=dict, description="of the requests, by version, as assigned; missing from older workers"
    )
    pairs: PairCounts | None = Field(
        default=None, description="a canary's answers compared pair by pair; missing from older workers"
    )


# The header that marks a record as a Difference.
DIFFERENCE = ("mm-kind", b"difference")


class Difference(BaseModel):
    """A compiled form's answers differed from the model's in a worker; `how` describes it.

    This is a report, not a command: the control plane decides what to do.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    digest: str = Field(description="of the compiled form")
    how: str
    worker: str


Observation: TypeAlias = Summary | Difference | LabelReport
