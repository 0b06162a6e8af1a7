"""Prove a model before it is accepted: load it, run it on rows, time it, and compile it if the answers stay the same.

`prove` does the work. The model is untrusted, so `prove_in_fresh_process` runs it in an isolated process, where a crash, a
leak or an endless loop does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from ...schemas.errors import ModelFailed, ModelMeshError, RegistrationRefused
from ...schemas.payloads.compiled_domain import Domain
from ...schemas.payloads.model_memory import Memory
from ...schemas.payloads.profiles import OutputBins, Profile
from ...schemas.payloads.releases import Framework, served_sample
from ...schemas.payloads.signatures import Signature, TensorSpec
from ...schemas.settings.models import ModelSettings
from ..adapters.base import Predictor
from ..adapters.registry import adapter_for
from ..artifacts.check import check_artifact
from ..compiled.domain import OutsideDomain
from ..compiled.proof import compiled_form
from ..error_text import explain_error
from ..memory.isolated_bound import isolated_memory_bound
from ..sandbox.process import IsolatedProcess, ProcessDied, sandbox_spec
from ..values.missing import find_missing
from ..values.tensors import Tensors, read_inputs
from .batch_independence import batch_dependence
from .infer_signature import make_rows, output_specs
from .profile import build_profile, columns_of, output_bins_of

_SYNTHETIC_ROWS = 32
_SYNTHETIC_VALUES = 1_000_000  # in all rows together, but at least two rows: rows of images are large as JSON
_MAX_FORM_BYTES = 2**31  # an ONNX file holds no more
_OUTPUT_ROWS = 1000  # reference rows that the output bins are computed from

# A separate pool: slow models must not block the default executor.
_proofs = ThreadPoolExecutor(8, "proof")


class Proof(BaseModel):
    """The results of a proof. Times are in milliseconds."""

    signature: Signature
    served_as: Framework
    compiled: bool
    parity: dict[str, Any]
    domain: Domain | None = Field(default=None, description="the rows for which the compiled form is the same function")
    alone: bool = Field(
        default=False, description="requests share no batch: an answer depends on the other rows of the batch"
    )
    why_alone: str = ""
    sample: list[Any]
    sample_given: bool
    load_ms: float
    row_ms: float
    batch_ms: float
    batch_rows: int
    libraries: dict[str, str]
    profile: Profile | None = None
    output_bins: OutputBins | None = None
    memory: Memory | None = Field(default=None, description="the memory bound of the served form, if that is ONNX")
    deterministic: bool = Field(default=True, description="whether the same rows gave the same answers again")


def _library_versions(names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _median_ms(predictor: Predictor, inputs: Tensors, times: int = 5) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        with contextlib.suppress(OutsideDomain):
            predictor.predict(inputs)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken) * 1000)


def prove(
    path: Path,
    framework: Framework,
    signature: Signature | None,
    sample: list[Any],
    compile_model: bool,
    compiled_path: Path,
    reference: list[Any] | None = None,
) -> Proof:
    """Load, run, time and compile the model. Writes `compiled_path` if the compiled form is the one to serve.

    Raises RegistrationRefused saying which step failed.
    """
    adapter = adapter_for(framework)
    started = time.perf_counter()
    try:
        predictor = adapter.load(path, signature, sample, threads=1)
    except ModelMeshError as error:
        raise RegistrationRefused(error.detail, field=error.field) from error
    load_ms = (time.perf_counter() - started) * 1000
    specs = predictor.signature.inputs
    # Missing values are allowed here: `find_missing` finds out whether the model takes them.
    inputs_known = Signature(inputs=tuple(spec.model_copy(update={"missing": True}) for spec in specs))
    rows = sample or make_rows(specs, _synthetic_row_count(specs), getattr(predictor, "examples", None))
    try:
        inputs, count = read_inputs(rows, inputs_known)
    except ModelMeshError as error:
        raise RegistrationRefused(f"the sample does not fit the model: {error.detail}", field=error.field) from error
    outputs = _run(predictor, inputs, count)
    found = Signature(
        inputs=find_missing(predictor, inputs, specs),
        outputs=output_specs(outputs, getattr(predictor, "classes", None)),
    )
    served, parity, domain = (predictor, {"attempted": False}, None) if not compile_model else compiled_form(
        adapter, predictor, found, path, inputs, compiled_path
    )  # fmt: skip
    why_alone = batch_dependence(predictor, inputs)
    one = {name: array[:1] for name, array in inputs.items()}
    known = _reference(reference, found) if reference else None
    answered = predictor.predict({name: array[:_OUTPUT_ROWS] for name, array in (known or inputs).items()})
    return Proof(
        signature=found,
        served_as="onnx" if served is not predictor else framework,
        compiled=served is not predictor,
        parity=parity,
        domain=domain,
        alone=bool(why_alone),
        why_alone=why_alone,
        sample=served_sample(rows),
        sample_given=bool(sample),
        load_ms=load_ms,
        row_ms=_median_ms(served, one),
        batch_ms=_median_ms(served, inputs),
        batch_rows=count,
        libraries=_library_versions(adapter.libraries()),
        profile=build_profile(columns_of(known)) if known else None,
        output_bins=output_bins_of(answered),
        deterministic=_same(predictor.predict(inputs), predictor.predict(inputs)),
    )


def _synthetic_row_count(specs: tuple[TensorSpec, ...]) -> int:
    """Return the number of synthetic rows for such inputs."""
    values = sum(math.prod(max(1, size) for size in spec.row_shape) for spec in specs)
    return max(2, min(_SYNTHETIC_ROWS, _SYNTHETIC_VALUES // max(1, values)))


def _same(some: Tensors, others: Tensors) -> bool:
    """Whether two runs gave the same outputs, to the last bit."""
    return all(np.array_equal(array, others[name], equal_nan=array.dtype.kind == "f") for name, array in some.items())


def _reference(rows: list[Any], signature: Signature) -> Tensors:
    try:
        return read_inputs(rows, signature)[0]
    except ModelMeshError as error:
        raise RegistrationRefused(
            f"the reference rows do not fit the model: {error.detail}", field="reference"
        ) from error


def _run(predictor: Predictor, inputs: Tensors, rows: int) -> Tensors:
    try:
        outputs = predictor.predict(inputs)
    except ModelMeshError as error:
        raise RegistrationRefused(f"the model fails on the sample rows: {error.detail}", field=error.field) from error
    except Exception as error:  # the model is untrusted code: it can raise anything
        raise RegistrationRefused(
            f"the model fails on the sample rows: {explain_error(error)} (give a sample of rows that it was trained on)",
            field="sample",
        ) from error
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            raise RegistrationRefused(f"output {name} has shape {array.shape} for {rows} rows: one row in, one row out")
        if not array.size:
            raise RegistrationRefused(f"output {name} has shape {array.shape}: the model answers nothing")
    return outputs


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on a model: whether pickles are allowed, its address space, and the size of what it unpacks to or writes.

    With `whole_sandbox` it runs only in a process with every sandbox restriction in force. An isolated process has
    `load_seconds` to load the model and `batch_seconds` for each batch. The latter is the maximum deadline of any request,
    so that a caller with a short deadline cannot have the process killed.
    """

    allow_pickles: bool
    memory_bytes: int
    file_bytes: int
    whole_sandbox: bool = False
    load_seconds: float = 120.0
    batch_seconds: float = 60.0

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Limits:
        """Return the limits from the settings."""
        return cls(
            settings.pickles == "allow",
            settings.model_memory_bytes,
            4 * settings.max_artifact_bytes,
            settings.sandbox == "whole",
            settings.model_load_timeout,
            settings.max_deadline,
        )


