"""Request and response types of predictions over HTTP: ModelMesh's own and those of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel


class PredictBody(BaseModel):
    """One row, a list of rows, or an object of named features."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": {"amount": 200, "merchant": "Acme"}}})

    inputs: Any


class Prediction(BaseModel):
    """The response to one request; each output has one entry a row."""

    model: str
    version: str
    outputs: dict[str, list[Any]]


class BatchPrediction(BaseModel):
    """The predictions in the order of the rows; a failed row has {"error": problem} instead."""

    predictions: list[Any]
    failed: int


class TensorMetadata(BaseModel):
    """An input or output tensor of a model; a dimension of -1 may have any length."""

    name: str
    datatype: str
    shape: list[int]


class InferenceTensor(TensorMetadata):
    """A tensor with its values: in `data`, or as raw bytes after the JSON with their size in `parameters`."""

    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size, binary_data")


class InferenceRequest(BaseModel):
    """An inference request. If raw values follow the JSON, Inference-Header-Content-Length is the length of the JSON."""

    id: str = ""
    inputs: list[InferenceTensor]
    outputs: list[dict[str, Any]] | None = Field(default=None, description="the requested outputs; default: all")
    parameters: dict[str, Any] = Field(default={}, description="binary_data_output")


class InferenceResponse(BaseModel):
    """An inference response."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[InferenceTensor]


class ServerMetadata(BaseModel):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process is alive."""

    live: bool


class ServerReady(BaseModel):
    """Whether every release is ready."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model, or one of its versions, is ready."""

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
    """Which versions to list."""

    ready: bool = Field(default=False, description="only versions that a worker has loaded")


class IndexEntry(BaseModel):
    """A version in a release."""

    name: str
    version: str
    state: str = Field(description="READY or UNAVAILABLE")
    reason: str


class RepositoryIndex(RootModel[list[IndexEntry]]):
    """The versions in all releases."""
