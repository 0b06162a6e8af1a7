"""Compile estimators of scikit-learn for which the compiled form is the same function; everything else is served as it is.

What is on the list is listed here by its exact class: a subclass may do anything. docs/frameworks.md shows the list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...schemas.payloads.signatures import Signature
from . import linear, trees
from .answers import Outputs
from .graph import Block, Graph, NotCompiled
from .steps import add_columns, add_step, is_identity, side_by_side
from .table import Table

Final = Callable[[Graph, Any, Block], Outputs]
_LARGEST = 500_000_000  # bytes of a form: protobuf ends at 2 GB, and a proof holds it several times


@cache
def _finals() -> dict[type, tuple[Final, bool]]:
    """Each class that may end a pipeline: how it is added, and whether it computes the same on float32."""
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


def _unwrapped(model: Any) -> Any:
    """Return what a search hands its questions to."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    while type(model) in (GridSearchCV, RandomizedSearchCV):
        model = model.best_estimator_
    return model


def _through(graph: Graph, step: Any, table: Table, block: Block | None) -> Block:
    """Add a transformer that is no last one."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion

    if type(step) is ColumnTransformer:
        if block is not None:
            raise NotCompiled("ColumnTransformer stands behind another step")
        return add_columns(graph, step, table)
    block = block or table.block()
    if type(step) is not FeatureUnion:
        return add_step(graph, step, block)
    if step.transformer_weights:
        raise NotCompiled("FeatureUnion weighs its parts")
    parts = [
        block if isinstance(each, str) or is_identity(each) else add_step(graph, each, block)
        for _, each in step.transformer_list
        if each != "drop"
    ]
    return side_by_side(graph, parts, sparse=False)


def compile_estimator(model: Any, signature: Signature) -> bytes:
    """Return an ONNX form that gives the model's own answers wherever its output `SURE` is true.

    Raises NotCompiled with the reason where the estimator, a step, a parameter or an input is not on the list.
    """
    from sklearn.pipeline import Pipeline

    names = getattr(model, "feature_names_in_", None)
    model = _unwrapped(model)
    steps = []
    while type(model) is Pipeline:
        steps += [step for _, step in model.steps[:-1] if step is not None and step != "passthrough"]
        model = _unwrapped(model.steps[-1][1])
    if type(model) not in _finals():
        raise NotCompiled(f"{type(model).__name__} is not on the list of what is compiled")
    final, on_floats = _finals()[type(model)]
    graph = Graph()
    table = Table(graph, signature, None if names is None else [str(name) for name in names])
    if table.floats_only and (steps or not on_floats):
        raise NotCompiled("on float32 scikit-learn computes in float32")
    block = None
    for step in steps:
        block = _through(graph, step, table, block)
    form = graph.finish(table.inputs, final(graph, model, block or table.block()))
    if len(form) > _LARGEST:
        raise NotCompiled(f"the compiled form would have {len(form)} bytes")
    return form
