"""Load a registered version, in this process or in one of its own that has none of this one's secrets."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ..schemas.errors import ModelFailed, ModelMeshError
from ..schemas.own_environment import hide_from_others
from ..schemas.releases import VersionSpec
from .adapters.base import Predictor
from .adapters.registry import adapter_for
from .artifact_check import check_artifact
from .compiled.domain import OutsideDomain
from .infer_signature import make_rows
from .isolation import isolate, start_forkserver
from .proof import Limits
from .tensors import Tensors, read_inputs

_in_process: Predictor | None = None  # the model of a serving process, which has exactly one


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


def load_in_process(path: Path, spec: VersionSpec, threads: int, limits: Limits) -> None:
    """Load the one model of this process, under limits."""
    global _in_process
    isolate(limits.memory_bytes, limits.file_bytes)
    _in_process = load_checked(path, spec, threads, limits)


def predict_in_process(inputs: Tensors) -> Tensors:
    """Ask this process's model."""
    assert _in_process is not None
    try:
        return _in_process.predict(inputs)
    except (ModelMeshError, OutsideDomain):
        raise
    except BaseException as error:  # the model is somebody's code: exit() must not end who asked
        # What it raised may be of a class that cannot be made there: its words can.
        raised = ValueError(_words(error)) if isinstance(error, ValueError) else None
        raise raised or ModelFailed(f"{type(error).__name__}: {_words(error)}") from None


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "it has no words"


class ServingProcess:
    """A predictor whose model runs in a process of its own."""

    def __init__(self, path: Path, spec: VersionSpec, limits: Limits) -> None:
        """Load it. Raises what loading it raises."""
        self.signature = spec.signature
        hide_from_others()
        start_forkserver()
        self._executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"))
        self._executor.submit(load_in_process, path, spec, 1, limits).result()

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises, ModelFailed once its process has died."""
        try:
            return self._executor.submit(predict_in_process, inputs).result()
        except BrokenProcessPool:
            raise ModelFailed("the model's process has died") from None


def load_version(path: Path, spec: VersionSpec, limits: Limits) -> Predictor:
    """Load a version as a worker would: one that may be a pickle in a process of its own."""
    if adapter_for(spec.served_as).runs_in_worker:
        return load_checked(path, spec, 1, limits)
    return ServingProcess(path, spec, limits)


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
