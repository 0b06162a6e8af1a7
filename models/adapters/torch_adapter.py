"""PyTorch models as torch.export programs (.pt2) or TorchScript (.pt); never as a pickled module."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput, SetupError
from ...schemas.releases import Framework
from ...schemas.signatures import DType, Signature, TensorSpec
from ..infer_signature import infer_inputs
from ..parity import TOLERANCE
from ..tensors import Tensors
from .base import Predictor
from .registry import module_roots

_DTYPES: dict[str, DType] = {
    "torch.float64": "float64",
    "torch.float32": "float32",
    "torch.int64": "int64",
    "torch.int32": "int32",
    "torch.bool": "bool",
}


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise SetupError("PyTorch is not installed here: pip install 'modelmesh[torch]'") from None
    return torch


class TorchPredictor:
    """A program on the CPU. Outputs are named `output`, or `output_0`, `output_1`, ... where there are several."""

    def __init__(self, module: Any, signature: Signature, exported: Any | None) -> None:
        self._module = module
        self.signature = signature
        self.exported = exported

    def predict(self, inputs: Tensors) -> Tensors:
        """Run the program without gradients."""
        import torch

        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in self.signature.inputs]
        with torch.inference_mode():
            result = self._module(*tensors)
        if isinstance(result, dict):
            return {str(name): value.numpy() for name, value in result.items()}
        if isinstance(result, tuple | list):
            return {f"output_{number}": value.numpy() for number, value in enumerate(result)}
        return {"output": result.numpy()}


class TorchAdapter:
    """Serves exported programs; compiles them with torch.onnx."""

    framework: Framework = "torch"
    suffix = ".pt2"
    releases_gil = True
    tolerance = TOLERANCE

    def recognises(self, model: Any) -> bool:
        """A module or an exported program."""
        return "torch" in module_roots(model)

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Export a module with a free number of rows, or write what is exported or scripted already."""
        torch = _import_torch()
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, str(path))
            return
        if not isinstance(model, torch.export.ExportedProgram):
            if sample is None:
                raise InvalidInput(
                    "a torch module is exported by an example: give a sample of a few rows", field="sample"
                )
            example = torch.as_tensor(np.asarray(sample))
            if example.dtype == torch.float64:
                example = example.float()
            if len(example) < 2:  # an example of one row would fix the number of rows at one
                example = torch.cat([example, example])
            rows = torch.export.Dim("rows")
            model = torch.export.export(model.eval(), (example,), dynamic_shapes=({0: rows},))
        torch.export.save(model, str(path))

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Load a program. Raises InvalidInput for a pickle, which could run anything."""
        torch = _import_torch()
        torch.set_num_threads(threads)
        try:
            names = zipfile.ZipFile(path).namelist()
        except zipfile.BadZipFile:
            names = []
        scripted = any("/code/" in name for name in names)
        exported_file = any(name.endswith(("serialized_exported_program.json", "models/model.json")) for name in names)
        if not scripted and not exported_file:
            raise InvalidInput(
                "this is neither a torch.export program nor TorchScript (a pickled module is not accepted): "
                "save it with torch.export.save(torch.export.export(...), path)"
            )
        exported: Any | None = None
        try:
            if scripted:
                module = torch.jit.load(str(path), map_location="cpu").eval()
            else:
                # A buffer: a path without .pt2 at its end, as the store has them, is warned about on standard error.
                exported = torch.export.load(io.BytesIO(path.read_bytes()))
                module = exported.module()
        except Exception as error:  # torch raises RuntimeError, pickle errors and its own
            raise InvalidInput(f"torch cannot load the file: {error}") from error
        if signature is None:
            signature = _signature(torch, exported, sample)
        return TorchPredictor(module, signature, exported)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return the ONNX form of an exported program; TorchScript is served as it is."""
        assert isinstance(predictor, TorchPredictor)
        if predictor.exported is None:
            return []
        torch = _import_torch()
        try:
            names = [spec.name for spec in predictor.signature.inputs]
            program = torch.onnx.export(predictor.exported, dynamo=True, input_names=names, verbose=False)
            buffer = io.BytesIO()
            program.save(buffer)
        except Exception:
            return []
        return [buffer.getvalue()]

    def libraries(self) -> list[str]:
        """PyTorch and what its arrays become."""
        return ["torch", "numpy", "onnxruntime"]


def _signature(torch: Any, exported: Any | None, sample: list[Any]) -> Signature:
    if exported is None:
        return Signature(inputs=infer_inputs(sample, names=None, count=None, dtype="float32"))
    specs = []
    user_inputs = set(exported.graph_signature.user_inputs)
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in user_inputs:
            value = node.meta["val"]
            if not value.shape or isinstance(value.shape[0], int):
                raise InvalidInput(
                    f"input {node.name} has a fixed number of rows: export it with a dynamic first dimension",
                    field=node.name,
                )
            per_row = tuple(size if isinstance(size, int) else -1 for size in value.shape[1:])
            if str(value.dtype) not in _DTYPES:
                raise InvalidInput(f"input {node.name} has type {value.dtype}, which is not served", field=node.name)
            specs.append(TensorSpec(name=node.name, dtype=_DTYPES[str(value.dtype)], shape=(-1, *per_row)))
    return Signature(inputs=tuple(specs))
