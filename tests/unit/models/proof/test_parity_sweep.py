"""A sample of `make parity`: estimators and pipelines are served as they are themselves, in numbers, labels, types and errors."""

import random

import pytest

from benchmarks.parity.cases import all_cases
from benchmarks.parity.page import table
from benchmarks.parity.run_case import RAW, differs, run_case

# What has been wrong before, beside a draw that is always the same.
ALWAYS = (
    "LinearSVC on float64", "RidgeClassifier on float64", "KMeans on float64", "OneClassSVM on float64",
    "LocalOutlierFactor on float64", "several labels, tree on float64 (labels)", "RandomForestClassifier on missing",
    "KNeighborsClassifier on float64", "normalized logistic on float64 (three)", "upper case logistic on text (two)",
    "ordinal logistic on table (two)", "logistic on float64 (floats)", "DBSCAN on float64", "PCA on frame",
)  # fmt: skip
SLOW = ("Hist", "histogram", "search", "Gaussian", "RFECV", "Sequential")
CASES = {str(case): case for case in all_cases()}
DRAWN = random.Random(16).sample([name for name in CASES if not any(word in name for word in SLOW)], 14)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", dict.fromkeys([*ALWAYS, *DRAWN]))
def test_an_estimator_is_served_as_itself(name):
    result = run_case(CASES[name])
    assert result.outcome != "different", result.details
    assert result.outcome != "refused" or result.why
    if name in ALWAYS:
        assert result.outcome == ("refused" if name.startswith("DBSCAN") else "equal"), result.why


@pytest.mark.parametrize(
    ("want", "have"),
    [
        ({"label": [1]}, {"label": ["1"]}),
        ({"label": [1.0]}, {"label": [1]}),
        ({"label": [True]}, {"label": [1]}),
        ({"value": [1.0]}, {"value": [1.00001]}),
        ({"value": [None]}, {"value": [0.0]}),
        ({"value": [1.0]}, {"value": [1.0, 2.0]}),
        ({"label": [1], "probabilities": [[1.0]]}, {"label": [1]}),
    ],
)
def test_the_sweep_sees_a_difference(want, have):
    assert differs(want, have)
    assert not differs(want, want)


def test_the_sweep_knows_raw_words():
    assert RAW.search("zip() argument 2 is shorter than argument 1")
    assert not RAW.search("inputs: 5 features are expected, found 4")


def test_the_table_has_a_line_for_each_model():
    found = [
        {"name": "A", "inputs": "float64", "outcome": "equal", "served_as": "compiled", "why": ""},
        {
            "name": "A",
            "inputs": "frame",
            "outcome": "equal",
            "served_as": "as it is",
            "why": "X is not on the list of what is compiled",
        },
        {"name": "B", "inputs": "bool", "outcome": "refused", "served_as": "", "why": "no predict()"},
    ]
    assert table(found).splitlines()[2:] == [
        "| A | float64 | frame |  | not on the list |",
        "| B |  |  | bool | no predict() |",
    ]
