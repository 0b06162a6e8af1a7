"""Compile a PyTorch program to ONNX, if the ONNX form is the same function.

Three conditions must hold: all operators are on a list of continuous ones, whose rounding cannot flip an answer; inputs and
outputs are floats of fixed shapes; and the two agree on rows of every magnitude up to a bound. For rows beyond the bound, NaN
and infinities, the form is not sure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput
from ..compiled.domain import SURE
from ..compiled.graph import NotCompiled
from ..proof.parity import TOLERANCE, compare
from ..values.tensors import Tensors
from .torch_onnx import exported_form
from .torch_predictor import TorchPredictor

_SUPPORTED = {
    *(
        "linear",
        "addmm",
        "mm",
        "bmm",
        "matmul",
        "conv1d",
        "conv2d",
        "conv3d",
        "convolution",
        "scaled_dot_product_attention",
    ),
    *("relu", "leaky_relu", "elu", "selu", "silu", "gelu", "tanh", "sigmoid", "softplus", "hardtanh", "relu6", "exp"),
    *(
        "softmax",
        "log_softmax",
        "layer_norm",
        "group_norm",
        "batch_norm",
        "dropout",
        "identity",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
    ),
    *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "squeeze", "unsqueeze", "cat", "stack"),
    *(
        "contiguous",
        "clone",
        "alias",
        "detach",
        "expand",
        "select",
        "slice",
        "chunk",
        "split",
        "pad",
        "constant_pad_nd",
    ),
    *(
        "mean",
        "sum",
        "max_pool1d",
        "max_pool2d",
        "avg_pool1d",
        "avg_pool2d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
    ),
    *("sym_size", "getitem"),
}
_BOUNDS = (1e6, 1e3)
_ROWS = 48


def onnx_forms(torch: Any, predictor: TorchPredictor) -> list[bytes]:
    """Return the form, guarded by the largest bound for which it agrees. Raises NotCompiled with the reason."""
    exported = predictor.exported
    if exported is None:
        raise NotCompiled("TorchScript is served as it is")
    _check_operators(exported)
    names = [spec.name for spec in predictor.signature.inputs]
    if any(spec.dtype not in ("float32", "float64") or -1 in spec.row_shape for spec in predictor.signature.inputs):
        raise NotCompiled("its inputs are not floats of fixed shapes")
    if any(value.dtype in (torch.bfloat16, torch.float16) for value in exported.state_dict.values()):
        raise NotCompiled("ONNX Runtime rounds half precision differently")
    try:
        exported_bytes = exported_form(torch, exported, names)
    except Exception as error:  # torch.onnx and its passes raise errors of many classes
        raise NotCompiled(f"torch.onnx cannot export it: {error}"[:300]) from error
    for bound in _BOUNDS:
        form = _guarded(exported_bytes, predictor.output_names, bound)
        if _agrees(form, predictor, bound):
            return [form]
    raise NotCompiled("the ONNX form does not agree with the program on rows of every magnitude")


def _check_operators(exported: Any) -> None:
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        name = str(node.target).removeprefix("aten.").split(".")[0]
        name = getattr(node.target, "__name__", name).split(".")[0] if "aten." not in str(node.target) else name
        if name not in _SUPPORTED:
            raise NotCompiled(f"{name} is not on the list of operators that are the same in ONNX")
        value = node.meta.get("val")
        if name not in ("sym_size", "getitem") and hasattr(value, "dtype") and not value.dtype.is_floating_point:
            raise NotCompiled(f"{name} returns {value.dtype}, which rounding could change")


def _guarded(form: bytes, outputs: list[str], bound: float) -> bytes:
    """Rename the outputs to the program's names, and add `SURE`: whether all numbers of a row are within the bound."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(form)
    graph = model.graph
    if len(graph.output) != len(outputs):
        raise NotCompiled("the ONNX form has other outputs than the program")
    for output, name in zip(graph.output, outputs, strict=True):
        if output.name != name:
            graph.node.append(helper.make_node("Identity", [output.name], [name]))
            output.name = name
    filled = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in filled]
    sure = ""
    for number, each in enumerate(inputs):
        own = f"{SURE}.{number}"
        rank = len(each.type.tensor_type.shape.dim)
        numbers = np.float64 if each.type.tensor_type.elem_type == TensorProto.DOUBLE else np.float32
        graph.initializer.append(numpy_helper.from_array(np.array(bound, numbers), f"{own}.bound"))
        graph.initializer.append(numpy_helper.from_array(np.arange(1, rank, dtype=np.int64), f"{own}.axes"))
        graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), f"{own}.half"))
        graph.node.append(helper.make_node("Abs", [each.name], [f"{own}.size"]))
        graph.node.append(helper.make_node("LessOrEqual", [f"{own}.size", f"{own}.bound"], [f"{own}.within"]))
        graph.node.append(helper.make_node("Cast", [f"{own}.within"], [f"{own}.ones"], to=TensorProto.FLOAT))
        last = f"{own}.ones"
        if rank > 1:
            graph.node.append(helper.make_node("ReduceMin", [last, f"{own}.axes"], [f"{own}.least"], keepdims=0))
            last = f"{own}.least"
        graph.node.append(helper.make_node("Greater", [last, f"{own}.half"], [own]))
        if sure:
            graph.node.append(helper.make_node("And", [sure, own], [f"{own}.and"]))
        sure = f"{own}.and" if sure else own
    graph.node.append(helper.make_node("Identity", [sure], [SURE]))
    graph.output.append(helper.make_tensor_value_info(SURE, TensorProto.BOOL, [None]))
    data: bytes = model.SerializeToString()
    return data


def _agrees(form: bytes, predictor: TorchPredictor, bound: float) -> bool:
    """Whether the two agree on batches of one row, two and many, of every magnitude up to the bound."""
    from .onnx_predictor import OnnxPredictor

    try:
        compiled = OnnxPredictor(form, predictor.signature, threads=1)
    except InvalidInput:  # the exporter made an invalid graph, as for an input that is also an output
        return False
    generator = np.random.default_rng(0)
    for magnitude in (0.0, 1e-30, 1e-3, 1.0, 30.0, *(each for each in (1e3, 1e4, 1e5, 1e6) if each <= bound)):
        for rows in (1, 2, _ROWS):
            inputs: Tensors = {}
            for spec in predictor.signature.inputs:
                drawn = generator.uniform(-1, 1, (rows, *spec.row_shape)) * magnitude
                drawn[rows // 2] = -magnitude
                inputs[spec.name] = drawn.astype(spec.dtype)
            try:
                if not compare(predictor.predict(inputs), compiled.predict(inputs), TOLERANCE).holds:
                    return False
            except Exception:  # either of them may refuse the rows
                return False
    return True
