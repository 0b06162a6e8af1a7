"""PyTorch models as torch.export programs (.pt2) or TorchScript (.pt), both of which are code; never as a pickled module."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, SetupError
from ...schemas.payloads.releases import Framework
from ...schemas.payloads.signatures import DType, Signature, TensorSpec
from ..proof.infer_signature import INPUT, infer_inputs
from ..proof.parity import TOLERANCE
from ..values.columns import NUMPY_DTYPES
from ..values.tensors import Tensors
from .base import Predictor
from .registry import module_roots
from .torch_compile import onnx_forms
from .torch_export import EXPORT_LINE, export
from .torch_onnx import onnx_form

_TRAINING_ARGUMENT = {"dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "batch_norm": 5, "instance_norm": 5}


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise SetupError("PyTorch is not installed here: pip install 'modelmesh[torch]'") from None
    return torch


def _dtype(name: str, dtype: Any) -> DType:
    """Return what an input travels as: numpy has no bfloat16, its values travel as float32."""
    plain = str(dtype).removeprefix("torch.")
    if plain == "bfloat16":
        return "float32"
    if plain not in NUMPY_DTYPES:
        raise InvalidInput(f"input {name} has type {dtype}, which is not served: cast it in forward()", field=name)
    return plain


class TorchPredictor:
    """A program on the CPU.

    Outputs are named `output`, or `output_0`, `output_1`, ... where there are several, or by their keys; those of containers
    within have their place or key behind a point (`output_1.0`). None among them is left out.
    """

    def __init__(self, module: Any, signature: Signature, exported: Any | None, *, watched: bool = False) -> None:
        self._module = module
        self.signature = signature
        self.exported = exported
        self.output_names: list[str] = []
        # What the program computes in, where that is not what travels.
        self._types = [value.dtype for _, value in _placeholders(exported)] if exported is not None else None
        self._in_spec = exported.call_spec.in_spec if exported is not None else None
        self._buffers = dict(module.named_buffers()) if watched else {}

    def predict(self, inputs: Tensors) -> Tensors:
        """Run the program without gradients.

        Raises InvalidInput for an index out of range, a size that the program does not take, and, at registration, for a program
        that changes itself.
        """
        import torch

        # Copies: what a program writes into its inputs is nobody else's business.
        tensors = [torch.from_numpy(np.array(inputs[spec.name], order="C")) for spec in self.signature.inputs]
        if self._types is not None:
            tensors = [tensor.to(dtype) for tensor, dtype in zip(tensors, self._types, strict=True)]
        before = {name: buffer._version for name, buffer in self._buffers.items()}
        with torch.inference_mode():
            try:
                result = self._call(tensors)
            except (IndexError, AssertionError) as error:
                raise InvalidInput(f"the model does not take these inputs: {error}"[:400], field="inputs") from error
        for name, version in before.items():
            if self._buffers[name]._version != version:
                raise InvalidInput(
                    f"the program changes its buffer {name} with each call, so that its answers depend on those before: export "
                    "it in evaluation mode, model.eval()"
                )
        outputs: Tensors = {}
        for name, value in _leaves(result, ""):
            if name in outputs:
                raise InvalidInput(f"two outputs are named {name}", field=name)
            outputs[name] = _array(torch, name, value)
        self.output_names = list(outputs)
        return outputs

    def _call(self, tensors: list[Any]) -> Any:
        if self._in_spec is None:
            return self._module(*tensors)
        from torch.utils._pytree import tree_unflatten

        positional, named = tree_unflatten(tensors, self._in_spec)
        return self._module(*positional, **named)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Iterate over the tensors in an answer, with their names."""
    if value is None:
        return
    if isinstance(value, dict):
        within = [(str(key), each) for key, each in value.items()]
    elif hasattr(value, "_fields"):  # a named tuple
        within = list(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        within = [(str(place) if name else f"output_{place}", each) for place, each in enumerate(value)]
    else:
        yield name or "output", value
        return
    for key, each in within:
        yield from _leaves(each, f"{name}.{key}" if name else key)


def _array(torch: Any, name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    if value.is_complex():
        raise InvalidInput(
            f"output {name} is complex, which JSON cannot say: return torch.view_as_real() of it, or its abs()",
            field=name,
        )
    value = value.detach()
    if value.is_quantized:
        value = value.dequantize()
    if value.layout != torch.strided:
        value = value.to_dense()
    if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
        value = value.float()  # numpy has no bfloat16; float32 holds each of its values
    array: NDArray[Any] = value.cpu().resolve_conj().resolve_neg().numpy()
    return array


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
        path.write_bytes(onnx_form(torch, TorchPredictor(program.module(), _signature(program), program)))
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
        return TorchPredictor(module, _signature(exported), exported, watched=True)

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


def _placeholders(exported: Any) -> list[tuple[str, Any]]:
    """Return the inputs with their names: those of forward()'s parameters, or the keys where it takes one dict."""
    from torch.utils._pytree import tree_unflatten

    wanted = set(exported.graph_signature.user_inputs)
    nodes = [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in wanted]
    found = [(node.name, node.meta["val"]) for node in nodes if hasattr(node.meta["val"], "shape")]
    if len(found) != exported.call_spec.in_spec.num_leaves:
        raise InvalidInput(
            "the program was exported with an input that is no tensor: give it a default in forward(), and export without it",
            field="artifact",
        )
    positional, named = tree_unflatten(list(range(len(found))), exported.call_spec.in_spec)
    if len(positional) == 1 and isinstance(positional[0], dict) and not named:
        keys = {place: name for name, place in _leaves(positional[0], "")}
        found = [(keys[place], value) for place, (_, value) in enumerate(found)]
    return found


def _signature(exported: Any) -> Signature:
    specs = []
    rows = set()
    for name, value in _placeholders(exported):
        if not value.shape or isinstance(value.shape[0], int):
            raise InvalidInput(
                f"input {name} has a fixed number of rows: export the model with a dynamic first dimension, {EXPORT_LINE}",
                field=name,
            )
        rows.add(str(value.shape[0]))
        per_row = tuple(size if isinstance(size, int) else -1 for size in value.shape[1:])
        if any(str(size) in rows for size in value.shape[1:]):
            raise InvalidInput(
                f"input {name} has shape {tuple(value.shape)}: what counts rows counts nothing else", field=name
            )
        specs.append(TensorSpec(name=name, dtype=_dtype(name, value.dtype), shape=(-1, *per_row)))
    return Signature(inputs=tuple(specs))


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
