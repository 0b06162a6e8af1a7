"""Run an ONNX model with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, ModelFailed
from ...schemas.payloads.signatures import Category, Signature
from ..artifacts.onnx_files import clean_message, explain_load_error, with_float32_edges
from ..compiled.domain import SURE, only_sure
from ..values.tensors import NUMPY_DTYPES, Tensors
from .onnx_signature import dtype_of, fixed_rows, shared_sizes, signature_of

_NARROW = "tensor(bfloat16)"
_NO_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")


def _by_class(name: str, rows: list[dict[Category, float]]) -> tuple[NDArray[Any], tuple[Category, ...]]:
    """Return each row's {class: probability} as one matrix, and the classes of its columns."""
    classes = tuple(rows[0])
    if any(row.keys() != rows[0].keys() for row in rows):
        raise InvalidInput(f"the output {name} has other classes in some rows than in others", field=name)
    return np.array([[row[each] for each in classes] for row in rows]), classes


class OnnxPredictor:
    """An ONNX Runtime session; `run` is thread-safe and releases the GIL.

    The signature is the session's own, or that of the model it was compiled from: then columns are joined as the session
    requires, and integer or string columns become (rows, 1). A graph with a fixed number of rows is run as often as needed;
    the last run is padded with the last row. `classes` holds the classes of each ZipMap's columns, after its first run.
    """

    def __init__(self, model: bytes | Path, signature: Signature | None, threads: int) -> None:
        self._session = _session(model, threads)
        self._options: Any = None
        if any(_NARROW in tensor.type for tensor in [*self._session.get_inputs(), *self._session.get_outputs()]):
            self._session = _session(with_float32_edges(_document(model)), threads)
        self._inputs = self._session.get_inputs()
        outputs = self._session.get_outputs()
        self._output_names = [output.name for output in outputs]
        self.guarded = SURE in self._output_names
        self.classes: dict[str, tuple[Category, ...]] = {}
        self._fixed_rows = fixed_rows(self._inputs)
        self._own = signature is None
        if signature is None:
            signature = signature_of(self._inputs, outputs)
        self.signature = signature
        self._joins_columns = len(self._inputs) == 1 and len(self.signature.inputs) > 1
        self._shared_sizes = shared_sizes(self._inputs)

    def release_memory_after_runs(self) -> None:
        """Release memory after each run. By default ONNX Runtime's arena keeps it for the next run."""
        import onnxruntime

        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def predict(self, inputs: Tensors) -> Tensors:
        """Run the session. Raises OutsideDomain for rows that a compiled form leaves to the original model, InvalidInput for
        inputs that the graph refuses, ModelFailed if memory is exhausted.
        """
        feeds = self._feeds(inputs)
        if self._fixed_rows is not None:
            return self._in_parts(feeds, self._fixed_rows)
        outputs = self._run(feeds)
        return self._as_signed(outputs if not self.guarded else only_sure(outputs))

    def _run(self, feeds: Tensors) -> Tensors:
        from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

        try:
            answers = self._session.run(None, feeds, self._options)
        except InvalidArgument as error:
            raise InvalidInput(
                f"the model does not take these inputs: {clean_message(error)[:400]}", field="inputs"
            ) from None
        except Exception as error:  # ONNX Runtime's error classes derive from Exception directly
            if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
                raise ModelFailed(
                    "the model needs more memory for these inputs than its limit: send smaller ones, or raise "
                    "MODELMESH_MODEL_MEMORY_BYTES"
                ) from None
            raise
        return {name: self._array(name, value) for name, value in zip(self._output_names, answers, strict=True)}

    def _array(self, name: str, value: Any) -> NDArray[Any]:
        """Return an output as an array. A ZipMap returns a list of {class: probability}, a sequence a list of arrays."""
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list) or any(each is None for each in value):
            raise InvalidInput(f"the output {name} is {type(value).__name__}, not a tensor", field=name)
        if value and isinstance(value[0], dict):
            array, self.classes[name] = _by_class(name, value)
            return array
        if len({np.shape(each) for each in value}) > 1:
            raise InvalidInput(f"the output {name} is a sequence of tensors that differ in shape", field=name)
        return np.asarray(value)

    def _in_parts(self, feeds: Tensors, size: int) -> Tensors:
        rows = len(next(iter(feeds.values())))
        parts = []
        for start in range(0, rows, size):
            part = {name: array[start : start + size] for name, array in feeds.items()}
            padding = start + size - rows
            if padding > 0:
                part = {
                    name: np.concatenate([array, np.repeat(array[-1:], padding, 0)]) for name, array in part.items()
                }
            parts.append(self._run(part))
            for name, array in parts[-1].items():
                if array.ndim == 0 or len(array) != size:
                    raise InvalidInput(
                        f"output {name} has shape {array.shape} for {size} rows: one row in, one row out", field=name
                    )
        return {name: np.concatenate([part[name] for part in parts])[:rows] for name in self._output_names}

    def _as_signed(self, outputs: Tensors) -> Tensors:
        """Return the outputs with the types and shapes of the signature: converters turn booleans into integers and vectors into
        columns.
        """
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
            return {tensor.name: np.column_stack(columns).astype(NUMPY_DTYPES[dtype_of(tensor)], copy=False)}
        feeds: Tensors = {}
        for tensor, spec in zip(self._inputs, self.signature.inputs, strict=True):
            array = inputs[spec.name]
            if array.ndim + 1 == len(tensor.shape):
                array = array[:, None]
            if self._own and array.dtype.kind == "O" and None in array.ravel().tolist():
                # ONNX has no missing strings: ONNX Runtime would read the string "None".
                raise InvalidInput(f"{spec.name}: the model takes no missing value", field=spec.name)
            feeds[tensor.name] = array.astype(NUMPY_DTYPES[dtype_of(tensor)], copy=False)
        for (one, axis), (other, place) in self._shared_sizes:
            if feeds[one].shape[axis] != feeds[other].shape[place]:
                raise InvalidInput(
                    f"{one} and {other} must have the same length in dimensions {axis} and {place}, found "
                    f"{feeds[one].shape[axis]} and {feeds[other].shape[place]}",
                    field=other,
                )
        return feeds


def _session(model: bytes | Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; on standard error they would mix with the JSON log
    # A spinning thread would take a core from other models.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Never ONNX Runtime's other format (ORT), which is not checked here.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's error classes derive from Exception directly
        raise InvalidInput(
            f"this is not an ONNX model that ONNX Runtime can run: {explain_load_error(_document(model), error)}",
            field="artifact",
        ) from None


def _document(model: bytes | Path) -> Any:
    import onnx

    try:
        if isinstance(model, bytes):
            return onnx.load_from_string(model)
        return onnx.load(str(model), load_external_data=False)
    except Exception:  # protobuf's own errors
        raise InvalidInput("the file is not an ONNX model", field="artifact") from None
