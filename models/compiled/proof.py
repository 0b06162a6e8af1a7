"""Prove a compiled form before it is served: its answers must equal the model's for all rows of which it is sure."""

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

_MIN_SURE_SHARE = 0.5  # of the sample: a form that leaves more rows to the model does not pay
_SINGLE_ROWS = 24  # probes that are also run one at a time
_MIXED = 200
_OUTSIDE = (
    "rows that the model refuses, 64-bit integers beyond 2^53, unseen categories, and scores that differ by less than the "
    "rounding error of sums"
)


def compiled_form(
    adapter: Adapter, predictor: Predictor, signature: Signature, path: Path, inputs: Tensors, compiled_path: Path
) -> tuple[Predictor, dict[str, Any], Domain | None]:
    """Return the predictor to serve, the report, and the domain in which the compiled form is the same function.

    If no form agrees with the model, the predictor is returned unchanged, and the report has the reason.
    """
    report: dict[str, Any] = {"attempted": True, "holds": False, "why": "there is no ONNX form of this model"}
    try:
        forms = adapter.compile(predictor, path)
    except NotCompiled as reason:
        return predictor, {**report, "why": str(reason)}, None
    with threadpool_limits(1):  # many small batches: threads would spend more time on synchronization than on work
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
        except Exception as error:  # the converted form may not load or run
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
    """Return the outputs, and a mask of the rows of which the form is sure."""
    try:
        return compiled.predict(rows), slice(None)
    except OutsideDomain as outside:
        return outside.outputs, outside.inside


def _parity(
    adapter: Adapter, predictor: Predictor, compiled: OnnxPredictor, signature: Signature, inputs: Tensors
) -> tuple[Parity, list[str]]:
    """Compare on probe rows. Return the parity, and the names to give to the form's outputs (none: unchanged)."""
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
    probe_rows = probes(getattr(predictor, "model", None), signature, inputs, predictor.predict)
    return _parity_where_sure(predictor, compiled, probe_rows, adapter.tolerance), []


def _parity_where_sure(predictor: Predictor, compiled: Predictor, probe_rows: Tensors, tolerance: float) -> Parity:
    """Compare both on all probes of which the form is sure: together, in another order, and some one at a time."""
    outputs, mask = _sure(compiled, probe_rows)
    inside = {name: array[mask] for name, array in probe_rows.items()}
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
    groups = [order, *order[:_SINGLE_ROWS].reshape(-1, 1)]
    for group in groups:
        again, sure = _sure(compiled, {name: array[group] for name, array in inside.items()})
        wanted = {name: array[group][sure] for name, array in found.items()}
        if not compare(wanted, {name: array[sure] for name, array in again.items()}, tolerance).holds:
            return Parity(
                rows, False, float("inf"), "the compiled form's answer to a row depends on the other rows of the batch"
            )
    return parity


def _by_position(expected: Tensors, outputs: Tensors) -> Tensors:
    """Return the outputs under the expected names, matched by position: a converter may choose other names."""
    if outputs.keys() == expected.keys() or len(outputs) != len(expected):
        return outputs
    return dict(zip(expected, outputs.values(), strict=True))


def with_output_names(form: bytes, names: list[str]) -> bytes:
    """Rename the graph's outputs to the model's names, with an Identity node for each."""
    import onnx

    model = onnx.load_from_string(form)
    for output, name in zip(model.graph.output, names, strict=True):
        if output.name != name:
            model.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
            output.name = name
    data: bytes = model.SerializeToString()
    return data
