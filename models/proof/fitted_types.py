"""Infer column types and example values from a fitted scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...schemas.payloads.signatures import DType, TensorSpec

# Libraries whose estimators treat 1 and 1.0 alike.
_BY_VALUE = {"sklearn", "xgboost", "lightgbm", "imblearn"}
# Their estimators for which the type may matter: they use a number's text, or call a user's function.
_BY_TYPE = {"FunctionTransformer", "CountVectorizer", "TfidfVectorizer", "HashingVectorizer", "FeatureHasher"}
_VECTORIZERS = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"}
# These keep the order of columns, so the next step of a pipeline describes the same columns.
_KEEPS_COLUMNS = {"SimpleImputer", "KNNImputer", "IterativeImputer", "StandardScaler", "MinMaxScaler", "RobustScaler"}
_INNER = ("best_estimator_", "estimator_", "estimator", "regressor_")
_MAX_EXAMPLES = 32
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class FittedColumn:
    """One training column: its type, example values, and whether a missing value was None (else NaN)."""

    dtype: DType
    examples: tuple[Any, ...] = ()
    none: bool = False
    pandas: str = ""
    categories: tuple[Any, ...] = ()

    def spec(self, name: str) -> TensorSpec:
        """Return the column's input spec."""
        return TensorSpec(name=name, dtype=self.dtype, none=self.none, pandas=self.pandas, categories=self.categories)


def fitted_columns(model: Any, count: int) -> dict[int, FittedColumn]:
    """Return the known columns of a model with `count` columns, by position. All others hold numbers."""
    found: dict[int, FittedColumn] = {}
    _collect(model, list(range(count)), list(map(str, getattr(model, "feature_names_in_", []))), found)
    return found


def takes_text(model: Any) -> bool:
    """Whether the model starts with a text vectorizer."""
    first = model
    while getattr(first, "steps", None):
        first = first.steps[0][1]
    if getattr(first, "transformer_list", None):
        return any(takes_text(each) for _, each in first.transformer_list)
    return type(first).__name__ in _VECTORIZERS


def takes_numbers_by_value(model: Any) -> bool:
    """Whether every estimator in the model treats 1 and 1.0 alike, so that integers may arrive as floats."""
    for estimator in _estimators(model, set()):
        kind = type(estimator)
        identity = kind.__name__ == "FunctionTransformer" and estimator.func is None
        if kind.__module__.split(".")[0] not in _BY_VALUE or (kind.__name__ in _BY_TYPE and not identity):
            return False
        for categories in getattr(estimator, "categories_", None) or []:
            values = np.asarray(categories)
            if (
                values.dtype.kind in "iu"
                and len(values)
                and max(abs(int(values.min())), abs(int(values.max()))) > _EXACT
            ):
                return False
    return True


def _estimators(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            if isinstance(each, list | tuple | dict) or hasattr(each, "fit"):
                yield from _estimators(each, seen)
    elif hasattr(value, "fit") and not isinstance(value, type):
        yield value
        for name, each in list(getattr(value, "__dict__", {}).items()):
            if name == "_preprocessor":  # internal to histogram boosting: it keeps numbers unchanged
                continue
            if isinstance(each, list | tuple | dict) or hasattr(each, "fit"):
                yield from _estimators(each, seen)


def _collect(estimator: Any, positions: list[int], names: list[str], found: dict[int, FittedColumn]) -> None:
    """Add what `estimator` knows of the columns at these positions. Known columns are not overwritten."""
    if isinstance(estimator, str):  # passthrough, drop
        return
    if hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            _collect(step, positions, names, found)
            if type(step).__name__ not in _KEEPS_COLUMNS and step not in (None, "passthrough"):
                return
        return
    if hasattr(estimator, "transformers_"):
        for _, transformer, columns in estimator.transformers_:
            _collect(transformer, _positions(columns, positions, names), names, found)
        return
    if hasattr(estimator, "transformer_list"):
        for _, transformer in estimator.transformer_list:
            _collect(transformer, positions, names, found)
        return
    for position, column in zip(positions, _columns_of(estimator), strict=False):
        found.setdefault(position, column)
    for attribute in _INNER:
        inner = getattr(estimator, attribute, None)
        if inner is not None and not isinstance(inner, type):
            _collect(inner, positions, names, found)
    # Histogram boosting has an encoder for pandas categoricals.
    if (encoder := getattr(estimator, "_preprocessor", None)) is not None:
        categories: dict[int, FittedColumn] = {}
        _collect(encoder, positions, names, categories)
        for position, column in categories.items():
            found.setdefault(
                position, FittedColumn(column.dtype, column.examples, pandas="category", categories=column.examples)
            )
    inner = getattr(estimator, "estimators_", None)
    if isinstance(inner, list) and inner and hasattr(inner[0], "steps"):
        for each in inner:
            _collect(each, positions, names, found)


def _positions(columns: Any, positions: list[int], names: list[str]) -> list[int]:
    """Return the positions that a ColumnTransformer's column selection means."""
    if isinstance(columns, slice):
        ends = [
            names.index(end) + number if isinstance(end, str) and end in names else end
            for number, end in enumerate((columns.start, columns.stop))
        ]
        return positions[slice(ends[0], ends[1], columns.step)]
    chosen = [columns] if isinstance(columns, str | int) else list(columns)
    if chosen and all(isinstance(each, bool | np.bool_) for each in chosen):
        chosen = [number for number, each in enumerate(chosen) if each]
    return [
        names.index(each) if isinstance(each, str) else positions[int(each)]
        for each in chosen
        if not isinstance(each, str) or each in names
    ]


def _columns_of(estimator: Any) -> Sequence[FittedColumn]:
    """Return the columns that one estimator was fitted on, in order; empty if it does not record them."""
    kind = type(estimator).__name__
    if kind in _VECTORIZERS:
        words = sorted(getattr(estimator, "vocabulary_", {}))[:_MAX_EXAMPLES]
        return [FittedColumn("string", tuple(map(str, words)) or ("sample",))]
    categories = getattr(estimator, "categories_", None)
    if isinstance(categories, list):
        return [_of_values(np.asarray(values)) for values in categories]
    if kind == "SimpleImputer" and getattr(estimator, "statistics_", None) is not None:
        return [
            _of_values(np.asarray([value]), none=estimator.missing_values is None) for value in estimator.statistics_
        ]
    for low, high in (("data_min_", "data_max_"), ("mean_", "mean_"), ("center_", "center_")):
        lows, highs = getattr(estimator, low, None), getattr(estimator, high, None)
        if isinstance(lows, np.ndarray) and lows.ndim == 1 and isinstance(highs, np.ndarray):
            scale = getattr(estimator, "scale_", None)
            spread = np.zeros_like(lows) if scale is None or low == "data_min_" else np.asarray(scale)
            return [
                FittedColumn("float64", (float(one), float(one + by), float(two - by)))
                for one, two, by in zip(lows, highs, np.nan_to_num(spread), strict=True)
            ]
    return []


def _of_values(values: np.ndarray[Any, Any], *, none: bool = False) -> FittedColumn:
    """Return the column that holds such values."""
    listed = values.tolist()
    none = none or any(value is None for value in listed)
    known = [value for value in listed if value is not None and value == value][:_MAX_EXAMPLES]
    types = set(map(type, known))
    dtype: DType = "object"
    if not types or types <= {int, float}:
        dtype = "int64" if types == {int} else "float64"
    elif types == {bool}:
        dtype = "bool"
    elif all(issubclass(each, str) for each in types):
        dtype = "string"
        known = list(map(str, known))
    return FittedColumn(dtype, tuple(known), none)
