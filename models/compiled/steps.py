"""Compile transformers of a pipeline. The order of arithmetic is scikit-learn's, so results are equal to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .answers import product
from .graph import Block, Graph, NotCompiled, double
from .table import Table


def _exact(model: Any, block: Block) -> None:
    name = type(model).__name__
    if block.error is not None:
        raise NotCompiled(f"{name} comes after a step whose sums are rounded in another order")
    if block.sparse:
        raise NotCompiled(f"{name} takes a sparse matrix")


def _columnwise(kind: str, parameter: Callable[[Any], Any]) -> Callable[[Graph, Any, Block], Block]:
    """Return a step that combines each column with its fitted parameter by the operator `kind`."""

    def add(graph: Graph, model: Any, block: Block) -> Block:
        row = double(parameter(model)).reshape(1, -1)
        return Block(graph.op(kind, block.values, graph.constant(row)), block.width)

    return add


_centre = _columnwise("Sub", lambda model: model.mean_)
_scale = _columnwise("Div", lambda model: model.scale_)
_robust_centre = _columnwise("Sub", lambda model: model.center_)
_multiply_scale = _columnwise("Mul", lambda model: model.scale_)
_shift = _columnwise("Add", lambda model: model.min_)


def _standard(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_no_infinity(block.values)
    block = _centre(graph, model, block) if model.with_mean else block
    return _scale(graph, model, block) if model.with_std else block


def _robust(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_no_infinity(block.values)
    block = _robust_centre(graph, model, block) if model.with_centering else block
    return _scale(graph, model, block) if model.with_scaling else block


def _min_max(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_no_infinity(block.values)
    block = _shift(graph, model, _multiply_scale(graph, model, block))
    return _clipped(graph, block, *model.feature_range) if model.clip else block


def _max_abs(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_no_infinity(block.values)
    block = _scale(graph, model, block)
    return _clipped(graph, block, -1.0, 1.0) if getattr(model, "clip", False) else block


def _clipped(graph: Graph, block: Block, low: float, high: float) -> Block:
    graph.guard_finite(block.values)  # Max and Min may treat NaN differently
    values = graph.op("Max", block.values, graph.constant(low))
    return Block(graph.op("Min", values, graph.constant(high)), block.width)


def _binarizer(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_finite(block.values)
    above = graph.op("Greater", block.values, graph.constant(model.threshold))
    return Block(graph.cast(above, np.float64), block.width)


def _imputer(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    if not (isinstance(model.missing_values, float) and np.isnan(model.missing_values)) or model.add_indicator:
        raise NotCompiled("its imputer adds an indicator, or its missing value is not NaN")
    if np.dtype(model._fill_dtype) != np.float64 or model.statistics_.dtype.kind != "f":
        raise NotCompiled(f"its imputer was fitted on {model._fill_dtype}")
    graph.guard_no_infinity(block.values)
    fill = double(model.statistics_.astype(np.float64)).reshape(1, -1)
    filled = graph.op("Where", graph.op("IsNaN", block.values), graph.constant(fill), block.values)
    return Block(filled, block.width)


def _pca(graph: Graph, model: Any, block: Block) -> Block:
    if model.whiten or block.sparse:
        raise NotCompiled("PCA whitens, or takes a sparse matrix")
    if block.error is None:
        graph.guard_finite(block.values)
    weights = double(model.components_).T
    return product(graph, block, weights, -(double(model.mean_).reshape(1, -1) @ weights))


def _selection(graph: Graph, model: Any, block: Block) -> Block:
    _exact(model, block)
    graph.guard_finite(block.values)
    kept = np.flatnonzero(model.get_support())
    if not len(kept):
        raise NotCompiled("no column is selected")
    return Block(graph.columns(block.values, kept.tolist()), len(kept))


def _steps() -> dict[type, Callable[[Graph, Any, Block], Block]]:
    from sklearn import decomposition, feature_selection, impute, preprocessing

    selectors = (
        feature_selection.VarianceThreshold,
        feature_selection.SelectKBest,
        feature_selection.SelectPercentile,
        feature_selection.SelectFpr,
        feature_selection.SelectFdr,
        feature_selection.SelectFwe,
    )
    return {
        preprocessing.StandardScaler: _standard,
        preprocessing.RobustScaler: _robust,
        preprocessing.MinMaxScaler: _min_max,
        preprocessing.MaxAbsScaler: _max_abs,
        preprocessing.Binarizer: _binarizer,
        impute.SimpleImputer: _imputer,
        decomposition.PCA: _pca,
        **dict.fromkeys(selectors, _selection),
    }


def add_step(graph: Graph, model: Any, block: Block) -> Block:
    """Add a transformer to the graph. Raises NotCompiled if it is not supported."""
    step = _steps().get(type(model))
    if step is None:
        raise NotCompiled(f"{type(model).__name__} is not on the list of what is compiled")
    if getattr(model, "_sklearn_output_config", None):
        raise NotCompiled(f"{type(model).__name__} outputs data frames")
    return step(graph, model, block)


def add_encoder(graph: Graph, model: Any, columns: list[str]) -> Block:
    """Add a OneHotEncoder or OrdinalEncoder of text columns, each (rows, 1). Rows with an unseen category are not sure."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if type(model) not in (OneHotEncoder, OrdinalEncoder):
        raise NotCompiled(f"{type(model).__name__} on text is not on the list of what is compiled")
    if model.min_frequency is not None or model.max_categories is not None or getattr(model, "drop", None) is not None:
        raise NotCompiled(f"{type(model).__name__} groups or drops categories")
    if np.dtype(model.dtype) != np.float64:
        raise NotCompiled(f"{type(model).__name__} outputs {np.dtype(model.dtype)}")
    one_hot = type(model) is OneHotEncoder
    parts, width = [], 0
    for name, categories in zip(columns, model.categories_, strict=True):
        known = list(categories)
        if not all(isinstance(each, str) and "\0" not in each for each in known):
            raise NotCompiled(f"{type(model).__name__} has categories that are not text")
        place = graph.op(
            "LabelEncoder", name, domain="ai.onnx.ml", keys_strings=[str(each) for each in known],
            values_int64s=list(range(len(known))), default_int64=-1,
        )  # fmt: skip
        if not (one_hot and model.handle_unknown == "ignore"):
            graph.guard(graph.flat(graph.op("GreaterOrEqual", place, graph.constant(0, np.int64))))
        if one_hot:
            every = graph.constant(np.arange(len(known)).reshape(1, -1), np.int64)
            place = graph.op("Equal", place, every)
            width += len(known)
        else:
            width += 1
        parts.append(graph.cast(place, np.float64))
    values = graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return Block(values, width, sparse=one_hot and bool(model.sparse_output))


