"""Get a model as a file: the given file, or one written from an object."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ..models.adapters.registry import adapter_for, framework_of, module_roots
from ..models.artifacts.onnx_check import check_beside
from ..models.artifacts.onnx_files import names_other_files
from ..schemas.errors import InvalidInput
from ..schemas.payloads.releases import Framework
from .rows import rows_of


def save_model(model: Any, framework: str | None, sample: Any | None, folder: Path) -> tuple[Path, str]:
    """Return the model's file and framework; a model object is written into the folder.

    Raises InvalidInput for anything else, and for a damaged file.
    """
    if isinstance(model, str | Path):
        path = Path(model)
        if path.is_dir():
            return _from_folder(path, folder), "onnx"
        if not path.is_file():
            raise InvalidInput(f"there is no file {path}", field="model_object")
        kind = framework or framework_of_file(path)
        return (_as_one_file(path, folder) if kind == "onnx" and names_other_files(path) else path), kind
    kind = framework or framework_of(model)
    adapter = adapter_for(kind)
    path = folder / f"model{adapter.suffix}"
    adapter.save(model, path, sample)
    return path, kind


def sample_rows(model: Any, sample: Any | None) -> list[Any] | None:
    """Return a sample as rows in the form of /predict.

    For a PyTorch module, a tuple of arrays is its inputs in order, and a dict its inputs by name. Of lists of different
    lengths only the longest are kept. Raises InvalidInput if the inputs differ in their number of rows.
    """
    if sample is None or "torch" not in module_roots(model):
        return None if sample is None else rows_of(sample)
    if isinstance(sample, dict) or (isinstance(sample, tuple) and sample and hasattr(sample[0], "shape")):
        columns = [rows_of(column) for column in (sample.values() if isinstance(sample, dict) else sample)]
        counts = sorted({len(column) for column in columns})
        if len(counts) > 1:
            raise InvalidInput(
                f"sample: all inputs must have the same number of rows, not {counts[0]} and {counts[-1]}",
                field="sample",
            )
        if isinstance(sample, tuple):
            return columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]
        return [dict(zip(sample, row, strict=True)) for row in zip(*columns, strict=True)]
    if hasattr(sample, "iloc") and not set(map(str, sample.columns)) <= input_names(model):
        return rows_of(sample.to_numpy())
    rows = rows_of(sample)
    if len({len(row) for row in rows if isinstance(row, list)}) > 1:
        longest = max(len(row) for row in rows)
        return [row for row in rows if len(row) == longest]
    return rows


def input_names(model: Any) -> set[str]:
    """Return the names of the parameters of a module's forward(); empty if they are unknown."""
    try:
        return set(inspect.signature(model.forward).parameters)
    except (AttributeError, TypeError, ValueError):
        return set()


def _from_folder(source: Path, folder: Path) -> Path:
    """Write the only ONNX model in a folder as one file."""
    found = sorted(source.glob("*.onnx"))
    if not found and (source / "MLmodel").is_file():
        raise InvalidInput(
            f"{source} is an MLflow model: register it by `modelmesh import mlflow:{source}`", field="model_object"
        )
    if len(found) != 1:
        raise InvalidInput(
            f"{source} is a folder with {len(found)} ONNX models: name the file, or a folder with one model and its data",
            field="model_object",
        )
    return _as_one_file(found[0], folder)


def _as_one_file(source: Path, folder: Path) -> Path:
    """Write an ONNX model as one file, including its external data."""
    import onnx

    try:
        structure = onnx.load(str(source), load_external_data=False)
    except Exception as error:  # protobuf's errors
        raise InvalidInput(f"{source} does not load: {error}"[:300], field="model_object") from None
    check_beside(structure, source.parent)
    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf's errors, missing files
        raise InvalidInput(f"{source} does not load: {error}"[:300], field="model_object") from None
    path = folder / "model.onnx"
    adapter_for("onnx").save(model, path, None)
    return path


def framework_of_file(path: Path) -> Framework:
    """Return the framework for a file's suffix. Raises InvalidInput for an unknown suffix."""
    kinds: dict[str, Framework] = {
        **dict.fromkeys((".joblib", ".pkl", ".pickle", ".skops"), "sklearn"),
        ".onnx": "onnx",
        **dict.fromkeys((".pt2", ".pt", ".pth", ".ts"), "torch"),
    }
    if path.suffix.lower() not in kinds:
        raise InvalidInput(
            f"{path.name} has no known suffix: name the framework, as in register_model(name, path, framework='sklearn'), or "
            f"use one of the suffixes {', '.join(kinds)}",
            field="framework",
        )
    return kinds[path.suffix.lower()]
