"""MLflow model folders are read without MLflow."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from modelmesh.cli.mlflow_folder import made_up_sample, read_mlflow
from modelmesh.models.artifacts.onnx_files import names_other_files
from modelmesh.schemas.errors import InvalidInput
from modelmesh.sdk.model_file import save_model
from onnx import TensorProto, helper, numpy_helper

SKLEARN = {"sklearn": {"pickled_model": "model.pkl"}, "python_function": {}}


def folder_of(tmp_path, flavors, files=(), example=None, signature=None):
    document = {"flavors": flavors, "run_id": "abc", "mlflow_version": "2.9.0"}
    if signature is not None:
        document["signature"] = {"inputs": json.dumps(signature)}
    if example is not None:
        document["saved_input_example_info"] = {"artifact_path": "input_example.json", "type": "dataframe"}
        (tmp_path / "input_example.json").write_text(json.dumps(example))
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(document))
    for name in files:
        (tmp_path / name).write_bytes(b"model")
    return tmp_path


def test_a_sklearn_model_with_a_table_as_example(tmp_path):
    flavors = {"sklearn": {"pickled_model": "model.pkl"}, "python_function": {}}
    folder = folder_of(tmp_path, flavors, ["model.pkl"], {"columns": ["a", "b"], "data": [[1, "x"]]})
    path, framework, sample, metadata = read_mlflow(folder)
    assert (path.name, framework, sample) == ("model.pkl", "sklearn", [{"a": 1, "b": "x"}])
    assert metadata["mlflow"]["run_id"] == "abc"


def test_an_onnx_model_with_an_array_as_example(tmp_path):
    folder = folder_of(tmp_path, {"onnx": {"data": "m.onnx"}}, ["m.onnx"], {"inputs": [[1.0, 2.0]]})
    assert read_mlflow(folder)[:3] == (tmp_path / "m.onnx", "onnx", [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("flavors", "says"),
    [
        ({"pytorch": {}, "python_function": {}}, "pytorch"),
        ({"python_function": {}}, "python_function"),
        ({"onnx": {}}, "not there"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path, flavors, says):
    with pytest.raises(InvalidInput, match=says):
        read_mlflow(folder_of(tmp_path, flavors))


def test_a_folder_of_something_else_is_said_to_be_one(tmp_path):
    with pytest.raises(InvalidInput, match="MLflow"):
        read_mlflow(tmp_path)


def columns(**types):
    return [{"name": name, "type": kind, "required": not optional} for name, (kind, optional) in types.items()]


TABLE = columns(a=("double", False), b=("string", False))


@pytest.mark.parametrize(
    "example",
    [
        {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]},
        {"index": [0, 1], "columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]},
        {"data": [[1, "x"], [2, "y"]]},
        {"dataframe_split": {"columns": ["b", "a"], "data": [["x", 1], ["y", 2]]}},
        [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
        {"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
        {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}},
        {"columns": ["a", "b"], "data": [[1, "x"], [None, "z"], [2, "y"]]},
    ],
)
def test_an_example_in_each_of_mlflows_forms_is_the_same_table(example, tmp_path):
    sample = read_mlflow(folder_of(tmp_path, SKLEARN, ["model.pkl"], example, TABLE))[2]
    assert list(sample.columns) == ["a", "b"]
    assert sample["a"].dtype == np.float64
    assert sample.to_dict("records") == [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}]


def test_columns_have_the_signatures_types_and_optional_ones_may_be_missing(tmp_path):
    signature = columns(
        when=("datetime", False), n=("integer", False), k=("long", True), yes=("boolean", False), gone=("double", True)
    )
    example = [{"when": "2026-01-31T12:00:00", "n": 1, "k": None, "yes": True}]
    sample = read_mlflow(folder_of(tmp_path, SKLEARN, ["model.pkl"], example, signature))[2]
    assert [str(dtype) for dtype in sample.dtypes] == ["datetime64[ns]", "int32", "float64", "bool", "float64"]
    assert sample["when"][0] == pd.Timestamp("2026-01-31 12:00")
    assert sample[["k", "gone"]].isna().all(axis=None)


def test_moments_without_an_example_are_made_up_and_other_columns_are_the_models_own(tmp_path):
    folder = folder_of(tmp_path, SKLEARN, ["model.pkl"], signature=columns(d=("datetime", False), x=("long", False)))
    assert read_mlflow(folder)[2] is None
    assert [str(dtype) for dtype in made_up_sample(folder).dtypes] == ["datetime64[ns]", "int64"]
    assert made_up_sample(folder_of(tmp_path, SKLEARN, signature=TABLE)) is None


def test_a_tensor_has_the_signatures_type(tmp_path):
    signature = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]
    sample = read_mlflow(folder_of(tmp_path, SKLEARN, ["model.pkl"], {"inputs": [[1, 2]]}, signature))[2]
    assert (sample.dtype, sample.tolist()) == (np.float32, [[1.0, 2.0]])


def test_an_exported_program_of_pytorch_is_taken_and_onnx_with_data_beside_it_by_its_folder(tmp_path):
    (tmp_path / "data").mkdir()
    folder = folder_of(tmp_path, {"pytorch": {"model_data": "data"}}, ["data/model.pt2"])
    assert read_mlflow(folder)[:2] == (tmp_path / "data" / "model.pt2", "torch")
    weights = numpy_helper.from_array(np.ones(400, np.float32), "w")
    end = helper.make_tensor_value_info("w", TensorProto.FLOAT, [400])
    model = helper.make_model(helper.make_graph([], "g", [], [end], [weights]))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    folder = folder_of(tmp_path, {"onnx": {"data": "m.onnx"}})
    assert read_mlflow(folder)[:2] == (tmp_path, "onnx")
    (tmp_path / "one").mkdir()
    path, _ = save_model(folder, "onnx", None, tmp_path / "one")
    assert not names_other_files(path)


@pytest.mark.parametrize(
    ("mlmodel", "example", "says"),
    [
        ("flavors: [", None, "names no flavors"),
        ("a: 1", None, "names no flavors"),
        ("- 1", None, "names no flavors"),
        ("flavors: {sklearn: {pickled_model: m}, x: }", "{", "is not JSON"),
        ("flavors: {sklearn: {pickled_model: m}}\nsignature: {inputs: '['}", None, "not JSON"),
        ("flavors: {sklearn: {pickled_model: m}}", '{"a": [1], "b": [1, 2]}', "differ in length"),
        ("flavors: {keras: {}}", None, "ONNX"),
        ("flavors: {pytorch: {}}", None, "load_model"),
    ],
)
def test_a_broken_folder_is_said_to_be_broken(mlmodel, example, says, tmp_path):
    (tmp_path / "MLmodel").write_text(mlmodel)
    (tmp_path / "m").write_bytes(b"model")
    if example:
        (tmp_path / "input_example.json").write_text(example)
    with pytest.raises(InvalidInput, match=says):
        read_mlflow(tmp_path)
