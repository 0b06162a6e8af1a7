"""A model gets the column types that it was trained on, through a registration and a request."""

import decimal

import numpy as np
import pandas as pd
import pytest
from modelmesh.models.values.bodies import parse_request
from modelmesh.schemas.errors import InvalidInput, ModelMeshError
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from ...registered import Registered

N = 200
g = np.random.default_rng(0)
CITY = g.choice(["Bern", "Lima", "Oslo", "Rome"], N)
AGE = g.integers(18, 80, N)
Y = ((CITY == "Oslo") | (AGE > 60)).astype(int)


def encoded(column: str):
    """Logistic regression on a table with one column of categories."""
    rest = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [column]), remainder="passthrough")
    return make_pipeline(rest, LogisticRegression(max_iter=900))


def histogram():
    return HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")


def with_gaps(values, every: int, gap=None):
    return [gap if place % every == 0 else value for place, value in enumerate(values)]


def imputed(missing):
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=missing), OneHotEncoder(handle_unknown="ignore")
    )
    return make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), ["age"]), ("c", text, ["city"])]), LogisticRegression()
    )


AS_TEXT = FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": str})
AS_WHOLE = FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": "int64"})
DAYS = pd.date_range("2025-01-01", periods=N, freq="D")

TABLES = {
    "category": (histogram(), pd.DataFrame({"city": pd.Categorical(CITY), "age": AGE})),
    "category with gaps": (histogram(), pd.DataFrame({"city": pd.Categorical(with_gaps(CITY, 7)), "age": AGE})),
    "category, encoded": (encoded("city"), pd.DataFrame({"city": pd.Categorical(CITY), "age": AGE})),
    "category of numbers": (histogram(), pd.DataFrame({"code": pd.Categorical(g.choice([10, 20], N)), "age": AGE})),
    "Int64": (LogisticRegression(max_iter=900), pd.DataFrame({"age": pd.array(AGE, dtype="Int64")})),
    "Int64 with NA": (histogram(), pd.DataFrame({"age": pd.array(with_gaps(AGE, 9), dtype="Int64")})),
    "boolean": (LogisticRegression(max_iter=900), pd.DataFrame({"old": pd.array(AGE > 50, dtype="boolean"), "a": AGE})),
    "boolean with NA": (
        histogram(),
        pd.DataFrame({"old": pd.array(with_gaps(AGE > 50, 9), dtype="boolean"), "a": AGE}),
    ),
    "string": (encoded("city"), pd.DataFrame({"city": pd.array(CITY, dtype="string"), "age": AGE})),
    "float32": (LogisticRegression(max_iter=900), pd.DataFrame({"age": AGE.astype(np.float32)})),
    "bool and int8": (encoded("flag"), pd.DataFrame({"flag": AGE > 40, "age": AGE.astype(np.int8)})),
    "decimal": (LogisticRegression(max_iter=900), pd.DataFrame({"age": [decimal.Decimal(int(a)) / 4 for a in AGE]})),
    "gaps": (histogram(), pd.DataFrame({"age": with_gaps(AGE.astype(float), 5, np.nan)})),
    "imputed": (imputed(np.nan), pd.DataFrame({"age": with_gaps(AGE * 1.0, 5, np.nan), "city": with_gaps(CITY, 7)})),
    "imputed None": (
        imputed(None),
        pd.DataFrame({"age": with_gaps(AGE * 1.0, 5, np.nan), "city": pd.Series(with_gaps(CITY, 7), dtype=object)}),
    ),
    "whole numbers as text": (
        make_pipeline(
            ColumnTransformer([("z", make_pipeline(AS_TEXT, OneHotEncoder()), ["zip"])], remainder="passthrough"),
            LogisticRegression(),
        ),
        pd.DataFrame({"zip": g.choice([8001, 8002], N), "n": g.integers(0, 5, N)}),
    ),
    "ids of 18 digits": (
        make_pipeline(ColumnTransformer([("i", OrdinalEncoder(), ["id"])]), RandomForestClassifier(5)),
        pd.DataFrame({"id": 10**17 + g.integers(0, 9, N)}),
    ),
    "dates": (
        make_pipeline(ColumnTransformer([("d", AS_WHOLE, ["when"])], remainder="passthrough"), LinearRegression()),
        pd.DataFrame({"when": DAYS, "n": np.arange(N) * 1.0}),
    ),
    "dates in a time zone": (
        make_pipeline(ColumnTransformer([("d", AS_WHOLE, ["when"])], remainder="passthrough"), LinearRegression()),
        pd.DataFrame({"when": DAYS.tz_localize("Europe/Oslo").as_unit("ns"), "n": np.arange(N) * 1.0}),
    ),
    "columns without names": (LogisticRegression(), pd.DataFrame(g.normal(size=(N, 4)))),
    "matrix": (LogisticRegression(), g.normal(size=(N, 4))),
    "matrix of true and false": (LogisticRegression(), g.normal(size=(N, 4)) > 0),
    "matrix of whole numbers": (LogisticRegression(max_iter=900), g.integers(0, 9, (N, 4))),
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_answers_are_those_of_the_model_on_the_callers_own_table(kind, tmp_path):
    model, table = TABLES[kind]
    model.fit(table, Y)
    expected = model.predict_proba(table) if hasattr(model, "predict_proba") else model.predict(table)
    registered = Registered(model, tmp_path, table[:20])
    found = registered.numbers(table)
    # A float32 answer is written as short as float32 allows.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if expected.dtype == np.float32 else 1e-12)


WITHOUT_SAMPLE = [
    "category",
    "category, encoded",
    "string",
    "gaps",
    "imputed",
    "imputed None",
    "category of numbers",
    "matrix",
]


@pytest.mark.parametrize("kind", WITHOUT_SAMPLE)
def test_without_a_sample_the_fitted_model_tells_what_its_columns_are(kind, tmp_path):
    model, table = TABLES[kind]
    model.fit(table, Y)
    np.testing.assert_allclose(Registered(model, tmp_path).numbers(table), model.predict_proba(table), atol=1e-12)


class Spy(RegressorMixin, BaseEstimator):
    """Takes anything and answers the number of the row."""

    def fit(self, rows, _=None):
        self.columns_ = list(rows.columns)
        self.feature_names_in_ = np.array(self.columns_, dtype=object)
        self.n_features_in_ = len(self.columns_)
        return self

    def predict(self, rows):
        return np.arange(len(rows), dtype=float)


EXTREMES = pd.DataFrame(
    {
        "i8": np.array([-128, 127, 0], np.int8),
        "u8": np.array([0, 255, 1], np.uint8),
        "i64": np.array([-(2**63), 2**63 - 1, 2**53 + 1]),
        "u64": np.array([0, 2**64 - 1, 2**63], np.uint64),
        "f32": np.array([0.1, 3.4e38, -1e-45], np.float32),
        "f64": [5e-324, 1.7976931348623157e308, -0.0],
        "gaps": [np.nan, 1.5, 2],
        "yes": [True, False, True],
        "text": ["a\0", "", "İ\u200b😀"],
        "some": ["x", None, "null"],
        "Int64": pd.array([2**62 + 1, None, -1], dtype="Int64"),
        "UInt8": pd.array([255, None, 0], dtype="UInt8"),
        "Float64": pd.array([0.1, None, 1e300], dtype="Float64"),
        "boolean": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["a", None, "NA"], dtype="string"),
        "category": pd.Categorical(["b", None, "a"], categories=["c", "b", "a"], ordered=True),
        "day": pd.to_datetime(["9999-12-31", "0001-01-01", None]).as_unit("us"),
        "nano": pd.to_datetime(["2026-01-01T00:00:00.123456789", None, "1700-01-01"], format="ISO8601").as_unit("ns"),
        "zoned": pd.to_datetime(["2026-07-01T12:00", None, "2026-01-01T00:00"]).tz_localize("Europe/Oslo"),
        "mixed": pd.Series([1, "1", True], dtype=object),
        "objects": pd.Series([2**60 + 1, 2, 3], dtype=object),
        "flags": pd.Series([True, None, False], dtype=object),
    }
)


