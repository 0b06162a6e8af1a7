"""Check a model file before it is loaded."""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import PickleRefused
from ...schemas.payloads.releases import Framework
from .formats import format_of


def check_artifact(path: Path, framework: Framework, *, allow_pickles: bool, max_bytes: int) -> None:
    """Check a file without loading it; `allow_pickles` allows formats that are code.

    Raises PickleRefused for code that is not allowed. Raises InvalidInput for data with unknown content, for an archive with
    paths out of it or of more than `max_bytes` when unpacked, and for an ONNX model that refers to other files.
    """
    form = format_of(path, framework)
    if form.is_code and not allow_pickles:
        raise PickleRefused(
            f"this is {form.name}, which can run any code when it is loaded, and this deployment refuses code in model files: "
            f"{form.alternative}, or have it signed by an author whom MODELMESH_SIGNERS names (`modelmesh sign`), or set "
            "MODELMESH_PICKLES=allow where every registrant is trusted",
            field="artifact",
        )
    form.check(path, max_bytes)
