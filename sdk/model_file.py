"""A model as a file: the one that was given, or one written from an object."""

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
    """Return the model's file and framework; an object is written into the folder.

    Raises InvalidInput for what is no model, and for a file that is not whole.
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
    """Return a sample as rows, as /predict takes them.

    For a PyTorch module a tuple of arrays is its inputs in order, a dict its inputs by name, and of lists that differ in length
    those as long as the longest stand for all. Raises InvalidInput where the inputs differ in their number of rows.
    """
    if sample is None or "torch" not in module_roots(model):
        return None if sample is None else rows_of(sample)
    if isinstance(sample, dict) or (isinstance(sample, tuple) and sample and hasattr(sample[0], "shape")):
        columns = [rows_of(column) for column in (sample.values() if isinstance(sample, dict) else sample)]
        counts = sorted({len(column) for column in columns})
        if len(counts) > 1:
            raise InvalidInput(
                f"sample: the inputs have {counts[0]} and {counts[-1]} rows, one number is wanted", field="sample"
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
    """Return the names of the parameters of a module's forward(); none where they are not known."""
    try:
        return set(inspect.signature(model.forward).parameters)
    except (AttributeError, TypeError, ValueError):
        return set()


def _from_folder(source: Path, folder: Path) -> Path:
    """Write the one ONNX model in a folder as one file."""
    found = sorted(source.glob("*.onnx"))
    if not found and (source / "MLmodel").is_file():
        raise InvalidInput(
            f"{source} is a folder of MLflow's: modelmesh import mlflow:{source} takes it", field="model_object"
        )
    if len(found) != 1:
        raise InvalidInput(
            f"{source} is a folder with {len(found)} ONNX models: name the file, or a folder with one and its data",
            field="model_object",
        )
    return _as_one_file(found[0], folder)


def _as_one_file(source: Path, folder: Path) -> Path:
    """Write an ONNX model as one file, with the numbers that lie in files beside it."""
    import onnx

    try:
        named = onnx.load(str(source), load_external_data=False)
    except Exception as error:  # protobuf's errors
        raise InvalidInput(f"{source} does not load: {error}"[:300], field="model_object") from None
    check_beside(named, source.parent)
    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf's errors, files that are not there
        raise InvalidInput(f"{source} does not load: {error}"[:300], field="model_object") from None
    path = folder / "model.onnx"
    adapter_for("onnx").save(model, path, None)
    return path


def framework_of_file(path: Path) -> Framework:
    """Return the framework that a file's name says. Raises InvalidInput where it says none."""
    kinds: dict[str, Framework] = {
        **dict.fromkeys((".joblib", ".pkl", ".pickle", ".skops"), "sklearn"),
        ".onnx": "onnx",
        **dict.fromkeys((".pt2", ".pt", ".pth", ".ts"), "torch"),
    }
    if path.suffix.lower() not in kinds:
        raise InvalidInput(
            f"{path.name} does not say what it is: name the framework, as register_model(name, path, framework='sklearn'), or "
            f"give the file one of the endings {', '.join(kinds)}",
            field="framework",
        )
    return kinds[path.suffix.lower()]
