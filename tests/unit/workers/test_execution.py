"""Whatever a model raises, its batch ends in an outcome that requests can be answered with."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from modelmesh.schemas.errors import InvalidInput, ModelFailed, ModelRefusedInput
from modelmesh.workers.execution import LoadedModel


class Predictor:
    def __init__(self, error):
        self._error = error

    def predict(self, inputs):
        raise self._error


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (InvalidInput("the graph does not take these inputs", field="inputs"), ModelRefusedInput),
        (ModelRefusedInput("no"), ModelRefusedInput),
        (ValueError("unknown category"), ModelRefusedInput),
        (ModelFailed("no"), ModelFailed),
        (ZeroDivisionError("no"), ModelFailed),
    ],
)
async def test_what_a_model_raises_is_a_refusal_or_a_failure(error, becomes):
    model = LoadedModel.__new__(LoadedModel)
    model._predictor, model.fault = Predictor(error), lambda: None
    with ThreadPoolExecutor(1) as model._executor, pytest.raises(becomes) as caught:
        await model.predict({})
    assert type(caught.value) is becomes
    assert str(error) in str(caught.value)
