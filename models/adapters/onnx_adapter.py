"""The adapter for ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...schemas.errors import InvalidInput
from ...schemas.payloads.releases import Framework
from ...schemas.payloads.signatures import Signature
from ..artifacts.onnx_check import outside_data
from ..proof.parity import TOLERANCE
from .base import Predictor
from .onnx_predictor import OnnxPredictor


class OnnxAdapter:
    """Saves and loads .onnx files."""

    framework: Framework = "onnx"
    suffix = ".onnx"
    runs_in_worker = True
    tolerance = TOLERANCE

    def recognises(self, model: Any) -> bool:
        """Whether the object is a ModelProto."""
        return type(model).__module__.startswith("onnx.") and type(model).__name__ == "ModelProto"

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write a ModelProto, or its bytes. Raises InvalidInput if it has external data, or is too large for one file."""
        if isinstance(model, bytes):
            path.write_bytes(model)
            return
        if not self.recognises(model):
            raise InvalidInput(
                f"{type(model).__name__} is not an ONNX model: give a ModelProto or its bytes", field="model_object"
            )
        if (outside := outside_data(model)) is not None:
            raise InvalidInput(
                f"the data of the tensor {outside[0][:80]!r} is in the file {outside[1][:80]!r}: load the model with it, "
                "onnx.load(path) or onnx.load_external_data_for_model(model, folder)",
                field="model_object",
            )
        try:
            path.write_bytes(model.SerializeToString())
        except Exception as error:  # protobuf limits a message to 2 GB
            raise InvalidInput(f"the model cannot be written as one file: {error}", field="model_object") from None

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Create a session. Without a signature, the graph's own is used."""
        return OnnxPredictor(path, signature, threads)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return no forms: the model is ONNX already."""
        return []

    def libraries(self) -> list[str]:
        """Return ONNX Runtime and numpy."""
        return ["onnxruntime", "numpy"]
