"""`modelmesh import mlflow:/folder`: register a model that MLflow saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..schemas.errors import InvalidInput
from ..sdk import ModelMeshClient
from .options import DEFAULT_URL, JsonOption, UrlOption, say


def import_model(
    source: Annotated[str, typer.Argument(help="mlflow:/path/of/the/model's/folder, the one with the file MLmodel.")],
    name: Annotated[str, typer.Option(help="The model's name here.")],
    version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH; else the major is raised.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Register a model that MLflow saved; its input example is the sample, its run is in the lineage."""
    folder = Path(source.removeprefix("mlflow:"))
    path, framework, sample, metadata = read_mlflow(folder)
    with ModelMeshClient(url, timeout=600) as client:
        made = client.register_model(name, path, framework, metadata, version=version, sample=sample)["version"]
    say(f"{name} {made['version']} is registered (served as {made['served_as']})", made, as_json=as_json)


def read_mlflow(folder: Path) -> tuple[Path, str, list[Any] | None, dict[str, Any]]:
    """Return the model's file, framework, sample rows and what is known of it.

    Raises InvalidInput for a folder that is none of MLflow's, and for a flavour that is not served here.
    """
    try:
        document = yaml.safe_load((folder / "MLmodel").read_text())
        flavors = document["flavors"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise InvalidInput(f"{folder} is no model that MLflow saved: {error}", field="source") from None
    if "sklearn" in flavors:
        path, framework = folder / flavors["sklearn"].get("pickled_model", "model.pkl"), "sklearn"
    elif "onnx" in flavors:
        path, framework = folder / flavors["onnx"].get("data", "model.onnx"), "onnx"
    else:
        others = ", ".join(name for name in flavors if name != "python_function") or "python_function"
        raise InvalidInput(
            f"MLflow's flavour {others} is not served here: save the model as sklearn or onnx (for PyTorch, torch.export and "
            "`modelmesh register` take it)",
            field="source",
        )
    if not path.is_file():
        raise InvalidInput(f"{path} is named by {folder / 'MLmodel'}, and is not there", field="source")
    known = {
        key: document[key] for key in ("run_id", "mlflow_version", "model_uuid", "utc_time_created") if key in document
    }
    return path, framework, _sample(folder, document.get("saved_input_example_info") or {}), {"mlflow": known}


def _sample(folder: Path, described: dict[str, Any]) -> list[Any] | None:
    path = folder / described.get("artifact_path", "input_example.json")
    if not path.is_file():
        return None
    try:
        example = json.loads(path.read_text())
    except json.JSONDecodeError:
        return None
    if isinstance(example, dict) and "columns" in example and "data" in example:
        return [dict(zip(example["columns"], row, strict=True)) for row in example["data"]]
    if isinstance(example, dict) and "inputs" in example:
        example = example["inputs"]
    return example if isinstance(example, list) else None


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("import")(import_model)
