"""A model as a file: the one that was given, or one written from an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..models.adapters.registry import adapter_for, framework_of
from ..schemas.errors import InvalidInput
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
        return path, framework or framework_of_file(path)
    kind = framework or framework_of(model)
    adapter = adapter_for(kind)
    path = folder / f"model{adapter.suffix}"
    adapter.save(model, path, None if sample is None else rows_of(sample))
    return path, kind


def _from_folder(source: Path, folder: Path) -> Path:
    """Write the one ONNX model in a folder as one file, with the numbers that lie in files beside it."""
    import onnx

    if (source / "MLmodel").is_file():
        raise InvalidInput(
            f"{source} is a folder of MLflow's: modelmesh import mlflow:{source} takes it", field="model_object"
        )
    found = sorted(source.glob("*.onnx"))
    if len(found) != 1:
        raise InvalidInput(
            f"{source} is a folder with {len(found)} ONNX models: name the file, or a folder with one and its data",
            field="model_object",
        )
    try:
        model = onnx.load(str(found[0]))
    except Exception as error:  # protobuf's errors, files that are not there
        raise InvalidInput(f"{found[0]} does not load: {error}"[:300], field="model_object") from None
    path = folder / "model.onnx"
    adapter_for("onnx").save(model, path, None)
    return path


def framework_of_file(path: Path) -> str:
    """Return the framework that a file's name says. Raises InvalidInput where it says none."""
    kinds = {
        ".joblib": "sklearn",
        ".pkl": "sklearn",
        ".skops": "sklearn",
        ".onnx": "onnx",
        ".pt2": "torch",
        ".pt": "torch",
    }
    if path.suffix not in kinds:
        raise InvalidInput(f"{path.name} does not say what it is: name the framework", field="framework")
    return kinds[path.suffix]
