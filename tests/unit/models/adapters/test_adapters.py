import os

import joblib
import numpy as np
import pandas as pd
import pytest
from modelmesh.models.adapters.onnx_predictor import OnnxPredictor
from modelmesh.models.adapters.registry import adapter_for, framework_of
from modelmesh.models.compiled.compiler import compile_estimator
from modelmesh.models.proof.parity import compare
from modelmesh.models.proof.proof import Limits, prove, prove_in_fresh_process
from modelmesh.models.values.tensors import read_inputs
from modelmesh.schemas.errors import InvalidInput, RegistrationRefused
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ....by_value import by_value

LIMITS = Limits(allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=1024**3)
X, Y = load_breast_cancer(return_X_y=True)
TABLE = pd.DataFrame(
    {"amount": [10.0, 900.0, 20.0, 950.0] * 25, "merchant": ["Acme", "Acme", "Globex", "Initech"] * 25}
)


def mixed_pipeline():
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["amount"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["merchant"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(TABLE, TABLE["amount"] > 500)


def prove_sklearn(model, tmp_path, sample=(), compile_model=True):
    path = tmp_path / "model.joblib"
    adapter_for("sklearn").save(model, path, None)
    return prove(path, "sklearn", None, list(sample), compile_model, tmp_path / "model.onnx")


def plain(model):
    """The signature of a model of one matrix."""
    return Signature(inputs=(TensorSpec(name="inputs", dtype="float64", shape=(-1, model.n_features_in_)),))


@pytest.mark.parametrize(
    "kind",
    [
        RandomForestClassifier,
        ExtraTreesClassifier,
        DecisionTreeClassifier,
        RandomForestRegressor,
        ExtraTreesRegressor,
        DecisionTreeRegressor,
    ],
)
@pytest.mark.parametrize("names", [None, np.array(["benign", "malignant"])])
def test_a_compiled_forest_answers_as_the_forest(kind, names):
    target = Y if names is None or "Regressor" in kind.__name__ else names[Y]
    model = kind(random_state=0).fit(X[:300], target[:300])
    compiled = OnnxPredictor(compile_estimator(model, plain(model)), None, threads=1).predict({"inputs": X[300:]})
    expected = {"label" if hasattr(model, "classes_") else "value": model.predict(X[300:])}
    if hasattr(model, "classes_"):
        expected["probabilities"] = model.predict_proba(X[300:])
    assert compare(expected, compiled).holds


def test_a_tie_goes_to_the_first_class_as_in_sklearn():
    rows = np.array([[0.0]] * 5 + [[1.0]] * 5)
    model = RandomForestClassifier(10, max_depth=1, random_state=0).fit(rows, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    grid = np.linspace(-1, 2, 50)[:, None]
    compiled = OnnxPredictor(compile_estimator(model, plain(model)), None, threads=1).predict({"inputs": grid})
    assert (compiled["label"] == model.predict(grid)).all()


def test_thresholds_between_two_floats_decide_as_in_double():
    generator = np.random.default_rng(1)
    rows = generator.random((400, 3)).astype(np.float32).astype(np.float64)
    model = DecisionTreeClassifier(random_state=0).fit(rows, generator.integers(0, 2, 400))
    compiled = OnnxPredictor(compile_estimator(model, plain(model)), None, threads=1).predict({"inputs": rows})
    assert (compiled["label"] == model.predict(rows)).all()


def test_a_linear_model_is_compiled_and_its_inputs_inferred(tmp_path):
    proof = prove_sklearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), tmp_path, X[:10].tolist())
    assert (proof.served_as, proof.compiled, proof.parity["holds"]) == ("onnx", True, True)
    assert [(s.name, s.shape) for s in proof.signature.inputs] == [("inputs", (-1, 30))]
    assert [(s.name, s.dtype) for s in proof.signature.outputs] == [("label", "int64"), ("probabilities", "float64")]
    assert proof.libraries["scikit-learn"]


def test_a_regressor_answers_values(tmp_path):
    proof = prove_sklearn(LinearRegression().fit(X[:, 1:], X[:, 0]), tmp_path)
    assert proof.served_as == "onnx"
    assert [(s.name, s.shape) for s in proof.signature.outputs] == [("value", (-1,))]


def test_a_pipeline_with_text_is_compiled_and_answers_as_itself(tmp_path):
    model = mixed_pipeline()
    proof = prove_sklearn(model, tmp_path, TABLE[:20].to_dict("records"))
    assert proof.served_as == "onnx"
    assert [(s.name, s.dtype) for s in proof.signature.inputs] == [("amount", "float64"), ("merchant", "string")]
    compiled = adapter_for("onnx").load(tmp_path / "model.onnx", proof.signature, [], 1)
    inputs, _ = read_inputs({"amount": 910, "merchant": "never seen"}, proof.signature)
    row = pd.DataFrame({"amount": [910.0], "merchant": ["never seen"]})
    expected = {"label": model.predict(row), "probabilities": model.predict_proba(row)}
    assert compare(expected, compiled.predict(inputs)).holds


def test_compiling_can_be_turned_off(tmp_path):
    proof = prove_sklearn(LogisticRegression(max_iter=10).fit(X, Y), tmp_path, compile_model=False)
    assert (proof.served_as, proof.parity) == ("sklearn", {"attempted": False})
    assert not (tmp_path / "model.onnx").exists()


def test_what_cannot_be_compiled_is_served_as_it_is(tmp_path):
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=10)).fit(X, Y)
    proof = prove_sklearn(model, tmp_path, X[:5].tolist())
    assert proof.served_as == "sklearn"
    assert proof.parity["holds"] is False


