"""The recorder's records on `observations`: answers whose true label has come, for the judge."""

from __future__ import annotations

from typing import Literal, NamedTuple
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field

# The header that marks a record as a LabelReport.
LABELLED = ("mm-kind", b"labelled")
# Routing keys of labelled requests are told apart by a hash of so many values: the judge keeps a bit for each.
LABEL_UNITS = 8192

Kind = Literal["right", "error"]


def label_unit(routing_key: str) -> int:
    """Return a routing key's hash, below LABEL_UNITS and independent of the one that assigns versions."""
    return crc32(routing_key.encode()) % LABEL_UNITS


class LabelledAnswer(NamedTuple):
    """One request with a label.

    `generation` is the release by whose shares the request was assigned, `candidate` whether it was assigned to the candidate,
    `loss` 0 or 1 (wrong) for a classifier and the mean absolute error for a regressor, `unit` the hash of its routing key.
    """

    generation: int
    candidate: bool
    loss: float
    unit: int | None = None


class LabelReport(BaseModel):
    """Requests of one trial whose first label came since the report before. `number` grows from report to report."""

    model_config = ConfigDict(frozen=True)

    model: str
    trial: int
    number: int
    at: float = Field(description="when the labels met their answers, in seconds since the epoch")
    kind: Kind = Field(description="right: labels that are right or wrong; error: numbers with an absolute error")
    answers: list[LabelledAnswer] = Field(max_length=10_000)
