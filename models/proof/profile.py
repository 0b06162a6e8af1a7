"""Build a version's reference profile from rows, and count live rows in its bins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.profiles import FeatureProfile, OutputBins, Profile
from ..values.label_values import label_key
from ..values.tensors import Tensors
from .identifiers import why_left_out
from .measures import Column, category_of, is_text, text_columns, wide_columns

BINS = 20
MAX_CATEGORIES = 50
# A wider matrix is an embedding or an image, whose single values mean nothing: it is summarized by measures.
MAX_FEATURES = 128
# After this many text columns, each further one keeps only its first measures.
FULL_TEXTS, FEWER_MEASURES = 4, 6
# A profile is part of the deployment's record: features beyond this size are left out.
PROFILE_BYTES = 400_000
# A reference learned from live rows is sent as raw values, in one record at most; a string counts as STRING_WEIGHT values.
LEARNED_VALUES = 30_000
STRING_WEIGHT = 4
MAX_LABELS = 100
OTHER_LABELS = "(other)"


def columns_of(tensors: Tensors) -> list[Column]:
    """Return the inputs' columns by name, each of shape (rows,): a matrix `x` of two columns gives `x[0]` and `x[1]`.

    An array with many numbers a row gives its measures instead (`x: mean`, ...), and so do all numeric columns after the
    first MAX_FEATURES together. String columns after these are left out.
    """
    columns: list[Column] = []
    others: list[NDArray[Any]] = []
    for name, array in tensors.items():
        width = 1 if array.ndim == 1 else int(np.prod(array.shape[1:]))
        if array.ndim <= 2 and len(columns) + width <= MAX_FEATURES:
            columns += [(name, array)] if array.ndim == 1 else [(f"{name}[{n}]", array[:, n]) for n in range(width)]
        elif array.dtype.kind not in "fiub":
            continue
        elif array.ndim == 1:
            others.append(array.astype(np.float32))
        else:
            columns += wide_columns(name, array)
    return columns + (wide_columns("(other columns)", np.column_stack(others)) if others else [])


def weight_of(columns: Iterable[Column]) -> int:
    """Return how much one row of these columns counts towards LEARNED_VALUES."""
    return max(1, sum(STRING_WEIGHT if values.dtype.kind in "OUS" else 1 for _, values in columns))


def build_profile(
    columns: Iterable[Column], source: Literal["registration", "live"] = "registration"
) -> Profile | None:
    """Return the profile of reference rows; None if there are no rows or no features."""
    features: list[FeatureProfile] = []
    left_out: dict[str, str] = {}
    rows = texts = size = 0
    for name, values in columns:
        rows = len(values)
        if why := why_left_out(values):
            left_out[name] = why
            continue
        found = [_numbers(name, values)] if values.dtype.kind not in "OUS" else _strings(name, values)
        if found and found[0].of:
            texts += 1
            found = found if texts <= FULL_TEXTS else found[:FEWER_MEASURES]
        for feature in found:
            size += len(feature.model_dump_json())
            if size <= PROFILE_BYTES:
                features.append(feature)
    if not rows or not (features or left_out):
        return None
    return Profile(rows=rows, features=tuple(features), source=source, left_out=left_out)


def _strings(name: str, values: NDArray[Any]) -> list[FeatureProfile]:
    """Return a column of strings as categories if there are few different ones, else its measures."""
    seen = Counter(category_of(value) for value in values if value is not None)
    if len(seen) <= MAX_CATEGORIES and not is_text(values):
        return [_categories(name, values, tuple(category for category, _ in seen.most_common()))]
    measured = [_numbers(measure, numbers) for measure, numbers in text_columns(name, values)]
    return [feature.model_copy(update={"of": name}) for feature in measured]


def _numbers(name: str, values: NDArray[Any]) -> FeatureProfile:
    known = values.astype(np.float64)
    known = known[np.isfinite(known)]
    # Edges between quantiles; equal edges, from a frequent value, are merged. The first and the last bin are empty: they are
    # for live values below the smallest and above the largest.
    ends = [np.nextafter(known.min(), -np.inf), known.max()] if len(known) else [0.0]
    edges = np.unique([*np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]), *ends] if len(known) else ends)
    feature = FeatureProfile(name=name, kind="number", edges=tuple(edges.tolist()))
    return feature.model_copy(update={"counts": tuple(count_column(feature, values))})


def _categories(name: str, values: NDArray[Any], names: tuple[str, ...]) -> FeatureProfile:
    feature = FeatureProfile(name=name, kind="category", categories=names)
    return feature.model_copy(update={"counts": tuple(count_column(feature, values))})


def count_column(feature: FeatureProfile, values: NDArray[Any]) -> list[int]:
    """Return the number of values in each bin of the feature."""
    if feature.kind == "number":
        numbers = values.astype(np.float64)
        bins = np.searchsorted(np.asarray(feature.edges), numbers, side="left")
        bins[~np.isfinite(numbers)] = feature.bins - 1
        return [int(count) for count in np.bincount(bins, minlength=feature.bins)]
    places = {category: number for number, category in enumerate(feature.categories)}
    unseen = len(places)
    counts = [0] * feature.bins
    for value in values:
        counts[unseen + 1 if value is None else places.get(category_of(value), unseen)] += 1
    return counts


def count_rows(profile: Profile, tensors: Tensors) -> list[list[int]]:
    """Return the counts of rows, by the profile's features and bins."""
    return count_columns(profile, columns_of(tensors))


def count_columns(profile: Profile, found: Iterable[Column]) -> list[list[int]]:
    """Return the counts of columns, by the profile's features and bins."""
    columns = dict(found)
    for name in {feature.of for feature in profile.features if feature.of and feature.name not in columns}:
        if name in columns:
            columns |= text_columns(name, columns[name])
    return [
        count_column(feature, columns[feature.name]) if feature.name in columns else [0] * feature.bins
        for feature in profile.features
    ]


def output_bins_of(outputs: Tensors) -> OutputBins | None:
    """Return how to count such answers: by label if there is one, else by deciles of the first output."""
    name = "label" if "label" in outputs else next(iter(outputs))
    values = outputs[name]
    if name != "label" and values.ndim == 1 and values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1])) if len(known) else known
        return OutputBins(output=name, edges=tuple(edges.tolist())) if len(edges) else None
    return OutputBins(output=name) if values.ndim in (1, 2) else None


def output_labels(bins: OutputBins, outputs: Tensors) -> Sequence[str]:
    """Return each row's answer as a label: the label itself, the index of the largest of several numbers, or the bin."""
    values = outputs.get(bins.output)
    if values is None:
        return []
    if bins.edges is not None:
        return [str(number) for number in np.searchsorted(np.asarray(bins.edges), values.astype(np.float64))]
    if values.ndim == 2:
        values = values.argmax(axis=1)
    return [label_key(value) for value in values.tolist()]


def key_within(counts: Mapping[str, Any], name: str) -> str:
    """Return the key to count a name under: the name, or OTHER_LABELS once MAX_LABELS names are counted."""
    return name if name in counts or len(counts) < MAX_LABELS else OTHER_LABELS


def count_labels(counts: dict[str, int], labels: Iterable[str]) -> None:
    """Add labels to counts; after MAX_LABELS different ones, new ones are counted together."""
    for label in map(category_of, labels):
        key = key_within(counts, label)
        counts[key] = counts.get(key, 0) + 1