def test_a_model_of_other_rows_than_its_sample_is_refused(tmp_path):
    with pytest.raises(RegistrationRefused, match="features"):
        prove_sklearn(LogisticRegression(max_iter=10).fit(X, Y), tmp_path, X[:5, :10].tolist())


def test_a_table_needs_its_columns_in_the_sample(tmp_path):
    with pytest.raises(RegistrationRefused, match="amount, merchant"):
        prove_sklearn(mixed_pipeline(), tmp_path, [{"amount": 1}])


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.joblib"
    joblib.dump({"not": "a model"}, path)
    with pytest.raises(RegistrationRefused, match="neither predict"):
        prove(path, "sklearn", None, [], True, tmp_path / "y")
    path.write_bytes(b"junk")
    for framework in ("sklearn", "onnx", "torch"):
        with pytest.raises(RegistrationRefused):
            prove(path, framework, None, [], True, tmp_path / "y")


class Dies:
    """A model that takes its process with it."""

    def predict(self, rows):
        os._exit(9)


class Hangs:
    """A model that never answers."""

    def predict(self, rows):
        while True:
            pass


@pytest.mark.parametrize(("kind", "words", "timeout"), [(Dies, "died", 60), (Hangs, "within 3 s", 3)])
async def test_a_model_that_kills_or_hangs_its_process_is_refused_in_words(kind, words, timeout, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(kind()))
    with pytest.raises(RegistrationRefused, match=words):
        await prove_in_fresh_process(
            path, "sklearn", None, [[1.0]], True, tmp_path / "o", limits=LIMITS, timeout=timeout
        )


def test_frameworks_are_recognised_and_unknown_ones_refused():
    assert framework_of(LinearRegression()) == "sklearn"
    with pytest.raises(InvalidInput):
        framework_of(object())
    with pytest.raises(InvalidInput):
        adapter_for("tensorflow")


torch = pytest.importorskip("torch", reason="pip install 'modelmesh[torch]'")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10), torch.nn.Softmax(1))


def test_a_torch_module_is_exported_compiled_and_answers_as_itself(tmp_path):
    rows = load_digits().data[:16]
    model, path = network(), tmp_path / "model.pt2"
    adapter_for("torch").save(model, path, rows.tolist())
    proof = prove(path, "torch", None, rows.tolist(), True, tmp_path / "model.onnx")
    assert proof.served_as == "onnx"
    assert proof.signature.inputs[0].shape == (-1, 64)
    inputs, _ = read_inputs(rows.tolist(), proof.signature)
    expected = {"output": model(torch.tensor(rows).float()).detach().numpy()}
    for framework, file in (("onnx", tmp_path / "model.onnx"), ("torch", path)):
        answer = adapter_for(framework).load(file, proof.signature, [], 1).predict(inputs)
        assert compare(expected, answer).holds


def test_torchscript_is_served_as_it_is(tmp_path):
    path = tmp_path / "model.pt"
    adapter_for("torch").save(torch.jit.script(network()), path, None)
    proof = prove(path, "torch", None, load_digits().data[:4].tolist(), True, tmp_path / "o")
    assert proof.served_as == "torch"


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(RegistrationRefused, match="pickled module is not accepted"):
        prove(tmp_path / "model.pt", "torch", None, [[0.0] * 64], True, tmp_path / "o")
