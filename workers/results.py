"""What came of a request, and of a batch."""

from __future__ import annotations

from typing import Generic, TypeVar

from ..models.values.tensors import Tensors
from ..schemas.errors import ModelMeshError
from ..schemas.records import JSON, PredictionRequest
from ..schemas.value_class import value_class

Token = TypeVar("Token")  # whatever the caller needs back with the answer


@value_class
class RequestResult(Generic[Token]):
    """What came of one request: the answer's body or the error, and how many rows its batch had (0: never ran)."""

    request: PredictionRequest
    token: Token
    outcome: bytes | ModelMeshError
    version: str
    batch_rows: int
    content_type: str = JSON
    identity: str = ""


@value_class
class BatchRun:
    """A batch that ran: its inputs and outputs, and how long it took in the model."""

    version: str
    trial: int
    rows: int
    seconds: float
    inputs: Tensors
    outputs: Tensors
    waits: list[float]  # seconds that each request was in the queue
    traceparents: list[str]  # of the requests that are traced
    identity: str = ""
