"""Convert a PyTorch module to ONNX in the client, for deployments that refuse files that are code."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput, ModelMeshError
from ..artifacts.onnx_check import check_model
from ..proof.parity import compare
from ..values.tensors import Tensors
from .torch_predictor import TorchPredictor

# Between the module's answers and ONNX Runtime's, relative above 1: float32 sums differ in order, in every layer.
_TOLERANCE = 1e-3


def exported_form(torch: Any, program: Any, names: list[str]) -> bytes:
    """Return an ExportedProgram as ONNX with these input names. Raises any error of torch.onnx and its passes."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns about packages that are not installed
    try:
        buffer = io.BytesIO()
        torch.onnx.export(program, dynamo=True, input_names=names, verbose=False).save(buffer)
    finally:
        log.setLevel(level)
    return buffer.getvalue()


def onnx_form(torch: Any, predictor: TorchPredictor) -> bytes:
    """Return the ONNX form of an exported program, checked on the program's example inputs.

    Raises InvalidInput if there is none: an operator is not in ONNX, the form has more than 2 GB, or its answers differ.
    """
    import onnx

    from ..compiled.proof import with_output_names

    program = predictor.exported
    assert program is not None
    inputs = _example(torch, predictor, program)
    expected = predictor.predict(inputs)
    try:
        form = exported_form(torch, program, [spec.name for spec in predictor.signature.inputs])
    except Exception as error:  # torch.onnx and its passes raise errors of many classes
        raise InvalidInput(
            f"torch.onnx cannot export this module, and PyTorch files are refused by this deployment: {error}"[:400],
            field="model_object",
        ) from error
    model = onnx.load_from_string(form)
    if len(model.graph.output) != len(expected):
        raise InvalidInput("the ONNX form has other outputs than the module", field="model_object")
    check_model(model)
    form = with_output_names(form, list(expected))
    _check_answers(form, inputs, expected)
    return form


def _check_answers(form: bytes, inputs: Tensors, expected: Tensors) -> None:
    from .onnx_predictor import OnnxPredictor

    try:
        answers = OnnxPredictor(form, None, threads=1).predict(inputs)
    except ModelMeshError as error:
        raise InvalidInput(
            f"the module's ONNX form does not run: {error.detail}"[:400], field="model_object"
        ) from error
    parity = compare(expected, answers, _TOLERANCE)
    if not parity.holds:
        raise InvalidInput(
            f"the module's ONNX form differs from the module on the sample ({parity.why}): export it yourself, "
            "torch.onnx.export(..., dynamo=True), and register that file",
            field="model_object",
        )


def _example(torch: Any, predictor: TorchPredictor, program: Any) -> Tensors:
    """Return the inputs that the program was exported with, in the types of requests."""
    from torch.utils._pytree import tree_leaves

    leaves = [leaf for leaf in tree_leaves(program.example_inputs) if isinstance(leaf, torch.Tensor)]
    if len(leaves) != len(predictor.signature.inputs):
        raise InvalidInput("the program keeps no example of its inputs: give the module and a sample", field="sample")
    found: Tensors = {}
    for spec, leaf in zip(predictor.signature.inputs, leaves, strict=True):
        plain = leaf.detach().float() if leaf.dtype == torch.bfloat16 else leaf.detach()
        found[spec.name] = np.array(plain.cpu().numpy())
    return found
