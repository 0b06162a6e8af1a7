"""A compiled form's answers equal the model's where it is sure, and it is not sure of rows that the model refuses."""

import numpy as np
import pandas as pd
import pytest
from modelmesh.models.adapters.onnx_predictor import OnnxPredictor
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.adapters.sklearn_adapter import SklearnPredictor
from modelmesh.models.compiled.compiler import compile_estimator
from modelmesh.models.compiled.domain import OutsideDomain
from modelmesh.models.compiled.graph import TOLERANCE, NotCompiled
from modelmesh.models.compiled.probes import probes
from modelmesh.models.proof.parity import compare
from modelmesh.models.proof.proof import prove
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine OpenMP threads spend more time on synchronization than on work."""
    with threadpool_limits(1):
        yield


ROWS = np.random.default_rng(0).normal(size=(400, 6))
TWO = (ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] > 0).astype(int)
THREE = TWO + (ROWS[:, 3] > 1)
NUMBER = ROWS[:, 0] * 1e6 + ROWS[:, 1]
MATRIX = Signature(inputs=(TensorSpec(name="inputs", dtype="float64", shape=(-1, 6)),))


def run_both(model, signature, inputs):
    """Return the form's answers where it is sure, the mask of these rows, and the model's answers to them."""
    form = OnnxPredictor(compile_estimator(model, signature), signature, threads=1)
    try:
        found, sure = form.predict(inputs), np.ones(len(next(iter(inputs.values()))), bool)
    except OutsideDomain as outside:
        found, sure = outside.outputs, outside.inside
    inside = {name: array[sure] for name, array in inputs.items()}
    return (
        {name: array[sure] for name, array in found.items()},
        sure,
        SklearnPredictor(model, signature).predict(inside),
    )


def classifiers():
    yield from (RandomForestClassifier(20, random_state=0), RandomForestClassifier(20, max_depth=4, random_state=0))
    yield from (ExtraTreesClassifier(10, random_state=0), DecisionTreeClassifier(max_depth=4), LinearSVC())
    yield from (GradientBoostingClassifier(n_estimators=10), HistGradientBoostingClassifier(max_iter=10))
    yield from (LogisticRegression(), RidgeClassifier(), SGDClassifier(random_state=0))
    yield from (MLPClassifier((8, 4), max_iter=20), MLPClassifier((8,), max_iter=20, activation="tanh"))
    yield make_pipeline(StandardScaler(), PCA(3), LogisticRegression())
    yield make_pipeline(SimpleImputer(), RobustScaler(), SelectKBest(k=3), RandomForestClassifier(10, random_state=0))
    yield make_pipeline(MinMaxScaler(clip=True), MaxAbsScaler(), DecisionTreeClassifier())
    yield make_pipeline(Binarizer(), LogisticRegression())
    yield make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", "passthrough")]), LogisticRegression())
    yield GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1, 10]})


def regressors():
    yield from (RandomForestRegressor(10), ExtraTreesRegressor(10), DecisionTreeRegressor(), Ridge(), Lasso())
    yield from (GradientBoostingRegressor(n_estimators=10), HistGradientBoostingRegressor(max_iter=10))
    yield MLPRegressor(hidden_layer_sizes=(8,), max_iter=20)


CASES = [
    *[(f"{model!r:.60}-two", model, TWO) for model in classifiers()],
    *[(f"{model!r:.60}-three", model, THREE) for model in classifiers()],
    *[(f"{model!r:.60}", model, NUMBER) for model in regressors()],
    ("two outputs", Ridge(), np.column_stack([NUMBER, ROWS[:, 1]])),
]


@pytest.mark.parametrize(("model", "target"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.filterwarnings("ignore")
def test_a_form_is_the_model_wherever_it_is_sure(model, target):
    model.fit(ROWS[:300], target[:300])
    inputs = {"inputs": ROWS}
    rows = probes(model, MATRIX, inputs, SklearnPredictor(model, MATRIX).predict)
    assert len(rows["inputs"]) > 700
    found, sure, expected = run_both(model, MATRIX, rows)
    parity = compare(expected, found, TOLERANCE)
    assert parity.holds, parity
    assert sure[: len(ROWS)].all()


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier, HistGradientBoostingClassifier])
def test_missing_values_go_where_training_sent_them(kind):
    rows, labels = ROWS.copy(), TWO.copy()
    rows[::4, 0], labels[::4] = np.nan, 0
    model = kind(random_state=0).fit(rows, labels)
    found, sure, expected = run_both(model, MATRIX, {"inputs": rows})
    assert sure.all()
    assert compare(expected, found, TOLERANCE).holds
    assert (found["label"][::4] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("model", [LogisticRegression(), GradientBoostingClassifier(n_estimators=3)])
def test_a_form_is_not_sure_of_what_the_model_refuses(model, value):
    rows = ROWS[:3].copy()
    rows[1, 2] = value
    _, sure, _ = run_both(model.fit(ROWS, TWO), MATRIX, {"inputs": rows})
    try:
        model.predict(rows)
    except ValueError:
        assert sure.tolist() == [True, False, True]


def test_scores_nearer_than_rounding_are_left_to_the_model():
    model = LogisticRegression().fit(ROWS, TWO)
    weights = model.coef_[0]
    on_the_border = ROWS - np.outer((ROWS @ weights + model.intercept_) / (weights @ weights), weights)
    _, sure, _ = run_both(model, MATRIX, {"inputs": on_the_border})
    assert (~sure).sum() > 300
    assert run_both(model, MATRIX, {"inputs": ROWS})[1].all()


@pytest.mark.parametrize(
    "classes",
    [
        np.array([0.0, 1.0]), np.array([False, True]), np.array([-1, 1]), np.array(["9", "10"]), np.array([2.0, 1.0]),
        np.array([2**60, 2**60 + 1]), np.array(["Ja \U0001f600", "Nein"]), np.array([0, 1], np.uint8),
        np.array(["a", "b"], object),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(), LogisticRegression(), HistGradientBoostingClassifier(max_iter=2)]
)
def test_classes_keep_value_and_type(classes, model):
    model.fit(ROWS, classes[TWO])
    found, _, _ = run_both(model, MATRIX, {"inputs": ROWS})
    want = model.predict(ROWS).tolist()
    assert [(type(a), a) for a in found["label"].tolist()] == [(type(a), a) for a in want]


def table_model(encoder, final):
    table = pd.DataFrame({"amount": ROWS[:, 0] * 100, "city": np.array(["Oslo", "Bern", "Zürich"], object)[THREE]})
    steps = ColumnTransformer([("c", encoder, ["city"])], remainder="passthrough")
    signature = Signature(inputs=(TensorSpec(name="amount", dtype="float64"), TensorSpec(name="city", dtype="string")))
    return make_pipeline(steps, final).fit(table, TWO), table, signature


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(), OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(sparse_output=False), OrdinalEncoder(),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("final", [LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0)])
def test_a_row_with_an_unseen_category_is_left_to_the_model(encoder, final):
    model, _, signature = table_model(encoder, final)
    cities = np.array(["Oslo", "Zürich", "zürich", "", "Oslo ", "Oslo\0", "Bern", "Z\u0075\u0308rich", "Paris"], object)
    found, sure, expected = run_both(model, signature, {"amount": np.full(9, 90.0), "city": cities})
    assert compare(expected, found, TOLERANCE).holds
    assert sure[[0, 1, 6]].all()
    assert sure.all() == (getattr(encoder, "handle_unknown", "") == "ignore")


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(), make_pipeline(Normalizer(), LogisticRegression()),
        make_pipeline(PCA(3), DecisionTreeClassifier()),
        make_pipeline(KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), LogisticRegression()),
        make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()), SGDClassifier(loss="modified_huber"),
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_not_compiled_and_says_why(model):
    with pytest.raises(NotCompiled, match=r"\w+ \w+"):
        compile_estimator(model.fit(ROWS, TWO), MATRIX)


def test_a_subclass_is_not_its_parent():
    class Mine(LogisticRegression):
        def predict(self, rows):
            return super().predict(rows) * 0

    with pytest.raises(NotCompiled, match="Mine"):
        compile_estimator(Mine().fit(ROWS, TWO), MATRIX)


def test_text_vectorizers_are_not_compiled():
    texts = ["good food", "bad food"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 10)
    with pytest.raises(NotCompiled, match="text"):
        compile_estimator(model, Signature(inputs=(TensorSpec(name="inputs", dtype="string"),)))


def test_whole_numbers_beyond_doubles_are_left_to_the_model():
    model = DecisionTreeClassifier().fit(ROWS, TWO)
    signature = Signature(inputs=(TensorSpec(name="inputs", dtype="int64", shape=(-1, 6)),))
    rows = np.ones((3, 6), np.int64)
    rows[1, 1], rows[2, 2] = 2**53 + 1, 2**53 - 1
    assert run_both(model, signature, {"inputs": rows})[1].tolist() == [True, False, True]


def test_the_proof_refuses_a_form_that_answers_otherwise(tmp_path, monkeypatch):
    """If the compiler is wrong or scikit-learn changes, the probes find the difference, and the model is served as it is."""
    model = DecisionTreeClassifier(random_state=0).fit(ROWS, TWO)
    other = DecisionTreeClassifier(random_state=0).fit(ROWS, TWO)
    # One threshold, as the form has it, moved by a float or two: no sample row sees it.
    threshold = other.tree_.threshold[0]
    above = np.float64(np.nextafter(np.nextafter(np.float32(threshold), np.float32(np.inf)), np.float32(np.inf)))
    form = compile_estimator(other, MATRIX)
    assert form.count(threshold.tobytes()) == 2  # once for each class
    monkeypatch.setattr(
        "modelmesh.models.adapters.sklearn_adapter.compile_estimator",
        lambda *_: form.replace(threshold.tobytes(), above.tobytes()),
    )
    path = tmp_path / "model.joblib"
    adapter_for("sklearn").save(model, path, None)
    proof = prove(path, "sklearn", None, ROWS[:50].tolist(), True, tmp_path / "model.onnx")
    assert (proof.served_as, proof.parity["holds"]) == ("sklearn", False)


def test_a_model_whose_sample_is_partly_outside_is_compiled_all_the_same(tmp_path):
    rows = ROWS[:40].copy()
    rows[3] = 0  # all scores are 0: there is no intercept
    path = tmp_path / "model.joblib"
    model = LogisticRegression(fit_intercept=False).fit(ROWS, THREE)
    adapter_for("sklearn").save(model, path, None)
    proof = prove(path, "sklearn", None, rows.tolist(), True, tmp_path / "model.onnx")
    assert proof.served_as == "onnx"
    assert proof.domain is not None
    assert proof.deterministic
