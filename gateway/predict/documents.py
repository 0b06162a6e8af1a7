"""The documents of predictions over HTTP: the service's own, and those of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel


class PredictBody(BaseModel):
    """One row, a list of rows, or an object of named features."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": {"amount": 200, "merchant": "Acme"}}})

    inputs: Any


class Prediction(BaseModel):
    """The answer to one request; each output has one entry a row."""

    model: str
    version: str
    outputs: dict[str, list[Any]]


class BatchPrediction(BaseModel):
    """The answers in the order of the rows; a row that failed has {"error": problem} in its place."""

    predictions: list[Any]
    failed: int


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives; a length of -1 is free."""

    name: str
    datatype: str
    shape: list[int]


class InferenceTensor(TensorMetadata):
    """A tensor with its values: as `data`, or behind the JSON with their number of bytes in `parameters`."""

    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size, binary_data")


class InferenceRequest(BaseModel):
    """What a model is asked. With raw values behind it, Inference-Header-Content-Length says how long the JSON is."""

    id: str = ""
    inputs: list[InferenceTensor]
    outputs: list[dict[str, Any]] | None = Field(default=None, description="the outputs that are wanted; else all")
    parameters: dict[str, Any] = Field(default={}, description="binary_data_output")


class InferenceResponse(BaseModel):
    """What a model answers."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[InferenceTensor]


class ServerMetadata(BaseModel):
    """Who this is."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process is alive."""

    live: bool


class ServerReady(BaseModel):
    """Whether every release can be used."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model, or a version of it, can be asked."""

    name: str
    ready: bool


class ModelMetadata(BaseModel):
    """A model's versions in its release, and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexRequest(BaseModel):
    """Which versions are listed."""

    ready: bool = Field(default=False, description="only those that a worker has loaded")


class IndexEntry(BaseModel):
    """A version in a release."""

    name: str
    version: str
    state: str = Field(description="READY or UNAVAILABLE")
    reason: str


class RepositoryIndex(RootModel[list[IndexEntry]]):
    """The versions that the releases name."""
