"""The formats of model files. Each is either data, whose parser refuses all unknown content, or code.

A format is code if its loader can be made to run code: no deny list could be complete. Code is refused unless the deployment
allows it, and then it is loaded only in an isolated process.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import InvalidInput
from ...schemas.payloads.releases import Framework
from .archives import check_archive
from .onnx_check import check_onnx
from .skops_check import check_skops, is_skops


@dataclass(frozen=True, slots=True)
class Format:
    """One format of a framework's files.

    `holds(path)` detects the format by the file's content, never by its name. `check(path, max_bytes)` raises InvalidInput; for
    data it refuses all unknown content. `alternative` is what to do where code is refused; empty for data.
    """

    name: str
    framework: Framework
    holds: Callable[[Path], bool]
    check: Callable[[Path, int], None]
    alternative: str = ""

    @property
    def is_code(self) -> bool:
        """Whether loading a file of this format can run code from the file."""
        return bool(self.alternative)


def _anything(_: Path) -> bool:
    return True


def _unchecked(_: Path, __: int) -> None:
    """Accept a pickle: it is all code, so no check can make it safe."""


def _check_torch(path: Path, max_bytes: int) -> None:
    if not zipfile.is_zipfile(path):
        raise InvalidInput("the file is neither an exported program (.pt2) nor TorchScript (.pt)", field="artifact")
    check_archive(path, max_bytes)


# A file has the first format of its framework whose `holds` is true; the last one of each framework accepts the rest.
FORMATS = (
    Format("an ONNX model", "onnx", _anything, check_onnx),
    Format("a skops file", "sklearn", is_skops, check_skops),
    Format(
        "a joblib, pickle or cloudpickle file",
        "sklearn",
        _anything,
        _unchecked,
        alternative="register the estimator itself, which the client then sends as skops, or register it as ONNX",
    ),
    Format(
        # A .pt2 holds pickles, expressions that are evaluated and, from AOTInductor, native libraries. TorchScript can read and
        # write files. torch.save() writes a pickle.
        "a PyTorch file (torch.export, TorchScript, AOTInductor or torch.save)",
        "torch",
        _anything,
        _check_torch,
        alternative="register the module itself with a sample, register_model(name, module, sample=x), which the client then "
        "exports to ONNX, or register an ONNX file, torch.onnx.export(..., dynamo=True)",
    ),
)


def format_of(path: Path, framework: Framework) -> Format:
    """Return the format of a file of the framework."""
    return next(each for each in FORMATS if each.framework == framework and each.holds(path))
