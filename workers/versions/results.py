"""The results of requests and batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from ...models.values.tensors import Tensors
from ...schemas.errors import ModelMeshError
from ...schemas.records import JSON, PredictionRequest
from ...schemas.value_class import value_class

Token = TypeVar("Token")  # an object that the caller gets back with the result


@value_class
class RequestResult(Generic[Token]):
    """The result of one request: the answer's body or the error, and the rows of its batch (0: it never ran)."""

    request: PredictionRequest
    token: Token
    outcome: bytes | ModelMeshError
    version: str
    batch_rows: int
    content_type: str = JSON
    identity: str = ""


@value_class
class BatchRun:
    """A batch that ran: its inputs and outputs, and the time in the model."""

    version: str
    trial: int
    rows: int
    seconds: float
    inputs: Tensors
    outputs: Tensors
    waits: list[float]  # seconds that each request was in the queue
    traceparents: list[str]  # of the traced requests
    identity: str = ""
    requests: Sequence[tuple[PredictionRequest, int]] = ()  # with their numbers of rows, in the order of the rows
