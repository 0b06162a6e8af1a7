"""Run a model off the event loop: data (ONNX) in threads, all that is or may be code in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from ..models.adapters.base import Predictor
from ..models.adapters.registry import adapter_for
from ..models.compiled.domain import OutsideDomain
from ..models.isolation import start_forkserver
from ..models.proof import Limits
from ..models.serving_process import load_checked, load_in_process, predict_in_process
from ..models.tensors import Tensors
from ..schemas.chaos import Fault
from ..schemas.errors import ModelFailed, ModelMeshError, ModelRefusedInput
from ..schemas.releases import VersionSpec


class LoadedModel:
    """One version, loaded and warmed up. `slots` batches may run at once."""

    def __init__(self, spec: VersionSpec, path: Path, *, threads: int, slots: int, limits: Limits) -> None:
        self.spec = spec
        self._path = path
        self._threads = threads
        self._limits = limits
        self._predictor: Predictor | None = None
        self._executor: Executor
        self._by_thread = adapter_for(spec.served_as).runs_in_worker
        self.slots = slots if self._by_thread else 1
        self.fault: Callable[[], Fault | None] = lambda: None  # what a rehearsal wants to go wrong with the next batch
        self._start_executor()

    def _start_executor(self) -> None:
        if self._by_thread:
            self._executor = ThreadPoolExecutor(self.slots, thread_name_prefix=f"model-{self.spec.version}")
        else:
            self._executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"))

    async def load(self) -> None:
        """Load and warm up. Raises ModelFailed when the model does not run here."""
        loop = asyncio.get_running_loop()
        arguments: tuple[Any, ...] = (self._path, self.spec, self._threads, self._limits)
        try:
            if self._by_thread:
                self._predictor = await loop.run_in_executor(self._executor, load_checked, *arguments)
            else:
                await asyncio.to_thread(start_forkserver)
                await loop.run_in_executor(self._executor, load_in_process, *arguments)
        except Exception as error:  # the model is somebody's code
            self.close()
            raise ModelFailed(f"version {self.spec.version} does not load: {error}") from error

    async def predict(self, inputs: Tensors) -> Tensors:
        """Run one batch. Raises ModelRefusedInput or ModelFailed with the model's own message.

        A compiled form raises OutsideDomain for rows that it leaves to the model. A model that killed its process is
        loaded again for the next batch.
        """
        loop = asyncio.get_running_loop()
        if (fault := self.fault()) is not None:
            if fault.kind == "error":
                raise ModelFailed(f"an injected fault ({fault.fault_id})")
            await asyncio.sleep(fault.milliseconds / 1000)
        try:
            if self._predictor is not None:
                return await loop.run_in_executor(self._executor, self._predictor.predict, inputs)
            return await loop.run_in_executor(self._executor, predict_in_process, inputs)
        except BrokenProcessPool as error:
            self.close()
            self._start_executor()
            await self.load()
            raise ModelFailed("the model's process died while it ran this batch") from error
        except (ModelFailed, ModelRefusedInput, OutsideDomain):
            raise
        except ModelMeshError as error:  # an adapter's word for inputs that its runtime does not take
            raise ModelRefusedInput(error.detail, field=error.field) from error
        except ValueError as error:  # what scikit-learn and those built like it say of inputs that they do not take
            raise ModelRefusedInput(f"the model does not take these inputs: {error}"[:2000]) from error
        except Exception as error:  # the model is somebody's code
            raise ModelFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let the threads or the process go; what runs ends first."""
        self._executor.shutdown(wait=False)
