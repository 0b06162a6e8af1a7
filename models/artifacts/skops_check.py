"""Check skops files: zip archives whose schema names the types of their objects. Every type must be on an allow list."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from ...schemas.errors import InvalidInput, PickleRefused
from .archives import check_archive

# In addition to the types that skops trusts: classes of scikit-learn's compiled modules, which hold only numbers.
_TRUSTED = re.compile(
    r"sklearn\.tree\._tree\.Tree|sklearn\._loss\.\w+\.\w+|sklearn\.ensemble\._hist_gradient_boosting\.\w+\.\w+"
    r"|sklearn\.neighbors\._(kd|ball)_tree\.\w+|sklearn\.linear_model\._sgd_fast\.\w+|sklearn\.metrics\._dist_metrics\.\w+"
)


def is_skops(path: Path) -> bool:
    """Whether the file is a skops file, not a pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "schema.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def check_skops(path: Path, max_bytes: int) -> None:
    """Raise InvalidInput for an unsafe archive, PickleRefused for a type that is not trusted."""
    check_archive(path, max_bytes)
    trusted_types(path)


def trusted_types(path: Path) -> list[str]:
    """Return the types of a skops file that skops itself does not trust. Raises PickleRefused if one is not trusted here."""
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # the file is untrusted
        raise InvalidInput(
            f"the file is not a skops file: {type(error).__name__}: {error}"[:300], field="artifact"
        ) from None
    bad = [name for name in unknown if not _TRUSTED.fullmatch(name)]
    if bad:
        raise PickleRefused(f"the file has the type {bad[0][:100]!r}, which is not trusted", field="artifact")
    return list(unknown)
