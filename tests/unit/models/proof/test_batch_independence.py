"""A model whose answer to a row depends on the other rows of the batch is detected at registration."""

import numpy as np
import pytest
from modelmesh.models.proof.batch_independence import batch_dependence
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor

ROWS = np.random.default_rng(0).normal(size=(20, 4))


class Function:
    """A predictor that applies a function to the matrix."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, inputs):
        return {"value": np.asarray(self.answer(inputs["x"]))}


CASES = {
    "standardises within the call": lambda x: ((x - x.mean(0)) / (x.std(0) + 1e-9)).sum(1),
    "ranks": lambda x: x[:, 0].argsort().argsort(),
    "counts the rows": lambda x: np.full(len(x), len(x)),
    "the number of the row": lambda x: np.arange(len(x)),
    "drops duplicates": lambda x: np.unique(x, axis=0).sum(1),
    "drops far rows": lambda x: x[np.abs(x).max(1) < 100].sum(1),
    "clips by the largest of the call": lambda x: x[:, 0] / max(100.0, np.abs(x).max()),
    "one answer for all": lambda x: x.sum(keepdims=True),
}


@pytest.mark.parametrize("name", CASES)
def test_dependence_on_other_rows_is_found(name):
    assert batch_dependence(Function(CASES[name]), {"x": ROWS})


MODELS = [RandomForestClassifier(5), LogisticRegression(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=50)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_rounding_is_not_dependence(model):
    model.fit(ROWS, (ROWS[:, 0] > 0).astype(int))
    assert not batch_dependence(Function(model.predict), {"x": ROWS})
    assert not batch_dependence(Function(lambda x: x.astype(np.float32) @ np.ones((4, 3), np.float32)), {"x": ROWS})


def test_texts_and_a_single_row():
    texts = np.array(["a", "bb"], object)
    assert not batch_dependence(Function(lambda x: np.array([len(text) for text in x])), {"x": texts})
    assert batch_dependence(Function(lambda x: np.array([len(text) - len(x) for text in x])), {"x": texts[:1]})


def test_a_random_model_is_not_judged():
    generator = np.random.default_rng(0)
    assert not batch_dependence(Function(lambda x: generator.normal(size=len(x))), {"x": ROWS})
