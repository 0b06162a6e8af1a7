"""Compile scikit-learn estimators to ONNX where the compiled form is the same function; all others are served as they are.

Supported estimators are listed by their exact class, since a subclass may do anything. docs/frameworks.md shows the list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...schemas.payloads.signatures import Signature
from . import linear, trees
from .answers import Outputs
from .graph import Block, Graph, NotCompiled
from .steps import add_columns, add_step, concatenate, is_identity
from .table import Table

Final = Callable[[Graph, Any, Block], Outputs]
_MAX_FORM_BYTES = 500_000_000  # protobuf ends at 2 GB, and a proof holds the form several times


@cache
def _final_estimators() -> dict[type, tuple[Final, bool]]:
    """Return, for each class that may end a pipeline, how it is added, and whether it computes the same on float32."""
    from sklearn import ensemble, linear_model, neural_network, svm, tree

    found: dict[type, tuple[Final, bool]] = {
        ensemble.GradientBoostingClassifier: (trees.gradient_boosting, True),
        ensemble.GradientBoostingRegressor: (trees.gradient_boosting, True),
        ensemble.HistGradientBoostingClassifier: (trees.histogram_boosting, True),
        ensemble.HistGradientBoostingRegressor: (trees.histogram_boosting, True),
        neural_network.MLPClassifier: (linear.perceptron_classifier, False),
        neural_network.MLPRegressor: (linear.perceptron_regressor, False),
    }
    for kind in (
        ensemble.RandomForestClassifier,
        ensemble.ExtraTreesClassifier,
        tree.DecisionTreeClassifier,
        tree.ExtraTreeClassifier,
    ):
        found[kind] = (trees.forest_classifier, True)
    for kind in (
        ensemble.RandomForestRegressor,
        ensemble.ExtraTreesRegressor,
        tree.DecisionTreeRegressor,
        tree.ExtraTreeRegressor,
    ):
        found[kind] = (trees.forest_regressor, True)
    for name in (
        "LogisticRegression", "LogisticRegressionCV", "RidgeClassifier", "RidgeClassifierCV", "Perceptron",
        "PassiveAggressiveClassifier", "SGDClassifier",
    ):  # fmt: skip
        if hasattr(linear_model, name):
            found[getattr(linear_model, name)] = (linear.linear_classifier, False)
    found[svm.LinearSVC] = (linear.linear_classifier, False)
    for name in (
        "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars", "LarsCV", "LassoLars",
        "LassoLarsCV", "LassoLarsIC", "MultiTaskLasso", "MultiTaskElasticNet", "OrthogonalMatchingPursuit", "HuberRegressor",
        "BayesianRidge", "TheilSenRegressor", "QuantileRegressor", "SGDRegressor",
    ):  # fmt: skip
        found[getattr(linear_model, name)] = (linear.linear_regressor, False)
    found[svm.LinearSVR] = (linear.linear_regressor, False)
    return found


def _unwrap_search(model: Any) -> Any:
    """Return the best estimator of a search, or the model itself."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    while type(model) in (GridSearchCV, RandomizedSearchCV):
        model = model.best_estimator_
    return model


def _add_transformer(graph: Graph, step: Any, table: Table, block: Block | None) -> Block:
    """Add a transformer; return its output."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion

    if type(step) is ColumnTransformer:
        if block is not None:
            raise NotCompiled("ColumnTransformer comes after another step")
        return add_columns(graph, step, table)
    block = block or table.block()
    if type(step) is not FeatureUnion:
        return add_step(graph, step, block)
    if step.transformer_weights:
        raise NotCompiled("FeatureUnion weights its parts")
    parts = [
        block if isinstance(each, str) or is_identity(each) else add_step(graph, each, block)
        for _, each in step.transformer_list
        if each != "drop"
    ]
    return concatenate(graph, parts, sparse=False)


def compile_estimator(model: Any, signature: Signature) -> bytes:
    """Return an ONNX form that gives the model's answers for all rows whose output `SURE` is true.

    Raises NotCompiled with the reason if the estimator, a step, a parameter or an input is not supported.
    """
    from sklearn.pipeline import Pipeline

    names = getattr(model, "feature_names_in_", None)
    model = _unwrap_search(model)
    steps = []
    while type(model) is Pipeline:
        steps += [step for _, step in model.steps[:-1] if step is not None and step != "passthrough"]
        model = _unwrap_search(model.steps[-1][1])
    if type(model) not in _final_estimators():
        raise NotCompiled(f"{type(model).__name__} is not on the list of what is compiled")
    final, on_floats = _final_estimators()[type(model)]
    graph = Graph()
    table = Table(graph, signature, None if names is None else [str(name) for name in names])
    if table.floats_only and (steps or not on_floats):
        raise NotCompiled("on float32 scikit-learn computes in float32")
    block = None
    for step in steps:
        block = _add_transformer(graph, step, table, block)
    form = graph.finish(table.inputs, final(graph, model, block or table.block()))
    if len(form) > _MAX_FORM_BYTES:
        raise NotCompiled(f"the compiled form would have {len(form)} bytes")
    return form
