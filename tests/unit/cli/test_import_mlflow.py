"""A folder as MLflow writes it, read without MLflow."""

import json

import pytest
import yaml
from modelmesh.cli.import_command import read_mlflow
from modelmesh.schemas.errors import InvalidInput


def folder_of(tmp_path, flavors, files=(), example=None):
    document = {"flavors": flavors, "run_id": "abc", "mlflow_version": "2.9.0"}
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
