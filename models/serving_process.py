"""Load a registered version, in this process or in one of its own that has none of this one's secrets."""

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
# Of an answer: more than can be sent, and written as JSON they would take some hundred megabytes.
_MAX_VALUES = 1 << 24


def load_checked(path: Path, spec: VersionSpec, threads: int, limits: Limits) -> Predictor:
    """Check the artifact, load it, and run it once for a row and once for the sample: the first run of each kind allocates.

    A version whose rows are too large to travel in its record is warmed up on one that is made up; a model that does not take
    that is not refused for it.
    """
    check_artifact(path, spec.served_as, allow_pickles=limits.allow_pickles, max_bytes=limits.file_bytes)
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
    """A predictor whose model runs in a process of its own, as `load_checked` loads it there.

    One that hangs is ended. What hangs again, or does not load again, is started again after pauses that double: an answer ends
    them, of whatever kind it is.
    """

    def __init__(self, path: Path, spec: VersionSpec, threads: int, limits: Limits) -> None:
        """Load it. Raises ModelFailed or what loading says: InvalidInput, PickleRefused, ValueError."""
        self.signature = spec.signature
        self._path = path
        self._load_request = ("load", spec, threads, limits)
        self._limits = limits
        self._closed = False
        self._hung = 0  # consecutive times that it hung or failed to reload
        self._retry_at = 0.0  # monotonic time before which it is not restarted (backoff)
        self._is_data = adapter_for(spec.served_as).runs_in_worker
        self._lock = threading.Lock()
        hide_from_others()
        self._process: IsolatedProcess | None = self._start()

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises; ModelFailed when its process died or was ended since it hung."""
        with self._lock:
            process = self._running()
            try:
                document, body = process.call("predict", inputs, timeout=self._limits.batch_seconds)
            except TimeoutError:
                self._discard(hung=True)
                raise ModelFailed(
                    f"the model hung: it gave no answer within {self._limits.batch_seconds:g} s, and its process was ended"
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
                raise ModelFailed(f"the model answers {values} values, of which at most {_MAX_VALUES} are sent")
            inside = document.get("inside")
            if inside is None:
                return outputs
            raise OutsideDomain(np.array(inside, bool).reshape(len(next(iter(inputs.values())))), outputs)
        except (BrokenMessage, ValueError) as error:
            raise ModelFailed(f"the model's process answers what nobody can read: {error}") from None

    def restart(self) -> None:
        """Start the process where it is gone and its pause is over, so that the next batch need not wait for that."""
        with self._lock, contextlib.suppress(Exception):  # the next `predict` raises it
            self._running()

    def close(self) -> None:
        """End the process and all that the model started."""
        self._closed = True
        if (process := self._process) is not None:
            process.close()

    def _running(self) -> IsolatedProcess:
        """Return the process, started again where it is gone. Raises ModelFailed where it may or can not be."""
        if self._process is not None:
            return self._process
        if self._closed:
            raise ModelFailed("the model is not served any more")
        if (left := self._retry_at - time.monotonic()) > 0:
            raise ModelFailed(f"the model hung {self._hung} times in a row: it is started again in {left:.0f} s")
        try:
            self._process = process = self._start()
        except Exception:
            self._discard(hung=True)
            raise
        if self._closed:  # meanwhile
            process.close()
        return process

    def _discard(self, *, hung: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
        if hung:
            self._hung += 1
            if self._hung > 1:
                pause = min(_MAX_BACKOFF, 2.0 ** min(self._hung - 2, 10))
                self._retry_at = time.monotonic() + pause

    def _start(self) -> IsolatedProcess:
        limits = self._limits
        sandbox = sandbox_spec(self._path, limits.memory_bytes, limits.file_bytes)
        # ONNX is data: it is kept apart for the memory that it takes.
        process = IsolatedProcess(sandbox, whole=limits.whole_sandbox and not self._is_data)
        try:
            process.call(*self._load_request, timeout=limits.load_seconds)
        except BaseException as error:
            process.close()
            if isinstance(error, ProcessDied):
                raise ModelFailed(f"the model's process died while it was loaded ({error})") from None
            if isinstance(error, TimeoutError):
                raise ModelFailed(
                    f"the model hung: it was not loaded within {limits.load_seconds:g} s, and its process was ended"
                ) from None
            raise
        return process


def load_version(
    path: Path, spec: VersionSpec, limits: Limits, budget: MemoryBudget, *, threads: int = 1, slots: int = 1
) -> tuple[Predictor, Reservation | None]:
    """Load a version: in this process where it is data and there is budget for all that it may take, else in one of its own.

    Returns its reservation of the budget with it; none where it runs in its own process.
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
    """A compiled form with the model as fallback for batches in which the form is not sure of every row."""

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