def test_a_model_that_looks_sees_the_callers_own_table(tmp_path):
    registered = Registered(Spy().fit(EXTREMES), tmp_path, EXTREMES)
    pd.testing.assert_frame_equal(registered.features(EXTREMES), EXTREMES, check_exact=True)
    # One row at a time, the columns keep their types.
    for place in range(len(EXTREMES)):
        row = EXTREMES[place : place + 1]
        found = registered.features(row)
        pd.testing.assert_frame_equal(found, row.reset_index(drop=True), check_exact=True)


def test_whole_numbers_stay_whole_where_that_could_matter_and_only_there(tmp_path):
    table = pd.DataFrame({"amount": [100, 200, 300]})
    plain = Registered(make_pipeline(StandardScaler(), LinearRegression()).fit(table, [1, 2, 3]), tmp_path, table)
    assert plain.numbers({"amount": 250.5}) == pytest.approx([2.505])
    spy = Registered(Spy().fit(table), tmp_path, table)
    assert spy.features({"amount": 200.0}).amount.dtype == np.int64
    with pytest.raises(InvalidInput, match=r"row 1: amount: a whole number is expected, found 200\.5"):
        spy.predict([{"amount": 200}, {"amount": 200.5}])


def test_a_category_that_training_did_not_have_reaches_the_model(tmp_path):
    table = pd.DataFrame({"city": pd.Categorical(["a", "b", "a"])})
    registered = Registered(Spy().fit(table), tmp_path, table)
    found = registered.features([{"city": "Paris"}, {"city": "b"}, {"city": None}])
    assert found.city.cat.categories.tolist() == ["a", "b", "Paris"]
    assert found.city.tolist()[:2] == ["Paris", "b"]
    assert found.city.isna().tolist() == [False, False, True]


