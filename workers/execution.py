"""Run a model off the event loop: data (ONNX) whose memory is bounded in threads, all else in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..models.adapters.base import Predictor
from ..models.adapters.registry import adapter_for
from ..models.compiled.domain import OutsideDomain
from ..models.memory.budget import MemoryBudget, Reservation
from ..models.proof.proof import Limits
from ..models.serving_process import ServingProcess, load_version
from ..models.values.tensors import Tensors
from ..schemas.errors import ModelFailed, ModelMeshError, ModelRefusedInput
from ..schemas.payloads.chaos import Fault
from ..schemas.payloads.releases import VersionSpec


class LoadedModel:
    """One version, loaded and warmed up. `slots` batches may run at once."""

    def __init__(
        self, spec: VersionSpec, path: Path, *, threads: int, slots: int, limits: Limits, budget: MemoryBudget
    ) -> None:
        """`budget` is the worker's for all models that it runs itself."""
        self.spec = spec
        self._path = path
        self._threads = threads
        self._limits = limits
        self._predictor: Predictor | None = None
        self._budget = budget
        self._reservation: Reservation | None = None
        self.slots = slots if adapter_for(spec.served_as).runs_in_worker else 1
        self.fault: Callable[[], Fault | None] = lambda: None  # what a rehearsal wants to go wrong with the next batch
        self._executor = ThreadPoolExecutor(self.slots, thread_name_prefix=f"model-{spec.version}")

    async def load(self) -> None:
        """Load and warm up. Raises ModelFailed when the model does not run here."""
        load = partial(load_version, threads=self._threads, slots=self.slots)
        arguments = (self._path, self.spec, self._limits, self._budget)
        loading = self._executor.submit(load, *arguments)
        try:
            loaded = await asyncio.shield(asyncio.wrap_future(loading))
        except asyncio.CancelledError:  # the model goes; its thread goes on, and what it has then is given back
            loading.add_done_callback(self._loaded_for_nobody)
            raise
        except Exception as error:  # the model is somebody's code
            self.close()
            raise ModelFailed(f"version {self.spec.version} does not load: {error}") from error
        self._predictor, self._reservation = loaded
        if self._reservation is None:
            self.slots = 1  # a process answers one batch after the other

    async def predict(self, inputs: Tensors) -> Tensors:
        """Run one batch. Raises ModelRefusedInput or ModelFailed with the model's own message.

        A compiled form raises OutsideDomain for rows that it leaves to the model. A model that killed its process, or hung and
        was ended with it, is loaded again for the next batch.
        """
        assert self._predictor is not None, "load() first"
        loop = asyncio.get_running_loop()
        if (fault := self.fault()) is not None:
            if fault.kind == "error":
                raise ModelFailed(f"an injected fault ({fault.fault_id})")
            await asyncio.sleep(fault.milliseconds / 1000)
        try:
            return await loop.run_in_executor(self._executor, self._predictor.predict, inputs)
        except ModelFailed:
            if isinstance(self._predictor, ServingProcess):
                self._restart(self._predictor)
            raise
        except (ModelRefusedInput, OutsideDomain):
            raise
        except ModelMeshError as error:  # an adapter's word for inputs that its runtime does not take
            raise ModelRefusedInput(error.detail, field=error.field) from error
        except ValueError as error:  # what scikit-learn and those built like it say of inputs that they do not take
            raise ModelRefusedInput(f"the model does not take these inputs: {error}"[:2000]) from error
        except Exception as error:  # the model is somebody's code
            raise ModelFailed(f"{type(error).__name__}: {error}") from error

    def _restart(self, process: ServingProcess) -> None:
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._executor.submit(process.restart)

    def _loaded_for_nobody(self, loading: Future[tuple[Predictor, Reservation | None]]) -> None:
        if not loading.cancelled() and loading.exception() is None:
            self._predictor, self._reservation = loading.result()
        self.close()

    def close(self) -> None:
        """Let the threads go, where what runs ends first, or end the process."""
        if isinstance(self._predictor, ServingProcess):
            self._predictor.close()
        if self._reservation is not None:
            self._budget.release(self._reservation)
            self._reservation = None
        self._executor.shutdown(wait=False)
