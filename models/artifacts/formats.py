"""Which formats a model file may have: data, proved by a parser that refuses what it does not know, or code.

Code is what a loader of the format can be made to run: a list of what is forbidden in it never ends. It is refused unless the
deployment allows it, and then it is loaded in an isolated process alone.
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

    `holds(path)` says by the content, never by a name, whether a file is of it. `check(path, max_bytes)` raises InvalidInput, and
    for data refuses all that it does not know. `way_out` is what to do where code is refused; empty for data.
    """

    name: str
    framework: Framework
    holds: Callable[[Path], bool]
    check: Callable[[Path, int], None]
    way_out: str = ""

    @property
    def is_code(self) -> bool:
        """Whether loading a file of it can run code of its maker's."""
        return bool(self.way_out)


def _anything(_: Path) -> bool:
    return True


def _unchecked(_: Path, __: int) -> None:
    """A pickle is code from its first byte to its last: there is nothing to check in it."""


def _check_torch(path: Path, max_bytes: int) -> None:
    if not zipfile.is_zipfile(path):
        raise InvalidInput("the file is neither an exported program (.pt2) nor TorchScript (.pt)", field="artifact")
    check_archive(path, max_bytes)


# In this order: a file is of the first format of its framework that holds it, so that the last of each takes the rest.
FORMATS = (
    Format("an ONNX model", "onnx", _anything, check_onnx),
    Format("a skops file", "sklearn", is_skops, check_skops),
    Format(
        "a joblib file, a pickle or a file of cloudpickle's",
        "sklearn",
        _anything,
        _unchecked,
        way_out="register the estimator itself, which the client then sends as skops, or register it as ONNX",
    ),
    Format(
        # A .pt2 holds pickles, expressions that are evaluated and, of AOTInductor, native libraries; TorchScript reads and writes
        # files; torch.save() writes a pickle.
        "a file of PyTorch's (torch.export, TorchScript, AOTInductor or torch.save)",
        "torch",
        _anything,
        _check_torch,
        way_out="register the module itself with a sample, register_model(name, module, sample=x), which the client then "
        "exports to ONNX, or register an ONNX file, torch.onnx.export(..., dynamo=True)",
    ),
)


def format_of(path: Path, framework: Framework) -> Format:
    """Return the format that a file is taken for when it is loaded as the framework's."""
    return next(each for each in FORMATS if each.framework == framework and each.holds(path))