def test_a_missing_value_is_refused_where_the_model_takes_none(tmp_path):
    table = pd.DataFrame({"amount": [1.0, 2.0, 3.0], "n": [1, 2, 3]})
    registered = Registered(LinearRegression().fit(table, [1, 2, 3]), tmp_path, table)
    with pytest.raises(
        InvalidInput, match="row 1: amount: a number is expected, the model takes no missing value, found null"
    ):
        registered.predict([{"amount": 1, "n": 1}, {"amount": None, "n": 2}])
    with pytest.raises(ModelMeshError, match="the model fails on the sample rows: Input X contains NaN"):
        Registered(LinearRegression().fit(table, [1, 2, 3]), tmp_path, [{"amount": None, "n": 1}])


@pytest.mark.parametrize(
    ("when", "says"),
    [
        (20260101, "a timestamp in ISO 8601 is expected, found 20260101"),
        ("yesterday", '"yesterday" is not a timestamp'),
        ("2026-02-30", "not a valid date or time"),
        ("2026-01-01T00:00:00Z", "has an offset from UTC"),
        ("2026-01-01T00:00:00.1234567", "finer than"),
    ],
)
def test_an_invalid_timestamp_is_refused(when, says, tmp_path):
    table = pd.DataFrame({"when": pd.to_datetime(["2026-01-01", "2026-01-02"])})
    registered = Registered(Spy().fit(table), tmp_path, table)
    with pytest.raises(InvalidInput, match=says) as caught:
        registered.predict([{"when": "2026-01-01"}, {"when": when}])
    assert caught.value.field == "when"
    assert "row 1: when" in caught.value.detail


def test_texts_may_end_with_nul(tmp_path):
    model = make_pipeline(CountVectorizer(analyzer=list), LogisticRegression()).fit(
        ["a\0\0", "a", "\0", "b"], [1, 0, 1, 0]
    )
    registered = Registered(model, tmp_path, ["a", "b"])
    assert registered.features(["a\0", "b"]).tolist() == ["a\0", "b"]


def test_a_matrix_of_numbers_and_texts_is_one(tmp_path):
    table = np.array([[1.5, "a"], [2.5, "b"], [0.5, "a"], [3.5, "b"]], dtype=object)
    columns = ColumnTransformer([("n", StandardScaler(), [0]), ("t", OneHotEncoder(), [1])])
    model = make_pipeline(columns, LogisticRegression()).fit(table, [0, 1, 0, 1])
    for sample in (table, table.tolist()):
        registered = Registered(model, tmp_path, sample)
        np.testing.assert_array_equal(registered.numbers(table), model.predict_proba(table))
    np.testing.assert_array_equal(Registered(model, tmp_path).numbers(table), model.predict_proba(table))


def test_a_whole_number_written_in_floating_point_is_one_only_where_that_is_exact(tmp_path):
    table = pd.DataFrame({"id": [10**17, 10**17 + 1]})
    registered = Registered(Spy().fit(table), tmp_path, table)
    question = b'{"inputs": [{"id": 9007199254740993}, {"id": 9007199254740992.0}]}'
    tensors = parse_request(question, "application/json", registered.signature).tensors
    assert tensors["id"].tolist() == [2**53 + 1, 2**53]
    for written in (b"9007199254740995.0", b"1e17", b"36893488147419103232"):
        with pytest.raises(InvalidInput, match="row 0: id: a whole number is expected"):
            parse_request(b'{"inputs": [{"id": %s}]}' % written, "application/json", registered.signature)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 123456789012345678901, 10**30])
def test_a_whole_number_beyond_64_bits_in_a_column_of_any_values_is_refused(number):
    spec = TensorSpec(name="id", dtype="object")
    body = b'{"inputs": [{"id": %d}]}' % number
    with pytest.raises(InvalidInput, match=r"row 0: id: .*64 bits"):
        parse_request(body, "application/json", Signature(inputs=(spec,)))
    kept = parse_request(
        b'{"inputs": [{"id": 18446744073709551615}, {"id": 1.5}]}', "application/json", Signature(inputs=(spec,))
    )
    assert kept.tensors["id"].tolist() == [2**64 - 1, 1.5]
