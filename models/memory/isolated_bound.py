"""Compute an ONNX file's memory bound in an isolated process, because the file is untrusted and its parsers are native code."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ...schemas.errors import ModelMeshError
from ...schemas.payloads.model_memory import Memory
from ..sandbox.process import IsolatedProcess, ProcessDied, sandbox_spec

_SECONDS = 60.0


def isolated_memory_bound(path: Path, memory_bytes: int) -> Memory:
    """Return the memory bound of an ONNX file, or an unbounded `Memory` with the reason."""
    try:
        process = IsolatedProcess(sandbox_spec(path, memory_bytes, 0, int(_SECONDS)))
        try:
            document, _ = process.call("bound_memory", timeout=_SECONDS)
        finally:
            process.close()
        return Memory.model_validate(document.get("memory"))
    except TimeoutError:
        return Memory(why=f"the proof took more than {_SECONDS:.0f} s")
    except ProcessDied as error:
        return Memory(why=f"the process of the proof died ({error})")
    except (ModelMeshError, ValidationError, ValueError) as error:
        return Memory(why=f"the proof failed: {error}"[:300])
