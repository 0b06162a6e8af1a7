"""Load a registered version, in this process or in one of its own that has none of this one's secrets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..schemas.errors import ModelFailed
from ..schemas.own_environment import hide_from_others
from ..schemas.releases import VersionSpec
from .adapters.base import Predictor
from .adapters.registry import adapter_for
from .artifact_check import check_artifact
from .compiled.domain import OutsideDomain
from .infer_signature import make_rows
from .proof import Limits
from .sandbox.channel import BrokenMessage, read_tensors
from .sandbox.process import IsolatedProcess, ProcessDied, plan_for
from .tensors import Tensors, read_inputs


def load_checked(path: Path, spec: VersionSpec, threads: int, limits: Limits) -> Predictor:
    """Check the artifact, load it, and run it once for a row and once for the sample: the first run of each kind allocates.

    A version whose rows are too large to travel in its record is warmed up on one that is made up; a model that does not take
    that is not refused for it.
    """
    check_artifact(path, spec.served_as, allow_pickles=limits.allow_pickles, largest=limits.file_bytes)
    predictor = adapter_for(spec.served_as).load(path, spec.signature, spec.sample, threads)
    made_up = () if spec.sample else (Exception,)
    with contextlib.suppress(*made_up):
        inputs, _ = read_inputs(spec.sample or make_rows(spec.signature.inputs, 1), spec.signature)
        first = {name: array[:1] for name, array in inputs.items()}
        for rows in (first, inputs):
            with contextlib.suppress(OutsideDomain):
                predictor.predict(rows)
    return predictor


class ServingProcess:
    """A predictor whose model runs in a process of its own, as `load_checked` loads it there."""

    def __init__(self, path: Path, spec: VersionSpec, threads: int, limits: Limits) -> None:
        """Load it. Raises ModelFailed or what loading says: InvalidInput, PickleRefused, ValueError."""
        self.signature = spec.signature
        self._path = path
        self._question = ("load", spec, threads, limits)
        self._limits = limits
        self._closed = False
        self._lock = threading.Lock()
        hide_from_others()
        self._process = self._start()

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises; ModelFailed when its process died; then it is loaded again."""
        with self._lock:
            try:
                document, body = self._process.ask("predict", inputs)
            except ProcessDied as error:
                if not self._closed:
                    self._process = self._start()
                raise ModelFailed(f"the model's process died while it ran this batch ({error})") from None
        try:
            outputs = read_tensors(document.get("outputs"), body)
            inside = document.get("inside")
            if inside is None:
                return outputs
            raise OutsideDomain(np.array(inside, bool).reshape(len(next(iter(inputs.values())))), outputs)
        except (BrokenMessage, ValueError) as error:
            raise ModelFailed(f"the model's process answers what nobody can read: {error}") from None

    def close(self) -> None:
        """End the process and all that the model started."""
        self._closed = True
        self._process.close()

    def _start(self) -> IsolatedProcess:
        limits = self._limits
        plan = plan_for(self._path, limits.memory_bytes, limits.file_bytes)
        process = IsolatedProcess(plan, whole=limits.whole_sandbox)
        try:
            process.ask(*self._question)
        except BaseException as error:
            process.close()
            if isinstance(error, ProcessDied):
                raise ModelFailed(f"the model's process died while it was loaded ({error})") from None
            raise
        return process


def load_version(path: Path, spec: VersionSpec, limits: Limits) -> Predictor:
    """Load a version as a worker would: one that may be a pickle in a process of its own."""
    if adapter_for(spec.served_as).runs_in_worker:
        return load_checked(path, spec, 1, limits)
    return ServingProcess(path, spec, 1, limits)


class WithOriginal:
    """A compiled form, and behind it the model: batches of which the form is not sure in every row are the model's."""

    def __init__(self, compiled: Predictor, load_original: Callable[[], Predictor]) -> None:
        """`load_original` is called when the model is first needed."""
        self.signature = compiled.signature
        self._compiled = compiled
        self._load_original = load_original
        self._original: Predictor | None = None

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises."""
        try:
            return self._compiled.predict(inputs)
        except OutsideDomain:
            if self._original is None:
                self._original = self._load_original()
            return self._original.predict(inputs)
