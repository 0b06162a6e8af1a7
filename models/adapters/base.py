"""The interface of a framework. A new framework is one file that implements `Adapter`."""

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
        """Return the outputs, one row for each row of the inputs. Must be safe to call from several threads."""
        ...


class Adapter(Protocol):
    """One framework."""

    framework: Framework
    suffix: str
    # Whether a worker's own threads may run it: only where each of its formats is data (`formats.FORMATS`), and where predict()
    # runs outside of the GIL for most of its time. All else runs in a process of its own.
    runs_in_worker: bool
    # How far numbers of a compiled form may lie from the model's, relative above 1.
    tolerance: float

    def recognises(self, model: Any) -> bool:
        """Whether the object is a model of this framework; must not import the framework for that."""
        ...

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write the model to a file. Raises InvalidInput when it is not one that the format can hold."""
        ...

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Load from a file; without a signature, infer it from the model and the sample rows.

        Raises InvalidInput when the file is not what the format says or the signature cannot be inferred.
        """
        ...

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return ONNX forms of the model at `path` to try in this order; none where there is no such form.

        Raises NotCompiled where it can say why.
        """
        ...

    def libraries(self) -> list[str]:
        """The packages whose versions belong to a model's lineage."""
        ...


@runtime_checkable
class SavesSafely(Protocol):
    """An adapter that has, beside its usual form, one that is data."""

    def save_safely(self, model: Any, folder: Path, sample: Any | None) -> tuple[Path, Framework]:
        """Write the model to a file in the folder; return it and its framework, which may be another one.

        Raises InvalidInput when there is no such form that holds this model.
        """
        ...
