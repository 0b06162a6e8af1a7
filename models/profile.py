"""The reference of a version: bins made from rows, and live rows counted on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..schemas.profiles import FeatureProfile, OutputBins, Profile
from .label_values import label_key
from .tensors import Tensors

BINS = 20
MOST_CATEGORIES = 50
# Wider inputs are images and embeddings, of which a single value means nothing.
MOST_FEATURES = 128
# A reference that is learned from live rows travels raw, in one record at the most.
LEARNED_VALUES = 30_000
MOST_LABELS = 100
OTHER_LABELS = "(other)"


def columns_of(tensors: Tensors) -> list[tuple[str, NDArray[Any]]]:
    """Return the inputs' columns by name, each of shape (rows,): a matrix `x` of two columns gives `x[0]` and `x[1]`."""
    columns: list[tuple[str, NDArray[Any]]] = []
    for name, array in tensors.items():
        if array.ndim == 1:
            columns.append((name, array))
        elif array.ndim == 2:
            columns += [(f"{name}[{number}]", array[:, number]) for number in range(array.shape[1])]
        else:
            return []
        if len(columns) > MOST_FEATURES:
            return []
    return columns


def build_profile(
    columns: Iterable[tuple[str, NDArray[Any]]], source: Literal["registration", "live"] = "registration"
) -> Profile | None:
    """Return the profile of reference rows; None where there is nothing to watch."""
    features = []
    rows = 0
    for name, values in columns:
        rows = len(values)
        features.append(_categories(name, values) if values.dtype.kind in "OUS" else _numbers(name, values))
    return Profile(rows=rows, features=tuple(features), source=source) if features and rows else None


def _numbers(name: str, values: NDArray[Any]) -> FeatureProfile:
    known = values.astype(np.float64)
    known = known[np.isfinite(known)]
    # Edges between quantiles; where one value is frequent several fall together and count once.
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.array([0.0])
    feature = FeatureProfile(name=name, kind="number", edges=tuple(edges.tolist()))
    return feature.model_copy(update={"counts": tuple(count_column(feature, values))})


def _categories(name: str, values: NDArray[Any]) -> FeatureProfile:
    seen = Counter(str(value) for value in values if value is not None)
    names = tuple(category for category, _ in seen.most_common(MOST_CATEGORIES))
    feature = FeatureProfile(name=name, kind="category", categories=names)
    return feature.model_copy(update={"counts": tuple(count_column(feature, values))})


def count_column(feature: FeatureProfile, values: NDArray[Any]) -> list[int]:
    """Return how many values lie in each bin of the feature."""
    if feature.kind == "number":
        numbers = values.astype(np.float64)
        bins = np.searchsorted(np.asarray(feature.edges), numbers, side="left")
        bins[~np.isfinite(numbers)] = feature.bins - 1
        return [int(count) for count in np.bincount(bins, minlength=feature.bins)]
    places = {category: number for number, category in enumerate(feature.categories)}
    unseen = len(places)
    counts = [0] * feature.bins
    for value in values:
        counts[unseen + 1 if value is None else places.get(str(value), unseen)] += 1
    return counts


def count_rows(profile: Profile, tensors: Tensors) -> list[list[int]]:
    """Return the counts of rows by feature and bin of the profile."""
    columns = dict(columns_of(tensors))
    return [
        count_column(feature, columns[feature.name]) if feature.name in columns else [0] * feature.bins
        for feature in profile.features
    ]


def output_bins_of(outputs: Tensors) -> OutputBins | None:
    """Return how to count answers like these: by the label if there is one, else the first output, by tenths of these."""
    name = "label" if "label" in outputs else next(iter(outputs))
    values = outputs[name]
    if name != "label" and values.ndim == 1 and values.dtype.kind == "f":
        edges = np.unique(np.quantile(values[np.isfinite(values)], np.linspace(0, 1, 11)[1:-1]))
        return OutputBins(output=name, edges=tuple(edges.tolist())) if len(edges) else None
    return OutputBins(output=name) if values.ndim in (1, 2) else None


def output_labels(bins: OutputBins, outputs: Tensors) -> Sequence[str]:
    """Return each row's answer as a label: the label itself, the place of the largest of several numbers, or the bin."""
    values = outputs.get(bins.output)
    if values is None:
        return []
    if bins.edges is not None:
        return [str(number) for number in np.searchsorted(np.asarray(bins.edges), values.astype(np.float64))]
    if values.ndim == 2:
        values = values.argmax(axis=1)
    return [label_key(value) for value in values.tolist()]


def count_labels(counts: dict[str, int], labels: Iterable[str]) -> None:
    """Add labels to counts; beyond so many different ones the rest are counted together."""
    for label in labels:
        key = label if label in counts or len(counts) < MOST_LABELS else OTHER_LABELS
        counts[key] = counts.get(key, 0) + 1
