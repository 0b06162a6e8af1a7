"""A model as a file: the one that was given, or one written from an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..models.adapters.registry import adapter_for, framework_of
from ..schemas.errors import InvalidInput
from .rows import rows_of


def save_model(model: Any, framework: str | None, sample: Any | None, folder: Path) -> tuple[Path, str]:
    """Return the model's file and framework; an object is written into the folder."""
    if isinstance(model, str | Path):
        path = Path(model)
        if not path.is_file():
            raise InvalidInput(f"there is no file {path}", field="model_object")
        return path, framework or framework_of_file(path)
    kind = framework or framework_of(model)
    adapter = adapter_for(kind)
    path = folder / f"model{adapter.suffix}"
    adapter.save(model, path, None if sample is None else rows_of(sample))
    return path, kind


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
