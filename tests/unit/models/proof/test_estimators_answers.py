"""Estimators' answers keep the value and type of each row, alone and in a batch, or are refused with a reason."""

import decimal

import numpy as np
import pandas as pd
import pytest
from modelmesh.schemas.errors import ModelFailed, RegistrationRefused
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import Binarizer, FunctionTransformer, StandardScaler

from ....registered import Registered

ROWS = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0], [-4.0, 1.0]])


class Answering:
    """A model that answers a list with one value where a row's first number is positive, and another elsewhere."""

    def __init__(self, positive, negative, form=list):
        self.positive, self.negative, self.form = positive, negative, form

    def predict(self, rows):
        return self.form([self.positive if row[0] > 0 else self.negative for row in rows])


def booleans(values):
    return pd.array(values, dtype="boolean")


def strings(values):
    return pd.array(values, dtype="string")


def whole(values):
    filled = np.array([value or 0 for value in values])
    return pd.arrays.IntegerArray(filled, np.array([value is None for value in values]))


def masked(values):
    return np.ma.array([value or 7 for value in values], mask=[value is None for value in values])


def objects(values):
    return np.array(values, object)


def typed(values):
    return [(type(value), value) for value in values]


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        (1, "one"),
        (True, 0),
        (2**53 + 1, 0.5),
        ("a\0", "a"),
        (None, 1.5),
        (None, "x"),
        (True, None),
        ([0.5, "b"], [1, "c"]),
        (np.int64(3), np.str_("3")),
    ],
)
@pytest.mark.parametrize("form", [list, tuple])
def test_each_value_of_a_list_stays_what_it_is(tmp_path, positive, negative, form):
    served = Registered(Answering(positive, negative, form), tmp_path, ROWS)
    together = served.predict(ROWS)["value"]
    alone = [served.predict(ROWS[number : number + 1])["value"][0] for number in range(4)]
    plain = [value.item() if isinstance(value, np.generic) else value for value in (positive, negative)]
    want = [plain[0], plain[1], plain[0], plain[1]]
    assert typed(together) == typed(alone) == typed(want)
    if isinstance(positive, list):
        assert [typed(row) for row in together] == [typed(row) for row in want]


@pytest.mark.parametrize(
    ("positive", "negative", "form"),
    [
        (None, True, booleans),
        (None, "x", strings),
        (None, 2**53 + 1, whole),
        (None, 2**53 + 1, masked),
        (None, 0.5, masked),
    ],
)
def test_an_answer_that_is_missing_is_null(tmp_path, positive, negative, form):
    served = Registered(Answering(positive, negative, form), tmp_path, ROWS)
    assert typed(served.predict(ROWS)["value"]) == typed([None, negative, None, negative])


@pytest.mark.parametrize("form", [np.array, objects, list])
def test_bytes_become_text_and_others_than_utf8_are_refused(tmp_path, form):
    assert Registered(Answering(b"yes", b"no", form), tmp_path, ROWS).predict(ROWS)["value"] == ["yes", "no"] * 2
    with pytest.raises(RegistrationRefused, match="UTF-8"):
        Registered(Answering(b"\xff", b"no", form), tmp_path, ROWS)
    served = Registered(Answering(b"\xff", b"no", form), tmp_path, ROWS[1::2])
    with pytest.raises(ModelFailed, match="UTF-8"):
        served.predict(ROWS[:1])


TRANSFORMERS = {
    "variance": VarianceThreshold(),
    "best": SelectKBest(k=1),
    "imputer": SimpleImputer(strategy="most_frequent"),
    "identity": FunctionTransformer(),
    "binarizer": Binarizer(),
    "passthrough": ColumnTransformer([("p", "passthrough", [0, 1])]),
    "table": ColumnTransformer([("p", "passthrough", [0, 1])]).set_output(transform="pandas"),
    "union": FeatureUnion([("v", VarianceThreshold())]),
}
WHOLE = np.array([[2**53 + number, number % 3] for number in range(8)])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_whole_numbers_that_a_transformer_hands_on_are_handed_on_to_the_last_digit(tmp_path, name, named):
    table = pd.DataFrame(WHOLE, columns=["id", "k"])
    rows = table if named else WHOLE
    model = TRANSFORMERS[name].fit(rows, WHOLE[:, 1] > 0)
    small = rows - 2**53 + 2 if not named else rows.assign(id=rows["id"] - 2**53)
    served = Registered(model, tmp_path, small)
    want = np.asarray(model.transform(rows)).tolist()
    assert [typed(row) for row in served.predict(rows)["value"]] == [typed(row) for row in want]


def test_a_scaler_takes_fractions_though_its_sample_is_whole(tmp_path):
    rows = np.array([[1, 2], [3, 5], [4, 4]])
    model = StandardScaler().fit(rows)
    served = Registered(model, tmp_path, rows)
    assert np.allclose(served.predict([[1.5, 2.5]])["value"], model.transform([[1.5, 2.5]]))


def test_decimals_in_a_list_are_numbers(tmp_path):
    served = Registered(Answering(decimal.Decimal("1.1"), 2.5), tmp_path, ROWS)
    assert served.predict(ROWS)["value"] == [1.1, 2.5] * 2
