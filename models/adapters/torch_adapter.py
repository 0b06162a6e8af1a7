"""The adapter for PyTorch: torch.export programs (.pt2) and TorchScript (.pt), both of which are code; no pickled modules."""

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
    """Saves, loads and compiles exported programs."""

    framework: Framework = "torch"
    suffix = ".pt2"
    runs_in_worker = False
    tolerance = TOLERANCE

    def recognises(self, model: Any) -> bool:
        """Whether the object is a module or an exported program."""
        return "torch" in module_roots(model)

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Export a module with a free number of rows. Exported programs and TorchScript are written as they are."""
        torch = _import_torch()
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, str(path))
            return
        model = _program(torch, model, sample)
        try:
            torch.export.save(model, str(path))
        except Exception as error:  # torch raises errors of several classes
            raise InvalidInput(
                f"torch.export cannot write this program: {error}"[:300]
                + " (forward() must return tensors, tuples or dicts)",
                field="model_object",
            ) from error

    def save_safely(self, model: Any, folder: Path, sample: Any | None) -> tuple[Path, Framework]:
        """Write the module's ONNX form. Raises InvalidInput if there is none with the same answers."""
        torch = _import_torch()
        if isinstance(model, torch.jit.ScriptModule):
            raise InvalidInput(
                "this deployment refuses PyTorch files, TorchScript included: give the module that it was made from with a "
                "sample, or an ONNX file",
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
                # From a buffer: for a path without the suffix .pt2 torch writes a warning to standard error.
                exported = torch.export.load(io.BytesIO(path.read_bytes()))
                module = exported.module()
        except Exception as error:  # torch raises RuntimeError, pickle errors and its own
            raise InvalidInput(f"torch cannot load the file: {error}") from error
        if signature is not None:
            return TorchPredictor(module, signature, exported)
        if exported is None:
            return _scripted(module, sample)
        _check_evaluating(exported)
        return TorchPredictor(module, signature_of(exported), exported, check_buffers=True)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return the ONNX form of an exported program. Raises NotCompiled if it may not be the same function."""
        assert isinstance(predictor, TorchPredictor)
        return onnx_forms(_import_torch(), predictor)

    def libraries(self) -> list[str]:
        """Return PyTorch and the libraries that it runs with."""
        return ["torch", "numpy", "onnxruntime"]


def _program(torch: Any, model: Any, sample: Any | None) -> Any:
    """Return the model as an ExportedProgram: export a module, return a program unchanged."""
    if isinstance(model, torch.export.ExportedProgram):
        return model
    if not isinstance(model, torch.nn.Module):
        raise InvalidInput(
            f"{type(model).__name__} is neither a torch.nn.Module nor an exported program", field="model_object"
        )
    if sample is None:
        raise InvalidInput(
            "exporting a torch module needs an example: give a few rows, register_model(..., sample=x), or a tuple or dict of "
            "them for several inputs",
            field="sample",
        )
    return export(model, sample)


def _check_evaluating(exported: Any) -> None:
    """Raise InvalidInput for a program in training mode: dropout would be random, and batch norm would mix rows."""
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
    """Return a predictor for TorchScript with the types of its sample; integers are tried first, then float32."""
    if not sample:
        raise InvalidInput("TorchScript does not describe its inputs: give a sample of a few rows", field="sample")
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    columns: dict[str, list[Any]] = {INPUT: sample}
    if isinstance(sample[0], dict):
        columns = {
            name: [row[name] for row in sample]
            for name in sorted(sample[0], key=lambda name: (*names, name).index(name))
        }
    elif len(names) > 1 and all(isinstance(row, list) and len(row) == len(names) for row in sample):
        columns = dict(zip(names, map(list, zip(*sample, strict=True)), strict=True))
    candidates = []
    for dtype in (None, "float32"):
        specs = []
        for name, rows in columns.items():
            (spec,) = infer_inputs(rows, names=None, count=None, dtype=None)
            kept = spec.dtype if spec.dtype != "float64" and dtype is None else "float32"
            specs.append(spec.model_copy(update={"name": name, "dtype": kept}))
        candidates.append(TorchPredictor(module, Signature(inputs=tuple(specs)), None, check_buffers=True))
    for candidate in candidates[:-1]:
        arrays = {
            spec.name: np.array(columns[spec.name], NUMPY_DTYPES[spec.dtype]) for spec in candidate.signature.inputs
        }
        try:
            candidate.predict(arrays)
        except InvalidInput:
            raise
        except Exception:  # it does not take integers
            continue
        return candidate
    return candidates[-1]
