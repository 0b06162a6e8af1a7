"""ONNX models, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput
from ...schemas.releases import Framework
from ...schemas.signatures import DType, Signature, TensorSpec
from ..compiled.domain import SURE, only_sure
from ..parity import TOLERANCE
from ..tensors import NUMPY_DTYPES, Tensors
from .base import Predictor

_DTYPES: dict[str, DType] = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


def _dtype(tensor: Any) -> DType:
    if tensor.type not in _DTYPES:
        raise InvalidInput(
            f"the ONNX tensor {tensor.name} has type {tensor.type}, which is not served", field=tensor.name
        )
    return _DTYPES[tensor.type]


def _spec(tensor: Any) -> TensorSpec:
    if not tensor.shape:
        raise InvalidInput(f"the ONNX tensor {tensor.name} has no dimension for rows", field=tensor.name)
    per_row = tuple(size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape[1:])
    return TensorSpec(name=tensor.name, dtype=_dtype(tensor), shape=(-1, *per_row))


def _output_array(value: Any) -> NDArray[Any]:
    """ZipMap gives a list of {class: probability}; everything else is an array already."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return np.array([list(row.values()) for row in value])
    return np.asarray(value)


class OnnxPredictor:
    """An ONNX Runtime session; `run` is thread-safe and releases the GIL.

    The signature is the session's own, or that of the model it was compiled from: then columns are put together as the
    session wants them, and integer or string columns become (rows, 1).
    """

    def __init__(self, model: bytes | Path, signature: Signature | None, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # an error is raised; on standard error it would stand between the lines of JSON
        # A thread that spins for work takes a core from its neighbours.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own classes straight from Exception
            raise InvalidInput(f"this is not an ONNX model that ONNX Runtime can run: {error}") from None
        self._inputs = self._session.get_inputs()
        self._output_names = [output.name for output in self._session.get_outputs()]
        self.guarded = SURE in self._output_names
        self._one_row_at_a_time = any(tensor.shape and tensor.shape[0] == 1 for tensor in self._inputs)
        self.signature = signature or Signature(inputs=tuple(map(_spec, self._inputs)))
        self._joins_columns = len(self._inputs) == 1 and len(self.signature.inputs) > 1

    def predict(self, inputs: Tensors) -> Tensors:
        """Run the session. Raises OutsideDomain for rows that a compiled form leaves to the model."""
        feeds = self._feeds(inputs)
        if not self._one_row_at_a_time:
            outputs = dict(zip(self._output_names, map(_output_array, self._session.run(None, feeds)), strict=True))
            return self._as_signed(outputs if not self.guarded else only_sure(outputs))
        rows = len(next(iter(feeds.values())))
        singles = [
            [_output_array(out) for out in self._session.run(None, {k: v[n : n + 1] for k, v in feeds.items()})]
            for n in range(rows)
        ]
        return {
            name: np.concatenate(parts)
            for name, parts in zip(self._output_names, zip(*singles, strict=True), strict=True)
        }

    def _as_signed(self, outputs: Tensors) -> Tensors:
        """Converters turn true and false into 1 and 0, and one value a row into a column; the signature knows better."""
        for spec in self.signature.outputs:
            if spec.name in outputs:
                array = outputs[spec.name]
                if array.ndim == len(spec.shape) + 1 and array.shape[-1] == 1:
                    array = array[..., 0]
                outputs[spec.name] = array.astype(bool) if spec.dtype == "bool" else array
        return outputs

    def _feeds(self, inputs: Tensors) -> Tensors:
        if self._joins_columns:
            tensor = self._inputs[0]
            columns = [inputs[spec.name] for spec in self.signature.inputs]
            return {tensor.name: np.column_stack(columns).astype(NUMPY_DTYPES[_dtype(tensor)], copy=False)}
        feeds: Tensors = {}
        for tensor, spec in zip(self._inputs, self.signature.inputs, strict=True):
            array = inputs[spec.name]
            if array.ndim + 1 == len(tensor.shape):
                array = array[:, None]
            feeds[tensor.name] = array.astype(NUMPY_DTYPES[_dtype(tensor)], copy=False)
        return feeds


class OnnxAdapter:
    """Serves .onnx files as they are."""

    framework: Framework = "onnx"
    suffix = ".onnx"
    releases_gil = True
    tolerance = TOLERANCE

    def recognises(self, model: Any) -> bool:
        """A ModelProto."""
        return type(model).__module__.startswith("onnx.") and type(model).__name__ == "ModelProto"

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write a ModelProto, or its bytes."""
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Open a session; the signature is in the model."""
        return OnnxPredictor(path, signature, threads)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Nothing to do: it is ONNX already."""
        return []

    def libraries(self) -> list[str]:
        """ONNX Runtime."""
        return ["onnxruntime", "numpy"]
