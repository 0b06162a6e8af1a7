"""What workers say of their work: counts of a short while, which can be added up."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

# A summary that would be larger goes with fewer raw rows, at last with none; its counts of requests always fit.
SUMMARY_BYTES = 1_000_000


class VersionCounts(BaseModel):
    """One version's work. `failed` are requests that it got wrong and stable answered, or that nobody could answer."""

    requests: int = 0
    failed: int = 0
    late: int = Field(default=0, description="of the failed, those that ran past the candidate's share of the deadline")
    latency: dict[int, int] = Field(default_factory=dict, description="log histogram of ms in the worker")
    outputs: dict[str, int] = Field(default_factory=dict, description="answers by label or by bin")
    errors: dict[str, int] = Field(default_factory=dict, description="failures by their message, the first few")


class FeatureCounts(BaseModel):
    """Rows that a version was asked with: on the bins of its profile, or as they are while it has none."""

    rows: int = 0
    counts: list[list[int]] = Field(default_factory=list, description="by feature and bin")
    columns: list[list[float | str | None]] = Field(default_factory=list, description="raw, by feature")
    names: list[str] = Field(default_factory=list, description="of the raw columns")
    measured: dict[str, str] = Field(
        default_factory=dict, description="of the names, those of measures, and the column of texts that each is of"
    )


class Summary(BaseModel):
    """What one worker did for one trial of one model since its summary before.

    `worker`, `epoch` and `seq` make a repeated summary known: a worker counts up within each of its lives.
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
        default_factory=dict, description="which version each number means; an older worker's says nothing of it"
    )
    features: dict[str, FeatureCounts] = Field(default_factory=dict)


# The header by which a record on the same topic is known to be a Difference.
DIFFERENCE = ("mm-kind", b"difference")


class Difference(BaseModel):
    """A worker saw a version's compiled form answer otherwise than the model itself; `how` says it in words.

    It is said, not commanded: what becomes of it the control plane decides, by the release that it holds.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    digest: str = Field(description="of the compiled form")
    how: str
    worker: str


Observation: TypeAlias = Summary | Difference
