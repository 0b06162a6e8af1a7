"""PyTorch models as torch.export programs (.pt2) or TorchScript (.pt), both of which are code; never as a pickled module."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput, SetupError
from ...schemas.payloads.releases import Framework
from ...schemas.payloads.signatures import Signature
from ..proof.infer_signature import INPUT, infer_inputs
from ..proof.parity import TOLERANCE
from ..values.columns import NUMPY_DTYPES
from .base import Predictor
from .registry import module_roots
from .torch_compile import onnx_forms
from .torch_export import export
from .torch_onnx import onnx_form
from .torch_predictor import TorchPredictor, signature_of

_TRAINING_ARGUMENT = {"dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "batch_norm": 5, "instance_norm": 5}


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise SetupError("PyTorch is not installed here: pip install 'modelmesh[torch]'") from None
    return torch


class TorchAdapter:
    """Serves exported programs; compiles those that are the same function in ONNX."""

    framework: Framework = "torch"
    suffix = ".pt2"
    runs_in_worker = False
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
        model = _program(torch, model, sample)
        try:
            torch.export.save(model, str(path))
        except Exception as error:  # torch has no one error for what its format cannot hold
            raise InvalidInput(
                f"torch.export cannot write this program: {error}"[:300]
                + " (forward() must return tensors, tuples or dicts)",
                field="model_object",
            ) from error

    def save_safely(self, model: Any, folder: Path, sample: Any | None) -> tuple[Path, Framework]:
        """Write the module's ONNX form. Raises InvalidInput where it has none whose answers are the module's."""
        torch = _import_torch()
        if isinstance(model, torch.jit.ScriptModule):
            raise InvalidInput(
                "where files of PyTorch's are refused TorchScript cannot be registered: give the module that it was made from "
                "with a sample, or an ONNX file",
                field="model_object",
            )
        program = _program(torch, model, sample)
        _check_evaluating(program)
        path = folder / "model.onnx"
        path.write_bytes(onnx_form(torch, TorchPredictor(program.module(), signature_of(program), program)))
        return path, "onnx"

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
        if signature is not None:
            return TorchPredictor(module, signature, exported)
        if exported is None:
            return _scripted(module, sample)
        _check_evaluating(exported)
        return TorchPredictor(module, signature_of(exported), exported, watched=True)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return the ONNX form of an exported program. Raises NotCompiled where it is not the same function for sure."""
        assert isinstance(predictor, TorchPredictor)
        return onnx_forms(_import_torch(), predictor)

    def libraries(self) -> list[str]:
        """PyTorch and what its arrays become."""
        return ["torch", "numpy", "onnxruntime"]


def _program(torch: Any, model: Any, sample: Any | None) -> Any:
    """Return a module as an ExportedProgram, and one that is given as it is."""
    if isinstance(model, torch.export.ExportedProgram):
        return model
    if not isinstance(model, torch.nn.Module):
        raise InvalidInput(
            f"{type(model).__name__} is neither a torch.nn.Module nor an exported program", field="model_object"
        )
    if sample is None:
        raise InvalidInput(
            "a torch module is exported by an example: give a few rows, register_model(..., sample=x), or a tuple or dict of "
            "them for several inputs",
            field="sample",
        )
    return export(model, sample)


def _check_evaluating(exported: Any) -> None:
    """Raise InvalidInput for a program that was exported as it is trained: it would draw by lot, and mix the rows of a batch."""
    for node in exported.graph.nodes:
        _, _, operator = str(node.target).partition("aten.")
        place = _TRAINING_ARGUMENT.get(operator.split(".")[0])
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise InvalidInput(
                f"the program was exported in training mode ({operator.split('.')[0]} is on): call model.eval() before "
                "torch.export.export()",
                field="artifact",
            )


def _scripted(module: Any, sample: list[Any]) -> TorchPredictor:
    """Return TorchScript with the types of its sample; whole numbers are tried as such first, then as float32."""
    if not sample:
        raise InvalidInput("TorchScript does not say what its inputs are: give a sample of a few rows", field="sample")
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    columns: dict[str, list[Any]] = {INPUT: sample}
    if isinstance(sample[0], dict):
        columns = {
            name: [row[name] for row in sample]
            for name in sorted(sample[0], key=lambda name: (*names, name).index(name))
        }
    elif len(names) > 1 and all(isinstance(row, list) and len(row) == len(names) for row in sample):
        columns = dict(zip(names, map(list, zip(*sample, strict=True)), strict=True))
    tries = []
    for dtype in (None, "float32"):
        specs = []
        for name, rows in columns.items():
            (spec,) = infer_inputs(rows, names=None, count=None, dtype=None)
            kept = spec.dtype if spec.dtype != "float64" and dtype is None else "float32"
            specs.append(spec.model_copy(update={"name": name, "dtype": kept}))
        tries.append(TorchPredictor(module, Signature(inputs=tuple(specs)), None, watched=True))
    for tried in tries[:-1]:
        arrays = {spec.name: np.array(columns[spec.name], NUMPY_DTYPES[spec.dtype]) for spec in tried.signature.inputs}
        try:
            tried.predict(arrays)
        except InvalidInput:
            raise
        except Exception:  # it takes no whole numbers
            continue
        return tried
    return tries[-1]
