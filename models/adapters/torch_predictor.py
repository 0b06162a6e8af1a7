"""Run a PyTorch program: its signature, its call, and its outputs as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput
from ...schemas.payloads.signatures import DType, Signature, TensorSpec
from ..values.columns import NUMPY_DTYPES
from ..values.tensors import Tensors
from .torch_export import EXPORT_LINE


class TorchPredictor:
    """A program on the CPU.

    Outputs are named `output`, or `output_0`, `output_1`, ... if there are several, or by their keys; those in nested
    containers have their index or key after a point (`output_1.0`). None values are left out.
    """

    def __init__(self, module: Any, signature: Signature, exported: Any | None, *, check_buffers: bool = False) -> None:
        self._module = module
        self.signature = signature
        self.exported = exported
        self.output_names: list[str] = []
        # The program's input types, which may differ from those of requests (bfloat16).
        self._types = [value.dtype for _, value in _placeholders(exported)] if exported is not None else None
        self._in_spec = exported.call_spec.in_spec if exported is not None else None
        self._buffers = dict(module.named_buffers()) if check_buffers else {}

    def predict(self, inputs: Tensors) -> Tensors:
        """Run the program without gradients.

        Raises InvalidInput for an index out of range, a size that the program does not take, and, with `check_buffers`, for a
        program that changes its buffers.
        """
        import torch

        # Copies, since a program may modify its inputs in place.
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
    """Iterate over the tensors in an output, with their names."""
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
            f"output {name} is complex, which JSON does not have: return torch.view_as_real() of it, or its abs()",
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


def signature_of(exported: Any) -> Signature:
    """Return the signature of an ExportedProgram. Raises InvalidInput if it cannot take a batch of rows."""
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
                f"input {name} has shape {tuple(value.shape)}: the dimension that counts rows cannot also be a size within a row",
                field=name,
            )
        specs.append(TensorSpec(name=name, dtype=_dtype(name, value.dtype), shape=(-1, *per_row)))
    return Signature(inputs=tuple(specs))


def _placeholders(exported: Any) -> list[tuple[str, Any]]:
    """Return the inputs with their names: forward()'s parameters, or the keys if it takes one dict."""
    from torch.utils._pytree import tree_unflatten

    wanted = set(exported.graph_signature.user_inputs)
    nodes = [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in wanted]
    found = [(node.name, node.meta["val"]) for node in nodes if hasattr(node.meta["val"], "shape")]
    if len(found) != exported.call_spec.in_spec.num_leaves:
        raise InvalidInput(
            "the program was exported with an input that is not a tensor: give it a default in forward(), and export without it",
            field="artifact",
        )
    positional, named = tree_unflatten(list(range(len(found))), exported.call_spec.in_spec)
    if len(positional) == 1 and isinstance(positional[0], dict) and not named:
        keys = {place: name for name, place in _leaves(positional[0], "")}
        found = [(keys[place], value) for place, (_, value) in enumerate(found)]
    return found


def _dtype(name: str, dtype: Any) -> DType:
    """Return the type of an input in requests: bfloat16, which numpy does not have, is sent as float32."""
    plain = str(dtype).removeprefix("torch.")
    if plain == "bfloat16":
        return "float32"
    if plain not in NUMPY_DTYPES:
        raise InvalidInput(f"input {name} has type {dtype}, which is not supported: cast it in forward()", field=name)
    return plain
