"""What is swept: each estimator, and shapes of pipelines, times the kinds of input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

PLAIN = ("float64", "float32", "int64", "bool", "missing", "frame")


@dataclass(frozen=True)
class Case:
    """One model: `make` returns it unfitted; `target` names what it learns, or is "" where it chooses by itself."""

    name: str
    inputs: str
    make: Callable[[], Any]
    target: str = ""

    def __str__(self) -> str:
        return f"{self.name} on {self.inputs}" + (f" ({self.target})" if self.target else "")


def estimators() -> dict[str, Any]:
    """Return all of scikit-learn's estimators by name, the first way that its own tests make each."""
    from sklearn.utils import all_estimators
    from sklearn.utils._test_common.instance_generator import _construct_instances

    found: dict[str, Any] = {}
    for name, kind in all_estimators():
        try:
            found[name] = next(iter(_construct_instances(kind)))
        except Exception:  # it wants an argument that even scikit-learn's tests do not know
            found[name] = None
    if "LocalOutlierFactor" in found:
        found["LocalOutlierFactor"].set_params(novelty=True)
    return found


def estimator_cases() -> Iterator[Case]:
    """Each estimator on the kinds of input that its tags speak of."""
    from sklearn.base import clone

    for name, model in estimators().items():
        if model is None:
            continue
        for kind in _kinds_of(name, model):
            yield Case(name, kind, lambda model=model: clone(model))  # type: ignore[misc]


def _kinds_of(name: str, model: Any) -> tuple[str, ...]:
    tags = model.__sklearn_tags__().input_tags
    if name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        return ("text",)
    if tags.positive_only:
        return ("positive", "int64", "bool")
    return PLAIN


def _finals() -> dict[str, Callable[[], Any]]:
    from sklearn import ensemble, linear_model, neighbors, svm, tree

    return {
        "logistic": lambda: linear_model.LogisticRegression(max_iter=300),
        "forest": lambda: ensemble.RandomForestClassifier(8, random_state=0),
        "shallow": lambda: ensemble.RandomForestClassifier(8, max_depth=3, random_state=0),
        "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0),
        "histogram": lambda: ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=0),
        "tree": lambda: tree.DecisionTreeClassifier(random_state=0),
        "neighbours": lambda: neighbors.KNeighborsClassifier(3),
        "svc": lambda: svm.SVC(random_state=0),
    }


