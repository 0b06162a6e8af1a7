"""What a file may be before anything of it is loaded."""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import PickleRefused
from ...schemas.payloads.releases import Framework
from .formats import format_of


def check_artifact(path: Path, framework: Framework, *, allow_pickles: bool, max_bytes: int) -> None:
    """Look at a file without loading it; `allow_pickles` says whether formats that are code are taken.

    Raises PickleRefused for code that is not allowed, and InvalidInput for data that its parser does not wholly know, for an
    archive that reaches outside or grows beyond `max_bytes` bytes, and for an ONNX model that names other files.
    """
    form = format_of(path, framework)
    if form.is_code and not allow_pickles:
        raise PickleRefused(
            f"this is {form.name}, which can run any code when it is loaded, and this deployment refuses code in model files: "
            f"{form.way_out}, or have it signed by an author whom MODELMESH_SIGNERS names (`modelmesh sign`), or set "
            "MODELMESH_PICKLES=allow where every registrant is trusted",
            field="artifact",
        )
    form.check(path, max_bytes)
