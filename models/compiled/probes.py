"""Probe rows derived from a fitted model, to find differences between the model and its compiled form.

They hold the thresholds of its trees and the floats next to them, points on decision boundaries, edge values of floating point
and of integers, missing values, and categories seen and unseen: in each column alone, and in all together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.signatures import Signature
from ..values.tensors import Tensors

_MAX_BYTES = 24 * 1024 * 1024  # of all probes
_MAX_SECONDS = 2.0  # of the model's time for the probes, and again for the boundaries
_MAX_COLUMNS = 40  # tried one by one
_MAX_THRESHOLDS = 300
_MAX_PAIRS = 16  # of rows with different answers, between which boundaries are searched by bisection
_HALVINGS = 60
_MIXED = 200
_FLOATS = (
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-310, 1.2e-38, 1e-45, 3.4028234e38, 3.4028235677973366e38,
    3.5e38, -3.5e38, 1e300, -1e300, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**24 + 1, 2.0**53, 2.0**53 + 2, 2.0**63,
    1e15 + 0.3, 1.7e9 + 0.123,
)  # fmt: skip
_TEXTS = (
    "",
    " ",
    "\0",
    "a\0",
    "zzz-unseen",
    "É",
    "e\u0301",
    "İ",
    "ß",
    "日本語",
    "\U0001f600",
    "0",
    "1.0",
    "nan",
    "None",
    "x" * 20_000,
)
_Predict = Callable[[Tensors], Tensors]


def probes(model: Any, signature: Signature, sample: Tensors, predict: _Predict) -> Tensors:
    """Return probe rows, including the sample's; `sample` holds rows that the model can answer.

    `_MAX_BYTES` and `_MAX_SECONDS` limit their number for wide rows and slow models.
    """
    rng = np.random.default_rng(0)
    rows = len(next(iter(sample.values())))
    begin = time.perf_counter()
    predict(sample)
    row_seconds = (time.perf_counter() - begin) / rows
    row_bytes = max(1, sum(array[:1].nbytes for array in sample.values()))
    limit = max(rows + 50, min(int(_MAX_SECONDS / row_seconds), _MAX_BYTES // row_bytes, 20_000))
    groups = [sample, mixed(sample, _MIXED), *boundaries(sample, predict, row_seconds)]
    sources = [
        _edges(sample, signature, rng),
        _around_thresholds(sample, signature, _thresholds(model, rng), rng),
    ]
    taken = sum(len(next(iter(group.values()))) for group in groups)
    for source in sources:
        for row in source:
            if taken >= limit:
                break
            groups.append(row)
            taken += len(next(iter(row.values())))
    return {name: np.concatenate([group[name] for group in groups])[:limit] for name in sample}


def mixed(inputs: Tensors, count: int) -> Tensors:
    """Return `count` random rows: floats interpolated between two of the given rows, all else copied from one."""
    rows = len(next(iter(inputs.values())))
    rng = np.random.default_rng(0)
    picked, others = rng.integers(0, rows, count), rng.integers(0, rows, count)
    found: Tensors = {}
    for name, array in inputs.items():
        found[name] = array[picked]
        if array.dtype.kind == "f":
            share = rng.random((count,) + (1,) * (array.ndim - 1))
            found[name] = (share * array[picked] + (1 - share) * array[others]).astype(array.dtype)
    return found


def boundaries(sample: Tensors, predict: _Predict, row_seconds: float) -> Iterator[Tensors]:
    """Yield rows just before and just after the point where the answer changes, found by bisection between sample rows."""
    if not any(array.dtype.kind == "f" for array in sample.values()):
        return
    answers = next(iter(predict(sample).values()))
    if answers.dtype.kind == "f" and len(np.unique(answers)) > 30:  # a continuous output has no boundary
        return
    keys = np.array([str(answer) for answer in answers.tolist()])
    pairs = int(min(_MAX_PAIRS, _MAX_SECONDS / (_HALVINGS * row_seconds)))
    rng = np.random.default_rng(0)
    left = rng.integers(0, len(keys), 20 * _MAX_PAIRS)
    right = rng.integers(0, len(keys), 20 * _MAX_PAIRS)
    differ = np.flatnonzero(keys[left] != keys[right])[:pairs]
    if not len(differ):
        return
    low = {name: array[left[differ]] for name, array in sample.items()}
    high = {name: array[right[differ]] for name, array in sample.items()}
    low_keys = keys[left[differ]]
    deadline = time.perf_counter() + _MAX_SECONDS
    for _ in range(_HALVINGS):
        if time.perf_counter() > deadline:
            return
        middle = {
            name: (low[name] + (high[name] - low[name]) / 2).astype(low[name].dtype)
            if low[name].dtype.kind == "f"
            else high[name]
            for name in low
        }
        try:
            found = np.array([str(answer) for answer in next(iter(predict(middle).values())).tolist()])
        except Exception:  # the model may refuse a row between two that it accepts
            return
        same = found == low_keys
        for name in low:
            low[name] = _chosen(same, middle[name], low[name])
            high[name] = _chosen(same, high[name], middle[name])
    yield low
    yield high


def _chosen(mask: NDArray[np.bool_], yes: NDArray[Any], no: NDArray[Any]) -> NDArray[Any]:
    return np.where(mask.reshape((-1,) + (1,) * (yes.ndim - 1)), yes, no).astype(yes.dtype)


def _columns(sample: Tensors, signature: Signature, rng: np.random.Generator) -> list[tuple[str, int | None]]:
    """Return the columns, as input name and index within a row (None for a table's column); a random draw if there are many."""
    found: list[tuple[str, int | None]] = []
    for spec in signature.inputs:
        array = sample[spec.name]
        found += (
            [(spec.name, None)] if array.ndim == 1 else [(spec.name, at) for at in range(int(np.prod(array.shape[1:])))]
        )
    if len(found) <= _MAX_COLUMNS:
        return found
    return [found[at] for at in sorted(rng.choice(len(found), _MAX_COLUMNS, replace=False))]


def _put(sample: Tensors, at_rows: NDArray[Any], column: tuple[str, int | None], values: NDArray[Any]) -> Tensors:
    """Return rows of the sample with the values of one column replaced."""
    rows = {name: array[at_rows] for name, array in sample.items()}
    name, index = column
    target = rows[name].copy()
    target.reshape(len(at_rows), -1)[:, index or 0] = values
    return {**rows, name: target}


def _values_for(array: NDArray[Any]) -> NDArray[Any]:
    """Return edge values for a column of this type."""
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f":
            return np.unique(np.array(_FLOATS).astype(array.dtype).view(f"u{array.dtype.itemsize}")).view(array.dtype)
        if array.dtype.kind in "iu":
            limits = np.iinfo(array.dtype)
            wanted = (0, 1, -1, 2, 3, 2**24 + 1, 2**31 - 1, 2**53 - 1, 2**53 + 1, 2**60 + 1, limits.min, limits.max)
            return np.array([value for value in wanted if limits.min <= value <= limits.max], array.dtype)
        if array.dtype.kind == "b":
            return np.array([False, True])
    if array.size and isinstance(array.ravel()[0], str):
        seen = [str(text) for text in dict.fromkeys(array.ravel().tolist())][:50]
        changed = [text + extra for text in seen[:10] for extra in ("\0", " ", "\u0301")]
        changed += [change(text) for text in seen[:10] for change in (str.upper, str.lower, str.title)]
        return np.array([*seen, *changed, *_TEXTS], object)
    return array.ravel()[:1]


def _edges(sample: Tensors, signature: Signature, rng: np.random.Generator) -> Iterator[Tensors]:
    """Yield rows with edge values in all columns at once, then in one column at a time."""
    rows = len(next(iter(sample.values())))
    whole = {name: _values_for(array) for name, array in sample.items()}
    for at in range(max(map(len, whole.values()))):
        row = {name: array[:1].copy() for name, array in sample.items()}
        for name, values in whole.items():
            row[name][...] = values[at % len(values)]
        yield row
    for name, column in _columns(sample, signature, rng):
        values = whole[name]
        yield _put(sample, rng.integers(0, rows, len(values)), (name, column), values)


def _thresholds(model: Any, rng: np.random.Generator) -> list[tuple[int, float]]:
    """Return (feature, threshold) pairs of trees that are applied to the inputs directly; a random draw if there are many."""
    found: list[NDArray[Any]] = []
    for tree in np.ravel(np.asarray(getattr(model, "estimators_", [model]), dtype=object)):
        if hasattr(tree, "tree_"):
            inner = tree.tree_.children_left >= 0
            found.append(np.column_stack([tree.tree_.feature[inner], tree.tree_.threshold[inner]]))
    for iteration in getattr(model, "_predictors", []):
        for tree in iteration:
            inner = tree.nodes["is_leaf"] == 0
            found.append(np.column_stack([tree.nodes["feature_idx"][inner], tree.nodes["num_threshold"][inner]]))
    if not found:
        return []
    pairs = np.concatenate(found)
    if len(pairs) > _MAX_THRESHOLDS:
        pairs = pairs[rng.choice(len(pairs), _MAX_THRESHOLDS, replace=False)]
    return [(int(feature), float(threshold)) for feature, threshold in pairs]


def _around_thresholds(
    sample: Tensors, signature: Signature, thresholds: list[tuple[int, float]], rng: np.random.Generator
) -> Iterator[Tensors]:
    """Yield rows with a threshold in its column, or one of the doubles and floats next to it."""
    names = [spec.name for spec in signature.inputs]
    rows = len(next(iter(sample.values())))
    for feature, threshold in thresholds:
        column = (names[0], feature) if len(names) == 1 else (names[feature], None)
        array = sample[column[0]]
        if array.dtype.kind != "f":
            continue
        with np.errstate(all="ignore"):
            narrow = np.float32(threshold)
            neighbours = np.array(
                [
                    threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf), narrow,
                    np.nextafter(narrow, np.float32(-np.inf)), np.nextafter(narrow, np.float32(np.inf)),
                ]
            ).astype(array.dtype)  # fmt: skip
        yield _put(sample, np.full(len(neighbours), rng.integers(0, rows)), column, neighbours)