def _numeric_shapes() -> dict[str, Callable[[Any], Any]]:
    from sklearn import calibration, decomposition, ensemble, feature_selection, impute, model_selection, multiclass
    from sklearn import preprocessing as pre
    from sklearn.pipeline import FeatureUnion, make_pipeline

    def pipe(*steps: Any) -> Callable[[Any], Any]:
        return lambda final: make_pipeline(*steps, final)

    from sklearn.base import clone

    return {
        "scaled": pipe(pre.StandardScaler()), "imputed": pipe(impute.SimpleImputer()),
        "imputed, scaled": pipe(impute.SimpleImputer(strategy="median"), pre.RobustScaler()),
        "marked": pipe(impute.SimpleImputer(add_indicator=True)), "neighbour-imputed": pipe(impute.KNNImputer()),
        "normalized": pipe(impute.SimpleImputer(), pre.Normalizer()), "binarized": pipe(pre.Binarizer()),
        "clipped": pipe(pre.MinMaxScaler(clip=True), pre.MaxAbsScaler()), "powers": pipe(pre.PolynomialFeatures(2)),
        "binned": pipe(pre.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
        "quantiles": pipe(pre.QuantileTransformer(n_quantiles=20)), "components": pipe(decomposition.PCA(2)),
        "best columns": pipe(feature_selection.SelectKBest(k=2)),
        "union": pipe(FeatureUnion([("a", pre.StandardScaler()), ("b", decomposition.PCA(2)), ("c", "passthrough")])),
        "logarithm": pipe(pre.FunctionTransformer(np.abs)),
        "calibrated": lambda final: calibration.CalibratedClassifierCV(final, cv=2),
        "voting": lambda final: ensemble.VotingClassifier([("a", final), ("b", pre_logistic())]),
        "stacked": lambda final: ensemble.StackingClassifier([("a", final), ("b", pre_logistic())], cv=2),
        "bagged": lambda final: ensemble.BaggingClassifier(final, 3, random_state=0),
        "searched": lambda final: model_selection.GridSearchCV(clone(make_pipeline(pre.StandardScaler(), final)), {}, cv=2),
        "one against the rest": lambda final: multiclass.OneVsRestClassifier(final),
        "one against one": lambda final: multiclass.OneVsOneClassifier(final),
    }  # fmt: skip


def pre_logistic() -> Any:
    """A scaled logistic regression beside another model."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))


def pipeline_cases() -> Iterator[Case]:
    """Each shape on floats, beside some on the other kinds of number."""
    finals, shapes = _finals(), _numeric_shapes()
    for shape, wrap in shapes.items():
        for final, make in finals.items():
            for kind, target in (("float64", "three"), ("missing", "two"), ("int64", "floats"), ("frame", "two")):
                usual = shape in ("scaled", "imputed", "imputed, scaled", "components", "union")
                if kind == "float64" or (usual and final not in ("svc", "neighbours")):
                    yield Case(f"{shape} {final}", kind, lambda w=wrap, m=make: w(m()), target)  # type: ignore[misc]
    for final, make in finals.items():
        for target in ("two", "three", "floats"):
            yield Case(final, "float64", make, target)


def table_cases() -> Iterator[Case]:
    """Tables with categories and text, and texts alone."""
    from sklearn import feature_extraction, linear_model, naive_bayes
    from sklearn import preprocessing as pre
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    encoders: dict[str, Callable[[], Any]] = {
        "onehot": pre.OneHotEncoder, "onehot ignoring": lambda: pre.OneHotEncoder(handle_unknown="ignore"),
        "onehot dense": lambda: pre.OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "onehot dropping": lambda: pre.OneHotEncoder(drop="first"),
        "onehot infrequent": lambda: pre.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20),
        "ordinal": pre.OrdinalEncoder,
        "ordinal with a number": lambda: pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        "by target": lambda: pre.TargetEncoder(random_state=0, cv=2),
    }  # fmt: skip
    for name, encoder in encoders.items():
        for final, make in _finals().items():
            if final in ("svc", "tree", "neighbours"):
                continue

            def table(encoder: Any = encoder, make: Any = make) -> Any:
                columns = [("n", pre.StandardScaler(), ["amount", "age"]), ("c", encoder(), ["city"])]
                return make_pipeline(ColumnTransformer(columns, sparse_threshold=0.0), make())

            yield Case(f"{name} {final}", "table", table, "two")
    vectorizers: dict[str, Callable[[], Any]] = {
        "tfidf": feature_extraction.text.TfidfVectorizer, "counts": feature_extraction.text.CountVectorizer,
        "upper case": lambda: feature_extraction.text.TfidfVectorizer(lowercase=False),
        "characters": lambda: feature_extraction.text.TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)),
        "hashed": lambda: feature_extraction.text.HashingVectorizer(n_features=64, alternate_sign=False),
    }  # fmt: skip
    for name, vectorizer in vectorizers.items():
        for bayes in (True, False):
            yield Case(
                f"{name} {'bayes' if bayes else 'logistic'}",
                "text",
                lambda v=vectorizer, b=bayes: make_pipeline(  # type: ignore[misc]
                    v(), naive_bayes.MultinomialNB() if b else linear_model.LogisticRegression()
                ),
                "two",
            )
        yield Case(
            f"{name} beside numbers",
            "table",
            lambda v=vectorizer: make_pipeline(  # type: ignore[misc]
                ColumnTransformer([("t", v(), "note"), ("n", "passthrough", ["amount"])]),
                linear_model.LogisticRegression(max_iter=300),
            ),
            "two",
        )


def several_outputs() -> Iterator[Case]:
    """Several outputs, several labels, and targets that are transformed."""
    from sklearn import ensemble, linear_model, multioutput, neighbors, neural_network, tree
    from sklearn.compose import TransformedTargetRegressor

    labels: dict[str, Callable[[], Any]] = {
        "forest": lambda: ensemble.RandomForestClassifier(5, random_state=0), "tree": tree.DecisionTreeClassifier,
        "neighbours": neighbors.KNeighborsClassifier, "ridge": linear_model.RidgeClassifier,
        "perceptron": lambda: neural_network.MLPClassifier((5,), max_iter=20, random_state=0),
        "each": lambda: multioutput.MultiOutputClassifier(linear_model.LogisticRegression()),
        "chain": lambda: multioutput.ClassifierChain(linear_model.LogisticRegression()),
    }  # fmt: skip
    numbers: dict[str, Callable[[], Any]] = {
        "forest": lambda: ensemble.RandomForestRegressor(5, random_state=0), "tree": tree.DecisionTreeRegressor,
        "ridge": linear_model.Ridge, "each": lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()),
    }  # fmt: skip
    for kind in ("float64", "frame"):
        for name, make in labels.items():
            yield Case(f"several labels, {name}", kind, make, "labels")
        for name, make in numbers.items():
            yield Case(f"several numbers, {name}", kind, make, "numbers")
    yield Case(
        "logarithm of the target", "float64",
        lambda: TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1), "positive",
    )  # fmt: skip


def all_cases() -> list[Case]:
    """Return the whole sweep."""
    return [*estimator_cases(), *pipeline_cases(), *table_cases(), *several_outputs()]
