"""Load a registered version, in this process or in an isolated one without access to this one's secrets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from ..schemas.errors import ModelFailed
from ..schemas.own_environment import hide_from_others
from ..schemas.payloads.releases import VersionSpec
from .adapters.base import Predictor
from .adapters.registry import adapter_for
from .artifacts.check import check_artifact
from .compiled.domain import OutsideDomain
from .memory.budget import ChunkedPredictor, MemoryBudget, Reservation
from .memory.isolated_bound import isolated_memory_bound
from .proof.infer_signature import make_rows
from .proof.proof import Limits
from .sandbox.channel import BrokenMessage, read_tensors
from .sandbox.process import IsolatedProcess, ProcessDied, sandbox_spec
from .values.tensors import Tensors, read_inputs

_MAX_BACKOFF = 60.0  # seconds
log = structlog.get_logger(__name__)
# In one answer: more cannot be sent, and as JSON they would take hundreds of megabytes.
_MAX_VALUES = 1 << 24


def load_checked(path: Path, spec: VersionSpec, threads: int, limits: Limits) -> Predictor:
    """Check the artifact, load it and warm it up: run it on one row and on the whole sample, since first runs allocate memory.

    A version without a sample (its rows are too large for its record) is warmed up on a synthetic row. An error on that row is
    ignored.
    """
    check_artifact(path, spec.served_as, allow_pickles=limits.allow_pickles, max_bytes=limits.file_bytes)
    predictor = adapter_for(spec.served_as).load(path, spec.signature, spec.sample, threads)
    ignored = () if spec.sample else (Exception,)
    with contextlib.suppress(*ignored):
        inputs, _ = read_inputs(spec.sample or make_rows(spec.signature.inputs, 1), spec.signature)
        first = {name: array[:1] for name, array in inputs.items()}
        for rows in (first, inputs):
            with contextlib.suppress(OutsideDomain):
                predictor.predict(rows)
    return predictor


class ServingProcess:
    """A predictor whose model runs in an isolated process, loaded there by `load_checked`.

    A process that hangs is killed. If it hangs or fails to load repeatedly, it is restarted with exponential backoff; any
    answer, an error included, resets the backoff.
    """

    def __init__(self, path: Path, spec: VersionSpec, threads: int, limits: Limits) -> None:
        """Load the model. Raises ModelFailed, or the error from loading: InvalidInput, PickleRefused, ValueError."""
        self.signature = spec.signature
        self._path = path
        self._load_request = ("load", spec, threads, limits)
        self._limits = limits
        self._closed = False
        self._hung = 0  # consecutive times that it hung or failed to load
        self._retry_at = 0.0  # monotonic time before which it is not restarted
        self._is_data = adapter_for(spec.served_as).runs_in_worker
        self._lock = threading.Lock()
        hide_from_others()
        self._process: IsolatedProcess | None = self._start()

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises, or ModelFailed if its process died, or hung and was killed."""
        with self._lock:
            process = self._running()
            try:
                document, body = process.call("predict", inputs, timeout=self._limits.batch_seconds)
            except TimeoutError:
                self._discard(hung=True)
                raise ModelFailed(
                    f"the model hung: it gave no answer within {self._limits.batch_seconds:g} s, and its process was killed"
                ) from None
            except ProcessDied as error:
                self._discard(hung=False)
                raise ModelFailed(f"the model's process died while it ran this batch ({error})") from None
            except Exception:
                self._hung = 0
                raise
            self._hung = 0
        try:
            outputs = read_tensors(document.get("outputs"), body)
            if (values := sum(array.size for array in outputs.values())) > _MAX_VALUES:
                raise ModelFailed(f"the model answers {values} values: at most {_MAX_VALUES} are sent")
            inside = document.get("inside")
            if inside is None:
                return outputs
            raise OutsideDomain(np.array(inside, bool).reshape(len(next(iter(inputs.values())))), outputs)
        except (BrokenMessage, ValueError) as error:
            raise ModelFailed(f"the model's process sent an unreadable reply: {error}") from None

    def restart(self) -> None:
        """Restart a dead process once its backoff is over, so that the next batch need not wait for the start."""
        with self._lock, contextlib.suppress(Exception):  # the next `predict` raises the error
            self._running()

    def close(self) -> None:
        """Kill the process and all that the model started."""
        self._closed = True
        if (process := self._process) is not None:
            process.close()

    def _running(self) -> IsolatedProcess:
        """Return the process, restarted if it is dead. Raises ModelFailed during its backoff, or if it does not start."""
        if self._process is not None:
            return self._process
        if self._closed:
            raise ModelFailed("the model is no longer served")
        if (left := self._retry_at - time.monotonic()) > 0:
            raise ModelFailed(f"the model hung {self._hung} times in a row: it is started again in {left:.0f} s")
        try:
            self._process = process = self._start()
        except Exception:
            self._discard(hung=True)
            raise
        if self._closed:  # while it started
            process.close()
        return process

    def _discard(self, *, hung: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
        if hung:
            self._hung += 1
            if self._hung > 1:
                backoff = min(_MAX_BACKOFF, 2.0 ** min(self._hung - 2, 10))
                self._retry_at = time.monotonic() + backoff

    def _start(self) -> IsolatedProcess:
        limits = self._limits
        sandbox = sandbox_spec(self._path, limits.memory_bytes, limits.file_bytes)
        # ONNX is data and runs no code: it is isolated only because of the memory that it takes.
        process = IsolatedProcess(sandbox, whole=limits.whole_sandbox and not self._is_data)
        try:
            process.call(*self._load_request, timeout=limits.load_seconds)
        except BaseException as error:
            process.close()
            if isinstance(error, ProcessDied):
                raise ModelFailed(f"the model's process died while it was loaded ({error})") from None
            if isinstance(error, TimeoutError):
                raise ModelFailed(
                    f"the model hung: it was not loaded within {limits.load_seconds:g} s, and its process was killed"
                ) from None
            raise
        return process


def load_version(
    path: Path, spec: VersionSpec, limits: Limits, budget: MemoryBudget, *, threads: int = 1, slots: int = 1
) -> tuple[Predictor, Reservation | None]:
    """Load a version: in this process if it is data and its memory bound fits the budget, else in an isolated process.

    Returns the predictor and its reservation of the budget, None if it runs in an isolated process.
    """
    if not adapter_for(spec.served_as).runs_in_worker:
        return ServingProcess(path, spec, threads, limits), None
    memory = spec.memory or isolated_memory_bound(path, limits.memory_bytes)
    reservation = budget.reserve(memory, slots=slots, alone=spec.alone)
    if not isinstance(reservation, Reservation):
        log.info("version.apart", version=spec.version, digest=spec.digest, why=reservation)
        return ServingProcess(path, spec, threads, limits), None
    try:
        return ChunkedPredictor(
            load_checked(path, spec, threads, limits), reservation.max_rows, alone=spec.alone
        ), reservation
    except BaseException:
        budget.release(reservation)
        raise


class CompiledWithFallback:
    """A compiled form, with the original model as fallback for batches in which the form is not sure of every row."""

    def __init__(self, compiled: Predictor, load_original: Callable[[], Predictor]) -> None:
        """`load_original` is called when the original is first needed."""
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
