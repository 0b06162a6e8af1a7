"""Runs models off the event loop: memory-bounded ONNX models in threads, all others in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ...models.adapters.base import Predictor
from ...models.adapters.registry import adapter_for
from ...models.compiled.domain import OutsideDomain
from ...models.memory.budget import MemoryBudget, Reservation
from ...models.proof.proof import Limits
from ...models.serving_process import ServingProcess, load_version
from ...models.values.tensors import Tensors
from ...schemas.errors import ModelFailed, ModelMeshError, ModelRefusedInput
from ...schemas.payloads.chaos import Fault
from ...schemas.payloads.releases import VersionSpec


class LoadedModel:
    """One version, loaded and warmed up. Up to `slots` batches run in parallel."""

    def __init__(
        self, spec: VersionSpec, path: Path, *, threads: int, slots: int, limits: Limits, budget: MemoryBudget
    ) -> None:
        """`budget` is the worker's memory budget for all models in its own process."""
        self.spec = spec
        self._path = path
        self._threads = threads
        self._limits = limits
        self._predictor: Predictor | None = None
        self._budget = budget
        self._reservation: Reservation | None = None
        self.slots = slots if adapter_for(spec.served_as).runs_in_worker else 1
        self.fault: Callable[[], Fault | None] = lambda: None  # the injected fault for the next batch
        self._executor = ThreadPoolExecutor(self.slots, thread_name_prefix=f"model-{spec.version}")

    async def load(self) -> None:
        """Load and warm up. Raises ModelFailed if the model does not load."""
        load = partial(load_version, threads=self._threads, slots=self.slots)
        arguments = (self._path, self.spec, self._limits, self._budget)
        loading = self._executor.submit(load, *arguments)
        try:
            loaded = await asyncio.shield(asyncio.wrap_future(loading))
        except asyncio.CancelledError:  # the model was removed; its thread continues, and the result is released
            loading.add_done_callback(self._discard)
            raise
        except Exception as error:  # a model's code can raise anything
            self.close()
            raise ModelFailed(f"version {self.spec.version} does not load: {error}") from error
        self._predictor, self._reservation = loaded
        if self._reservation is None:
            self.slots = 1  # a process runs one batch at a time

    async def predict(self, inputs: Tensors) -> Tensors:
        """Run one batch. Raises ModelRefusedInput or ModelFailed with the model's own message.

        A compiled form raises OutsideDomain for rows outside its domain. A model whose process died or was killed for hanging
        is loaded again for the next batch.
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
        except ModelMeshError as error:  # an adapter's error for inputs that its runtime refuses
            raise ModelRefusedInput(error.detail, field=error.field) from error
        except ValueError as error:  # how scikit-learn and similar libraries refuse inputs
            raise ModelRefusedInput(f"the model refuses these inputs: {error}"[:2000]) from error
        except Exception as error:  # a model's code can raise anything
            raise ModelFailed(f"{type(error).__name__}: {error}") from error

    def _restart(self, process: ServingProcess) -> None:
        with contextlib.suppress(RuntimeError):  # closed in the meantime
            self._executor.submit(process.restart)

    def _discard(self, loading: Future[tuple[Predictor, Reservation | None]]) -> None:
        if not loading.cancelled() and loading.exception() is None:
            self._predictor, self._reservation = loading.result()
        self.close()

    def close(self) -> None:
        """Release the threads, after their running batches, or end the process."""
        if isinstance(self._predictor, ServingProcess):
            self._predictor.close()
        if self._reservation is not None:
            self._budget.release(self._reservation)
            self._reservation = None
        self._executor.shutdown(wait=False)