async def prove_in_fresh_process(
    path: Path,
    framework: Framework,
    signature: Signature | None,
    sample: list[Any],
    compile_model: bool,
    compiled_path: Path,
    reference: list[Any] | None = None,
    *,
    limits: Limits,
    timeout: float,
) -> Proof:
    """Run `prove` in a new isolated process, within the limits. Writes `compiled_path` as `prove` does.

    Raises RegistrationRefused if it fails, dies or times out.
    """
    request = ("prove", framework, limits, signature, sample, compile_model, reference)
    run = asyncio.get_running_loop().run_in_executor
    sandbox = sandbox_spec(path, limits.memory_bytes, limits.file_bytes, math.ceil(timeout) * (os.cpu_count() or 1))
    process = await run(_proofs, partial(IsolatedProcess, sandbox, whole=limits.whole_sandbox))
    try:
        document = await run(_proofs, _request_proof, process, request, compiled_path, limits, timeout)
    except TimeoutError:
        raise RegistrationRefused(f"the proof of the model did not finish within {timeout:.0f} s") from None
    except ProcessDied as error:
        raise RegistrationRefused(
            f"the process that ran the model died ({error}): out of memory, or a crash in native code"
        ) from None
    finally:
        process.close()
    proof = _validated(document, framework, compiled_path, limits)
    if proof.served_as != "onnx":
        return proof.model_copy(update={"memory": None})
    # In another process, since this one may have run the model's code.
    memory = await run(_proofs, isolated_memory_bound, compiled_path if proof.compiled else path, limits.memory_bytes)
    return proof.model_copy(update={"memory": memory})


def _request_proof(
    process: IsolatedProcess, request: tuple[Any, ...], compiled_path: Path, limits: Limits, timeout: float
) -> dict[str, Any]:
    arriving = compiled_path.with_name(f"{compiled_path.name}.arriving")
    try:
        with arriving.open("wb") as file:
            max_bytes = min(limits.file_bytes, _MAX_FORM_BYTES)
            document = process.call(*request, timeout=timeout, max_bytes=max_bytes, into=file)[0]
        if arriving.stat().st_size:
            arriving.replace(compiled_path)
        return document
    except ModelFailed as error:
        raise RegistrationRefused(f"the model cannot be proved: {error.detail}") from None
    finally:
        arriving.unlink(missing_ok=True)


def _validated(document: dict[str, Any], framework: Framework, compiled_path: Path, limits: Limits) -> Proof:
    """Return the proof that the process sent. The model's code may have written it, so it is validated."""
    try:
        proof = Proof.model_validate(document.get("proof"))
    except ValidationError as error:
        raise RegistrationRefused(f"the model's process sent an invalid proof: {error.errors()[0]['msg']}") from None
    if proof.served_as != ("onnx" if proof.compiled else framework):
        raise RegistrationRefused(f"the model's process says that {framework} is served as {proof.served_as}")
    if proof.compiled and not compiled_path.exists():
        raise RegistrationRefused("the model's process says that it compiled the model, and gives no compiled form")
    if proof.compiled:
        check_artifact(compiled_path, "onnx", allow_pickles=False, max_bytes=limits.file_bytes)
    return proof
