"""What a file may be before anything of it is loaded: archives that stay inside, no pickles where they are not allowed."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import IO

from ..schemas.errors import InvalidInput, PickleRefused
from ..schemas.releases import Framework
from .archives import check_archive
from .onnx_files import outside_data
from .pickles import names_in

# What the tensors in PyTorch's own archives are made of, and nothing that loads, calls or imports.
_TORCH_NAMES = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.\w*(Storage|Tensor)|torch\.(Size|device|dtype|float\d*|double|half|bfloat16|u?int\d+"
    r"|long|short|bool|complex\d+)|torch\.storage\.(Untyped|Typed)Storage|torch\.nn\.parameter\.Parameter"
    r"|torch\.jit\._pickle\.(build|restore)_\w+|__torch__(\.\w+)*|collections\.OrderedDict"
)
# Beside what skops trusts by itself: classes of scikit-learn's compiled modules, which hold numbers.
_SKOPS_TRUSTED = re.compile(
    r"sklearn\.tree\._tree\.Tree|sklearn\._loss\.\w+\.\w+|sklearn\.ensemble\._hist_gradient_boosting\.\w+\.\w+"
    r"|sklearn\.neighbors\._(kd|ball)_tree\.\w+|sklearn\.linear_model\._sgd_fast\.\w+|sklearn\.metrics\._dist_metrics\.\w+"
)


def is_skops(path: Path) -> bool:
    """Whether the file is one of skops', not a pickle."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "schema.json" in archive.namelist()


def check_artifact(path: Path, framework: Framework, *, allow_pickles: bool, largest: int) -> None:
    """Look at a file without loading it.

    Raises PickleRefused where it could run code of its maker's and that is not allowed, InvalidInput for an archive that
    reaches outside or grows beyond `largest` bytes, and for an ONNX model that names other files.
    """
    if zipfile.is_zipfile(path):
        check_archive(path, largest)
    elif framework == "torch":
        raise InvalidInput("the file is neither an exported program (.pt2) nor TorchScript (.pt)", field="artifact")
    if framework == "onnx":
        _check_onnx(path)
    elif framework == "sklearn":
        if is_skops(path):
            trusted_types(path)
        elif not allow_pickles:
            raise PickleRefused(
                "a joblib file is a pickle, which can run any code, and this deployment refuses pickles: register the "
                "estimator with skops or as ONNX, or set MODELMESH_PICKLES=allow where every registrant is trusted",
                field="artifact",
            )
    elif not allow_pickles:
        _check_torch(path, largest)


def trusted_types(path: Path) -> list[str]:
    """Return the types of a skops file beyond skops' own list. Raises InvalidInput naming one that is not trusted here."""
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # somebody's file
        raise InvalidInput(
            f"the file is not one of skops': {type(error).__name__}: {error}", field="artifact"
        ) from None
    bad = [name for name in unknown if not _SKOPS_TRUSTED.fullmatch(name)]
    if bad:
        raise PickleRefused(
            f"the file has the type {bad[0][:100]!r}, which is not trusted to be loaded", field="artifact"
        )
    return list(unknown)


def _check_onnx(path: Path) -> None:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors
        raise InvalidInput(f"the file is not an ONNX model: {error}"[:300], field="artifact") from None
    if (outside := outside_data(model)) is not None:
        raise InvalidInput(
            f"the tensor {outside[0][:80]!r} lies in another file, {outside[1][:80]!r}: hand over the model with its data "
            "inside, as register_model(name, onnx.load(path)), or register_model(name, folder) with the folder that holds both",
            field="artifact",
        )


def _check_torch(archive: Path | IO[bytes], largest: int) -> None:
    """Look into PyTorch's archives, and into the archives in them: their pickles may name tensors and nothing else."""
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            data = opened.read(entry)
            if data[:4] == b"PK\x03\x04":
                check_archive(io.BytesIO(data), largest)
                _check_torch(io.BytesIO(data), largest)
            elif entry.filename.endswith((".pkl", ".pickle")) or data[:1] == b"\x80":
                bad = sorted(name for name in names_in(data) if not _TORCH_NAMES.fullmatch(name))
                if bad:
                    raise PickleRefused(
                        f"{entry.filename[:80]} in the archive would import {bad[0][:100]!r}: only tensors are taken "
                        "where pickles are refused",
                        field="artifact",
                    )
