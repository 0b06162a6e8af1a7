"""ONNX models as documents: other files that they name, why ONNX Runtime does not take one, and bfloat16 at their edges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .onnx_check import custom_operators, outside_data

_NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |^Exception during \w+: |/onnxruntime_src/\S+ |^Load model from \S* failed:"
    r"|^(?:\w+ )?onnxruntime::\S+\(.*\) (?=[A-Z])"
)


def clean_message(error: Exception) -> str:
    """Return what ONNX Runtime says, without its own places in source code."""
    text = " ".join(str(error).split())
    while (shorter := _NOISE.sub("", text).strip()) != text:
        text = shorter
    return text


def _graphs(graph: Any) -> Iterator[Any]:
    """Iterate over a graph and all within it: the branches of If, the bodies of Loop and Scan."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from _graphs(inner)


def names_other_files(path: Path) -> bool:
    """Whether numbers of the model lie in other files; not for what is no ONNX model."""
    import onnx

    try:
        return outside_data(onnx.load(str(path), load_external_data=False)) is not None
    except Exception:  # protobuf's own errors
        return False


def explain_load_error(model: Any, error: Exception) -> str:
    """Return in words why ONNX Runtime does not take a model (a ModelProto), with what to do about it."""
    said = clean_message(error)[:1000]
    if custom := custom_operators(model):
        return f"ONNX Runtime does not know its operators {', '.join(custom)[:200]}: export it without custom operators"
    if newest := re.search(r"till opset (\d+)", said):
        opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        return f"it is of opset {opset}, ONNX Runtime here takes up to {newest[1]}: export it with opset_version={newest[1]}"
    return said[:400]


def with_float32_edges(model: Any) -> bytes:
    """Return the model with float32 in place of each input and output in bfloat16, which numpy does not have."""
    from onnx import TensorProto, helper

    graph = model.graph
    filled = {tensor.name for tensor in graph.initializer}
    for edge, comes_in in [(edge, True) for edge in graph.input if edge.name not in filled] + [
        (edge, False) for edge in graph.output
    ]:
        if edge.type.tensor_type.elem_type != TensorProto.BFLOAT16:
            continue
        inner = f"{edge.name}.bfloat16"
        _rename(graph, edge.name, inner)
        edge.type.tensor_type.elem_type = TensorProto.FLOAT
        if comes_in:
            graph.node.insert(0, helper.make_node("Cast", [edge.name], [inner], to=TensorProto.BFLOAT16))
        else:
            graph.node.append(helper.make_node("Cast", [inner], [edge.name], to=TensorProto.FLOAT))
    data: bytes = model.SerializeToString()
    return data


def _rename(graph: Any, old: str, new: str) -> None:
    for body in _graphs(graph):
        for node in body.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new
        if body is not graph:  # what a branch gives out
            for output in body.output:
                output.name = new if output.name == old else output.name
    for tensor in graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
