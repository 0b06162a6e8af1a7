"""Prove a compiled form before it is served: it answers as the model does wherever it says that it is sure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ...schemas.payloads.compiled_domain import Domain
from ...schemas.payloads.signatures import Signature
from ..adapters.base import Adapter, Predictor
from ..adapters.onnx_predictor import OnnxPredictor
from ..proof.parity import Parity, compare
from ..values.tensors import Tensors
from .domain import OutsideDomain
from .graph import NotCompiled
from .probes import mixed, probes

_MIN_SURE_SHARE = 0.5  # of the sample: a form that leaves more to the model is not worth having
_ALONE = 24  # probes that are asked one by one too
_MIXED = 200
_OUTSIDE = (
    "what the model refuses, whole numbers of 64 bits beyond 2^53, unseen categories, and scores that lie nearer together "
    "than the rounding of sums"
)


def compiled_form(
    adapter: Adapter, predictor: Predictor, signature: Signature, path: Path, inputs: Tensors, compiled_path: Path
) -> tuple[Predictor, dict[str, Any], Domain | None]:
    """Return the form to serve, the report, and where the form is the same function.

    The form is the predictor itself, and the report says why, where none agrees with it.
    """
    report: dict[str, Any] = {"attempted": True, "holds": False, "why": "there is no ONNX form of this model"}
    try:
        forms = adapter.compile(predictor, path)
    except NotCompiled as reason:
        return predictor, {**report, "why": str(reason)}, None
    with threadpool_limits(1):  # many small questions: threads would wait for one another longer than they work
        return _first_that_agrees(forms, adapter, predictor, signature, inputs, compiled_path, report)


def _first_that_agrees(
    forms: list[bytes],
    adapter: Adapter,
    predictor: Predictor,
    signature: Signature,
    inputs: Tensors,
    compiled_path: Path,
    report: dict[str, Any],
) -> tuple[Predictor, dict[str, Any], Domain | None]:
    for form in forms:
        try:
            compiled = OnnxPredictor(form, signature, threads=1)
            parity, names = _parity(adapter, predictor, compiled, signature, inputs)
        except Exception as error:  # what the converter made may not load or run
            parity, names = Parity(0, False, float("inf"), f"the ONNX form does not run: {error}"[:300]), []
        report = {
            "attempted": True,
            "holds": parity.holds,
            "rows": parity.rows,
            "labels_equal": parity.labels_equal,
            "largest_difference": parity.largest_difference if np.isfinite(parity.largest_difference) else None,
            "why": parity.why,
        }
        if parity.holds:
            if names:
                form = with_output_names(form, names)
                compiled = OnnxPredictor(form, signature, threads=1)
            compiled_path.write_bytes(form)
            return compiled, report, Domain(why=_OUTSIDE) if compiled.guarded else None
    return predictor, report, None


def _sure(compiled: Predictor, rows: Tensors) -> tuple[Tensors, Any]:
    """Return the outputs, and a mask of the rows for which they count."""
    try:
        return compiled.predict(rows), slice(None)
    except OutsideDomain as outside:
        return outside.outputs, outside.inside


def _parity(
    adapter: Adapter, predictor: Predictor, compiled: OnnxPredictor, signature: Signature, inputs: Tensors
) -> tuple[Parity, list[str]]:
    """Return what the probes found, and the names that the form's outputs must get."""
    if not compiled.guarded:
        rows = {
            name: np.concatenate([array, more])
            for (name, array), more in zip(inputs.items(), mixed(inputs, _MIXED).values(), strict=True)
        }
        expected = predictor.predict(rows)
        outputs = compiled.predict(rows)
        parity = compare(expected, _by_position(expected, outputs), adapter.tolerance)
        return parity, list(expected) if outputs.keys() != expected.keys() else []
    _, mask = _sure(compiled, inputs)
    count = len(next(iter(inputs.values())))
    if np.sum(np.ones(count, bool)[mask]) < _MIN_SURE_SHARE * count:
        return Parity(count, False, float("inf"), "the compiled form is not sure of most sample rows"), []
    asked = probes(getattr(predictor, "model", None), signature, inputs, predictor.predict)
    return _parity_where_sure(predictor, compiled, asked, adapter.tolerance), []


def _parity_where_sure(predictor: Predictor, compiled: Predictor, asked: Tensors, tolerance: float) -> Parity:
    """Ask both all that the form is sure of: together, in another order, and some one by one."""
    outputs, mask = _sure(compiled, asked)
    inside = {name: array[mask] for name, array in asked.items()}
    found = {name: array[mask] for name, array in outputs.items()}
    rows = len(next(iter(inside.values())))
    try:
        expected = predictor.predict(inside)
    except Exception as error:
        return Parity(rows, False, float("inf"), f"the compiled form answers where the model raises: {error}"[:300])
    parity = compare(expected, found, tolerance)
    if not parity.holds:
        return parity
    order = np.random.default_rng(0).permutation(rows)
    groups = [order, *order[:_ALONE].reshape(-1, 1)]
    for group in groups:
        again, sure = _sure(compiled, {name: array[group] for name, array in inside.items()})
        wanted = {name: array[group][sure] for name, array in found.items()}
        if not compare(wanted, {name: array[sure] for name, array in again.items()}, tolerance).holds:
            return Parity(rows, False, float("inf"), "the compiled form answers otherwise in other company")
    return parity


def _by_position(expected: Tensors, outputs: Tensors) -> Tensors:
    """A converter may name the outputs as it likes; their order is the model's."""
    if outputs.keys() == expected.keys() or len(outputs) != len(expected):
        return outputs
    return dict(zip(expected, outputs.values(), strict=True))


def with_output_names(form: bytes, names: list[str]) -> bytes:
    """Give the graph's outputs the model's own names, by an Identity each."""
    import onnx

    model = onnx.load_from_string(form)
    for output, name in zip(model.graph.output, names, strict=True):
        if output.name != name:
            model.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
            output.name = name
    data: bytes = model.SerializeToString()
    return data