def add_columns(graph: Graph, model: Any, table: Table) -> Block:
    """Add a ColumnTransformer: the outputs of its transformers, concatenated."""
    from sklearn.pipeline import Pipeline

    if getattr(model, "_sklearn_output_config", None):
        raise NotCompiled("ColumnTransformer outputs data frames")
    blocks = []
    for name, transformer, _ in model.transformers_:
        indices = [int(at) for at in model._transformer_to_input_indices[name]]
        if (isinstance(transformer, str) and transformer == "drop") or not indices:
            continue
        if table.texts_only(indices):
            encoder = transformer
            if type(transformer) is Pipeline:
                if len(transformer.steps) != 1:
                    raise NotCompiled("text goes through several steps")
                encoder = transformer.steps[0][1]
            blocks.append(add_encoder(graph, encoder, table.texts(indices)))
            continue
        block = table.numbers(graph, indices)
        if not (isinstance(transformer, str) or is_identity(transformer)):
            for step in [step for _, step in transformer.steps] if type(transformer) is Pipeline else [transformer]:
                block = block if isinstance(step, str) or step is None else add_step(graph, step, block)
        blocks.append(block)
    return concatenate(graph, blocks, sparse=bool(model.sparse_output_))


def is_identity(transformer: Any) -> bool:
    """Whether it is the transformer that scikit-learn creates for "passthrough"."""
    from sklearn.preprocessing import FunctionTransformer

    return type(transformer) is FunctionTransformer and transformer.func is None


def concatenate(graph: Graph, blocks: list[Block], *, sparse: bool) -> Block:
    """Return the blocks, concatenated by column."""
    if not blocks:
        raise NotCompiled("no column is left")
    if any(block.error is not None for block in blocks):
        raise NotCompiled("a step whose sums are rounded in another order is combined with others")
    values = graph.op("Concat", *[block.values for block in blocks], axis=1) if len(blocks) > 1 else blocks[0].values
    return Block(values, sum(block.width for block in blocks), sparse=sparse)
