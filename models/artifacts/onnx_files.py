"""Helpers for ONNX models: external data, errors of ONNX Runtime, and bfloat16 inputs and outputs."""

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
    """Return an error message of ONNX Runtime without its source locations."""
    text = " ".join(str(error).split())
    while (shorter := _NOISE.sub("", text).strip()) != text:
        text = shorter
    return text


def _graphs(graph: Any) -> Iterator[Any]:
    """Iterate over a graph and its subgraphs: the branches of If, the bodies of Loop and Scan."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from _graphs(inner)


def names_other_files(path: Path) -> bool:
    """Whether the model has external data; False if the file is not an ONNX model."""
    import onnx

    try:
        return outside_data(onnx.load(str(path), load_external_data=False)) is not None
    except Exception:  # protobuf's own errors
        return False


def explain_load_error(model: Any, error: Exception) -> str:
    """Return why ONNX Runtime does not load a model (a ModelProto), and what to do about it."""
    message = clean_message(error)[:1000]
    if custom := custom_operators(model):
        return f"ONNX Runtime does not know its operators {', '.join(custom)[:200]}: export it without custom operators"
    if newest := re.search(r"till opset (\d+)", message):
        opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        return (
            f"it has opset {opset}, this ONNX Runtime takes up to {newest[1]}: export it with opset_version={newest[1]}"
        )
    return message[:400]


def with_float32_edges(model: Any) -> bytes:
    """Return the model with its bfloat16 inputs and outputs cast to float32, since numpy has no bfloat16."""
    from onnx import TensorProto, helper

    graph = model.graph
    filled = {tensor.name for tensor in graph.initializer}
    for edge, is_input in [(edge, True) for edge in graph.input if edge.name not in filled] + [
        (edge, False) for edge in graph.output
    ]:
        if edge.type.tensor_type.elem_type != TensorProto.BFLOAT16:
            continue
        inner = f"{edge.name}.bfloat16"
        _rename(graph, edge.name, inner)
        edge.type.tensor_type.elem_type = TensorProto.FLOAT
        if is_input:
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
        if body is not graph:  # outputs of a subgraph
            for output in body.output:
                output.name = new if output.name == old else output.name
    for tensor in graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
