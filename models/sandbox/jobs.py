"""The jobs of a model's process, one at a time: prove the model, compute its memory bound, or load it and predict."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...schemas.errors import ModelMeshError, RegistrationRefused
from ...schemas.payloads.releases import Framework, VersionSpec
from ..adapters.base import Predictor
from ..adapters.onnx_predictor import OnnxPredictor
from ..artifacts.check import check_artifact
from ..compiled.domain import OutsideDomain
from ..error_text import explain_error
from ..memory.onnx_memory import memory_bound
from ..proof.proof import Limits, prove
from ..serving_process import load_checked
from ..values.tensors import Tensors
from .channel import Channel, ChannelClosed, receive_request, send_reply, write_tensors


def serve(channel: Channel, artifact: Path) -> None:
    """Run jobs until the service closes its end."""
    jobs = _Jobs(channel, artifact)
    known: dict[str, Callable[..., None]] = {
        "prove": jobs.prove,
        "bound_memory": jobs.bound_memory,
        "load": jobs.load,
        "predict": jobs.predict,
    }
    while True:
        try:
            name, *arguments = receive_request(channel)
        except ChannelClosed:
            return
        try:
            known[name](*arguments)
        except ModelMeshError as error:
            send_reply(channel, {"error": "problem", "problem": error.problem()})
        except ValueError as error:
            send_reply(channel, {"error": "value", "text": _text_of(error)})
        except BaseException as error:  # the model is untrusted code
            send_reply(channel, {"error": "other", "text": f"{type(error).__name__}: {_text_of(error)}"})


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the class of the error may be the model's own
        return "its text is not readable"


class _Jobs:
    def __init__(self, channel: Channel, artifact: Path) -> None:
        self._channel = channel
        self._artifact = artifact
        self._predictor: Predictor | None = None

    def prove(self, framework: Framework, limits: Limits, *arguments: Any) -> None:
        """Reply with the proof; the body is the compiled form if that is the one to serve."""
        try:
            self._prove(framework, limits, *arguments)
        except ModelMeshError:
            raise
        except BaseException as error:  # the model is untrusted code
            raise RegistrationRefused(f"the model cannot be proved: {explain_error(error)}") from error

    def _prove(self, framework: Framework, limits: Limits, *arguments: Any) -> None:
        check_artifact(self._artifact, framework, allow_pickles=limits.allow_pickles, max_bytes=limits.file_bytes)
        signature, sample, compile_model, reference = arguments
        with tempfile.TemporaryDirectory() as folder:
            compiled = Path(folder) / "compiled"
            proof = prove(self._artifact, framework, signature, sample, compile_model, compiled, reference)
            body = [compiled.read_bytes()] if proof.compiled else []
        send_reply(self._channel, {"proof": proof.model_dump(mode="json")}, body)

    def bound_memory(self) -> None:
        """Reply with the memory bound of the ONNX model, which is parsed, not loaded."""
        check_artifact(self._artifact, "onnx", allow_pickles=False, max_bytes=0)
        send_reply(self._channel, {"memory": memory_bound(self._artifact).model_dump()})

    def load(self, spec: VersionSpec, threads: int, limits: Limits) -> None:
        """Load the model of this process."""
        self._predictor = load_checked(self._artifact, spec, threads, limits)
        if isinstance(self._predictor, OnnxPredictor):
            self._predictor.release_memory_after_runs()
        send_reply(self._channel, {})

    def predict(self, inputs: Tensors) -> None:
        """Reply with the model's outputs."""
        assert self._predictor is not None
        try:
            outputs, inside = self._predictor.predict(inputs), {}
        except OutsideDomain as error:
            outputs, inside = error.outputs, {"inside": error.inside.tolist()}
        tensors, body = write_tensors(outputs)
        send_reply(self._channel, {"outputs": tensors} | inside, body)
