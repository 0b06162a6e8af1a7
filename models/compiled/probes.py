"""Questions made out of a fitted model, to tell its compiled form apart from it.

Each threshold of its trees with the floats beside it, points on the border between two answers, the edges of floating point and
of whole numbers, missing values, categories seen and unseen: each column alone, and all together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.signatures import Signature
from ..values.tensors import Tensors

_BYTES = 24 * 1024 * 1024  # of all probes
_SECONDS = 2.0  # that the model may take for them, and again for the borders
_COLUMNS = 40  # that are tried one by one
_THRESHOLDS = 300
_PAIRS = 16  # of rows with different answers, between which the border is sought
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
    """Return probe rows, the sample's own among them; `sample` holds rows that the model answers.

    Fewer of them for a model that is slow or has wide rows: `_BYTES` and `_SECONDS` bound them.
    """
    generator = np.random.default_rng(0)
    rows = len(next(iter(sample.values())))
    begin = time.perf_counter()
    predict(sample)
    row_seconds = (time.perf_counter() - begin) / rows
    row_bytes = max(1, sum(array[:1].nbytes for array in sample.values()))
    most = max(rows + 50, min(int(_SECONDS / row_seconds), _BYTES // row_bytes, 20_000))
    groups = [sample, mixed(sample, _MIXED), *borders(sample, predict, row_seconds)]
    makers = [
        _edges(sample, signature, generator),
        _around(sample, signature, _thresholds(model, generator), generator),
    ]
    taken = sum(len(next(iter(group.values()))) for group in groups)
    for maker in makers:
        for row in maker:
            if taken >= most:
                break
            groups.append(row)
            taken += len(next(iter(row.values())))
    return {name: np.concatenate([group[name] for group in groups])[:most] for name in sample}


def mixed(inputs: Tensors, count: int) -> Tensors:
    """Return rows between those given: numbers drawn between two rows', everything else one row's."""
    rows = len(next(iter(inputs.values())))
    generator = np.random.default_rng(0)
    picked, others = generator.integers(0, rows, count), generator.integers(0, rows, count)
    found: Tensors = {}
    for name, array in inputs.items():
        found[name] = array[picked]
        if array.dtype.kind == "f":
            share = generator.random((count,) + (1,) * (array.ndim - 1))
            found[name] = (share * array[picked] + (1 - share) * array[others]).astype(array.dtype)
    return found


def borders(sample: Tensors, predict: _Predict, row_seconds: float) -> Iterator[Tensors]:
    """Yield the two neighbouring rows on either side of where the answer changes, found by halving between sample rows."""
    if not any(array.dtype.kind == "f" for array in sample.values()):
        return
    answers = next(iter(predict(sample).values()))
    if answers.dtype.kind == "f" and len(np.unique(answers)) > 30:  # a number that changes everywhere has no border
        return
    keys = np.array([str(answer) for answer in answers.tolist()])
    pairs = int(min(_PAIRS, _SECONDS / (_HALVINGS * row_seconds)))
    generator = np.random.default_rng(0)
    left = generator.integers(0, len(keys), 20 * _PAIRS)
    right = generator.integers(0, len(keys), 20 * _PAIRS)
    differ = np.flatnonzero(keys[left] != keys[right])[:pairs]
    if not len(differ):
        return
    low = {name: array[left[differ]] for name, array in sample.items()}
    high = {name: array[right[differ]] for name, array in sample.items()}
    ours = keys[left[differ]]
    until = time.perf_counter() + _SECONDS
    for _ in range(_HALVINGS):
        if time.perf_counter() > until:
            return
        middle = {
            name: (low[name] + (high[name] - low[name]) / 2).astype(low[name].dtype)
            if low[name].dtype.kind == "f"
            else high[name]
            for name in low
        }
        try:
            found = np.array([str(answer) for answer in next(iter(predict(middle).values())).tolist()])
        except Exception:  # between two rows that it takes may lie one that it does not
            return
        same = found == ours
        for name in low:
            low[name] = _chosen(same, middle[name], low[name])
            high[name] = _chosen(same, high[name], middle[name])
    yield low
    yield high


def _chosen(mask: NDArray[np.bool_], yes: NDArray[Any], no: NDArray[Any]) -> NDArray[Any]:
    return np.where(mask.reshape((-1,) + (1,) * (yes.ndim - 1)), yes, no).astype(yes.dtype)


def _places(sample: Tensors, signature: Signature, generator: np.random.Generator) -> list[tuple[str, int | None]]:
    """Return where single values stand: columns of a table, or of the rows of a matrix; a draw where there are many."""
    found: list[tuple[str, int | None]] = []
    for spec in signature.inputs:
        array = sample[spec.name]
        found += (
            [(spec.name, None)] if array.ndim == 1 else [(spec.name, at) for at in range(int(np.prod(array.shape[1:])))]
        )
    if len(found) <= _COLUMNS:
        return found
    return [found[at] for at in sorted(generator.choice(len(found), _COLUMNS, replace=False))]


def _put(sample: Tensors, at_rows: NDArray[Any], place: tuple[str, int | None], values: NDArray[Any]) -> Tensors:
    """Return rows of the sample with values put into one column."""
    rows = {name: array[at_rows] for name, array in sample.items()}
    name, column = place
    target = rows[name].copy()
    target.reshape(len(at_rows), -1)[:, column or 0] = values
    return {**rows, name: target}


def _values_for(array: NDArray[Any]) -> NDArray[Any]:
    """Return the edge values that a column of this type can hold."""
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


def _edges(sample: Tensors, signature: Signature, generator: np.random.Generator) -> Iterator[Tensors]:
    """Yield rows with edge values in all columns together, then in each alone."""
    rows = len(next(iter(sample.values())))
    whole = {name: _values_for(array) for name, array in sample.items()}
    for at in range(max(map(len, whole.values()))):
        row = {name: array[:1].copy() for name, array in sample.items()}
        for name, values in whole.items():
            row[name][...] = values[at % len(values)]
        yield row
    for name, column in _places(sample, signature, generator):
        values = whole[name]
        yield _put(sample, generator.integers(0, rows, len(values)), (name, column), values)


def _thresholds(model: Any, generator: np.random.Generator) -> list[tuple[int, float]]:
    """Return (feature, threshold) of the trees that see the inputs themselves: all, or a draw."""
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
    if len(pairs) > _THRESHOLDS:
        pairs = pairs[generator.choice(len(pairs), _THRESHOLDS, replace=False)]
    return [(int(feature), float(threshold)) for feature, threshold in pairs]


def _around(
    sample: Tensors, signature: Signature, thresholds: list[tuple[int, float]], generator: np.random.Generator
) -> Iterator[Tensors]:
    """Yield rows with a threshold in its column, and the doubles and floats next to it."""
    names = [spec.name for spec in signature.inputs]
    rows = len(next(iter(sample.values())))
    for feature, threshold in thresholds:
        place = (names[0], feature) if len(names) == 1 else (names[feature], None)
        array = sample[place[0]]
        if array.dtype.kind != "f":
            continue
        with np.errstate(all="ignore"):
            narrow = np.float32(threshold)
            beside = np.array(
                [
                    threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf), narrow,
                    np.nextafter(narrow, np.float32(-np.inf)), np.nextafter(narrow, np.float32(np.inf)),
                ]
            ).astype(array.dtype)  # fmt: skip
        yield _put(sample, np.full(len(beside), generator.integers(0, rows)), place, beside)
