"""The interface between ModelMesh and a framework. A new framework is one file that implements `Adapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ...schemas.payloads.releases import Framework
from ...schemas.payloads.signatures import Signature
from ..values.tensors import Tensors


class Predictor(Protocol):
    """A loaded model."""

    signature: Signature

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs, one row for each row of the inputs. Must be thread-safe."""
        ...


class Adapter(Protocol):
    """One framework."""

    framework: Framework
    suffix: str
    # Whether models may run in the worker's process: only if every format is data (`formats.FORMATS`) and predict() releases
    # the GIL for most of its time. All others run in an isolated process.
    runs_in_worker: bool
    # Maximum difference between numbers of a compiled form and the model's, relative above 1.
    tolerance: float

    def recognises(self, model: Any) -> bool:
        """Whether the object is a model of this framework. Must not import the framework."""
        ...

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write the model to a file. Raises InvalidInput if the format cannot hold it."""
        ...

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Load a model from a file. Without a signature, infer it from the model and the sample rows.

        Raises InvalidInput if the file is invalid or the signature cannot be inferred.
        """
        ...

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return ONNX forms of the model at `path`, to be tried in this order; may be empty.

        Raises NotCompiled if the reason is known.
        """
        ...

    def libraries(self) -> list[str]:
        """Return the packages whose versions belong to a model's lineage."""
        ...


@runtime_checkable
class SavesSafely(Protocol):
    """An adapter that can also save models in a format that is data."""

    def save_safely(self, model: Any, folder: Path, sample: Any | None) -> tuple[Path, Framework]:
        """Write the model to a file in the folder. Return the file and its framework, which may differ.

        Raises InvalidInput if no such format can hold this model.
        """
        ...
