"""Read a model folder of MLflow without MLflow: the model's file, and its input example with the types of the signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..models.artifacts.onnx_files import names_other_files
from ..schemas.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

# pandas dtypes of MLflow's column types; columns of other types keep the dtype of the example.
_TYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "datetime": "datetime64[ns]",
}
_PYTORCH = (
    "MLflow's pytorch flavour is a pickled module, which is not accepted: load it with mlflow.pytorch.load_model(folder) and "
    "register the module: ModelMeshClient().register_model(name, module, sample=x)"
)


def read_mlflow(folder: Path) -> tuple[Path, str, Any | None, dict[str, Any]]:
    """Return the model's file (its folder, if an ONNX model has external data), framework, sample and metadata.

    The sample is a DataFrame with the signature's types, rows, or arrays by name; None without an example. Raises InvalidInput
    if it is not an MLflow folder, if it names files outside itself, and for an unsupported flavour.
    """
    try:
        document = yaml.safe_load((folder / "MLmodel").read_text())
        flavors = dict(document["flavors"])
    except OSError:
        raise InvalidInput(
            f"{folder} is not a model that MLflow saved: it has no file MLmodel",
            field="source",
        ) from None
    except (yaml.YAMLError, TypeError, KeyError, ValueError):
        raise InvalidInput(
            f"{folder / 'MLmodel'} is not a model that MLflow saved: it names no flavors", field="source"
        ) from None
    path, framework = _file(folder, {name: about or {} for name, about in flavors.items()})
    if not path.exists():
        raise InvalidInput(f"{path} is named by {folder / 'MLmodel'}, but is not there", field="source")
    known = {
        key: document[key] for key in ("run_id", "mlflow_version", "model_uuid", "utc_time_created") if key in document
    }
    columns = _columns(document.get("signature") or {})
    example = _example(folder, document.get("saved_input_example_info") or {})
    return path, framework, _sample(example, columns), {"mlflow": known}


def _inside(folder: Path, name: object) -> Path:
    """Return the path of a file that MLmodel names. Raises InvalidInput if it is outside the folder: it would be uploaded."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"{folder / 'MLmodel'} names {str(name)[:200]!r}, which is not in its folder: only files in the folder are sent",
            field="source",
        )
    return path


def _file(folder: Path, flavors: Mapping[str, Any]) -> tuple[Path, str]:
    if "sklearn" in flavors:
        return _inside(folder, flavors["sklearn"].get("pickled_model", "model.pkl")), "sklearn"
    if "onnx" in flavors:
        path = _inside(folder, flavors["onnx"].get("data", "model.onnx"))
        return (path.parent if path.is_file() and names_other_files(path) else path), "onnx"
    if "pytorch" in flavors:
        programs = sorted(_inside(folder, flavors["pytorch"].get("model_data", "data")).glob("*.pt2"))
        if len(programs) == 1:
            return _inside(folder, programs[0].relative_to(folder)), "torch"
        raise InvalidInput(_PYTORCH, field="source")
    others = ", ".join(name for name in flavors if name != "python_function") or "python_function"
    raise InvalidInput(
        f"MLflow's flavour {others} is not supported: sklearn and onnx are (convert the model to ONNX and save it with "
        "mlflow.onnx.save_model, or wrap it as a scikit-learn estimator)",
        field="source",
    )


def _columns(signature: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the signature's inputs, each with `type` and, where it has one, `name`."""
    inputs = signature.get("inputs")
    try:
        found = json.loads(inputs) if isinstance(inputs, str) else inputs
    except json.JSONDecodeError:
        raise InvalidInput("the signature's inputs in MLmodel are not JSON", field="source") from None
    return [column for column in found if isinstance(column, dict)] if isinstance(found, list) else []


def _example(folder: Path, described: Mapping[str, Any]) -> Any | None:
    path = _inside(folder, described.get("artifact_path", "input_example.json"))
    if not path.is_file() or path.suffix != ".json":
        return None
    try:
        example = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InvalidInput(
            f"{path} is not JSON: repair it, or remove it to import without an example", field="source"
        ) from None
    for wrapper in ("dataframe_split", "dataframe_records", "instances", "inputs"):
        if isinstance(example, dict) and len(example) == 1 and wrapper in example:
            return example[wrapper]
    return example


def _sample(example: Any, columns: list[dict[str, Any]]) -> Any | None:
    """Return the example as rows, or as a table with the signature's types if there is a signature."""
    names = [str(column["name"]) for column in columns if "name" in column]
    if not isinstance(example, list | dict) or not example:
        return None
    tensors = [column for column in columns if "tensor-spec" in column]
    if isinstance(example, dict) and isinstance(example.get("data"), list):
        rows = example["data"]
        labels = [str(name) for name in example.get("columns") or names]
        if not labels or any(not isinstance(row, list) or len(row) != len(labels) for row in rows):
            return rows
        records = [dict(zip(labels, row, strict=True)) for row in rows]
    elif isinstance(example, dict):
        if tensors:
            return {str(name): value for name, value in example.items()}
        records = _by_columns(example)
    elif isinstance(example[0], dict):
        records = example
    else:
        return _matrix(example, tensors)
    if names and not tensors:
        records = [{name: row.get(name) for name in names} for row in records]
    whole = [row for row in records if all(value is not None for value in row.values())]
    return _typed(whole or records, columns) if names and not tensors else whole or records


def _by_columns(example: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {column: values} as rows. Values may be by row number, as pandas writes them; single values are one row."""
    columns = {str(name): list(value.values()) if isinstance(value, dict) else value for name, value in example.items()}
    if not all(isinstance(value, list) for value in columns.values()):
        return [columns]
    if len({len(value) for value in columns.values()}) > 1:
        raise InvalidInput("the example's columns differ in length", field="source")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _matrix(rows: list[Any], tensors: list[dict[str, Any]]) -> Any:
    """Return rows without column names, as an array of the signature's dtype."""
    import numpy as np

    dtype = tensors[0].get("tensor-spec", {}).get("dtype") if len(tensors) == 1 else None
    if dtype is None or str(dtype) in ("object", "str", "string"):
        return rows
    try:
        return np.array(rows, dtype=dtype)
    except (TypeError, ValueError):
        raise InvalidInput(f"the example is not an array of {dtype}, as the signature says", field="source") from None


def _typed(records: list[dict[str, Any]], columns: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with the signature's types; integers with missing values become float64, as in pandas."""
    import pandas as pd

    table = pd.DataFrame(records)
    for column in columns:
        name, dtype = str(column.get("name")), _TYPES.get(str(column.get("type")))
        if name not in table or dtype is None:
            continue
        values: Any = table[name]
        has_missing = bool(values.isna().any())
        try:
            if dtype.startswith("datetime"):
                table[name] = pd.to_datetime(values).astype(dtype)
            elif dtype == "bool" and has_missing:
                table[name] = values.astype(object)
            else:
                table[name] = values.astype("float64" if has_missing and dtype.startswith("int") else dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"the example's column {name} is not {column['type']}: {error}", field=name) from None
    return table


def made_up_sample(folder: Path) -> Any | None:
    """Return one made-up row with the signature's types if a column is a datetime, a type that the model's file does not have."""
    document = yaml.safe_load((folder / "MLmodel").read_text())
    columns = [column for column in _columns(document.get("signature") or {}) if "name" in column]
    if not any(column.get("type") == "datetime" for column in columns):
        return None
    made = {"datetime": "2026-01-01T00:00:00", "string": "", "boolean": False}
    return _typed([{str(column["name"]): made.get(str(column.get("type")), 0) for column in columns}], columns)
