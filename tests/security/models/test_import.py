"""A folder that somebody hands over names files elsewhere: none of them leaves this machine."""

import pytest
import yaml
from modelmesh.cli.mlflow_folder import read_mlflow
from modelmesh.schemas.errors import InvalidInput

FLAVORS = {
    "sklearn": lambda name: {"sklearn": {"pickled_model": name}},
    "onnx": lambda name: {"onnx": {"data": name}},
    "pytorch": lambda name: {"pytorch": {"model_data": name}},
}


def folder_with(tmp_path, document):
    folder = tmp_path / "model"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("way", ["absolute", "dots", "link", "linked folder"])
def test_the_model_lies_in_its_folder(tmp_path, flavor, way):
    outside = tmp_path / "secrets"
    outside.mkdir()
    for name in ("id_rsa", "id_rsa.pt2"):
        (outside / name).write_text("secret")
    named = {
        "absolute": str(outside / "id_rsa"),
        "dots": "../secrets/id_rsa",
        "link": "link",
        "linked folder": "l/id_rsa",
    }[way]
    if flavor == "pytorch":
        named = {"absolute": str(outside), "dots": "../secrets", "link": "data", "linked folder": "l"}[way]
    folder = folder_with(tmp_path, {"flavors": FLAVORS[flavor](named)})
    (folder / "l").symlink_to(outside)
    (folder / "link").symlink_to(outside / "id_rsa")
    (folder / "data").mkdir()
    (folder / "data" / "model.pt2").symlink_to(outside / "id_rsa.pt2")
    with pytest.raises(InvalidInput, match="not in its folder"):
        read_mlflow(folder)


def test_the_example_lies_in_its_folder(tmp_path):
    (tmp_path / "secrets.json").write_text('[["secret"]]')
    example = {"artifact_path": "../secrets.json"}
    folder = folder_with(tmp_path, {"flavors": FLAVORS["sklearn"]("model.pkl"), "saved_input_example_info": example})
    (folder / "model.pkl").write_bytes(b"model")
    with pytest.raises(InvalidInput, match="not in its folder"):
        read_mlflow(folder)
    assert read_mlflow(folder_with_example(tmp_path))[2] == [[1.0]]


def folder_with_example(tmp_path):
    folder = folder_with(tmp_path / "another", {"flavors": FLAVORS["sklearn"]("model.pkl")})
    (folder / "model.pkl").write_bytes(b"model")
    (folder / "input_example.json").write_text("[[1.0]]")
    return folder
